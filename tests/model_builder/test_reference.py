"""The stable artifact that a build is measured against: required in a directory, welcome from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model_builder import reference
from model_builder.build import Settings, build
from model_builder.decode import decode
from model_builder.errors import BadSpec
from model_builder.progress import SilentReporter
from model_builder.reference import Place
from model_builder.spec import Spec, resolve
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.samples import make_whole

DIGEST = "sha256:" + "a" * 64


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_a_place_is_a_directory_or_a_uri_with_its_digest() -> None:
    assert reference.parse_place("builds/stable") == Place(directory=Path("builds/stable"))
    assert reference.parse_place(f"s3://b/x@{DIGEST}") == Place(uri="s3://b/x", digest=DIGEST)
    twice = reference.parse_place(f"oci://r/m@sha256:{'b' * 64}@{DIGEST}")
    assert (twice.uri, twice.digest) == (f"oci://r/m@sha256:{'b' * 64}", DIGEST)


@pytest.mark.parametrize("text", ["s3://b/x", "s3://b/x@latest", f"s3://b/x@{DIGEST.upper()}"])
def test_a_uri_without_a_digest_is_a_mistake(text: str) -> None:
    with pytest.raises(BadSpec, match="digest"):
        reference.parse_place(text)


def test_a_directory_has_to_hold_an_artifact(tmp_path: Path) -> None:
    folder, digest = make_whole(tmp_path / "a")
    found = reference.read(Place(directory=folder))
    assert found is not None and found.required and found.artifact.digest == digest
    with pytest.raises(BadSpec, match="holds no manifest"):
        reference.read(Place(directory=tmp_path))


def test_an_artifact_of_a_store_is_fetched_and_verified(tmp_path: Path) -> None:
    folder, digest = make_whole(tmp_path / "a")
    place, notes = Place(uri=folder.as_uri(), digest=digest), Notes()
    assert reference.read(place) is None
    found = reference.fetch(place, scratch=tmp_path / "scratch", reporter=notes)
    assert found is not None and not found.required
    assert (found.artifact.digest, found.artifact.directory) == (digest, tmp_path / "scratch")
    assert not notes.told


@pytest.mark.parametrize("fault", ["absent", "another", "damaged"])
def test_one_that_can_not_be_had_is_told_and_left_out(fault: str, tmp_path: Path) -> None:
    folder, digest = make_whole(tmp_path / "a")
    if fault == "damaged":
        (folder / "repository/m/config.pbtxt").write_text("x")
    uri = (tmp_path / "b" if fault == "absent" else folder).as_uri()
    notes = Notes()
    place = Place(uri=uri, digest=DIGEST if fault == "another" else digest)
    assert reference.fetch(place, scratch=tmp_path / "scratch", reporter=notes) is None
    assert len(notes.told) == 1 and "nothing is compared with the stable artifact" in notes.told[0]
    assert not (tmp_path / "scratch").exists()


@pytest.mark.deep
def test_a_build_is_measured_beside_an_artifact_of_a_store_and_never_fails_for_it(tmp_path: Path) -> None:
    raw, cache = spec(gates=[]), tmp_path / "cache"
    plan = resolve(decode(Spec, raw, where="spec"))

    def built(name: str, **place: str) -> tuple[dict[str, Any], list[str]]:
        settings = Settings(stable=Place(**place) if place else None, cache=cache)
        notes = Notes()
        return build(plan=plan, out=tmp_path / name, reporter=notes, settings=settings), notes.told

    stable, _ = built("stable")
    promised = run_build(spec(gates=[], export={"classNames": True}), out=tmp_path / "labels", cache=cache)
    beside, _ = built("beside", uri=stable["uri"], digest=stable["digest"])
    assert beside["stable"] == beside["digest"] == stable["digest"]
    assert beside["metrics"]["accuracy"]["stable"] == [0, 0, 1, 1, 0, 0]
    assert {"accuracy.stable", "latencyP50Ms.stable"} <= set(beside["metrics"])
    broken, notes = built("broken", uri=promised["uri"], digest=promised["digest"])
    assert any("output 'label' was BYTES [] and is absent" in note for note in notes)
    alone, notes = built("alone", uri=(tmp_path / "nowhere").as_uri(), digest=stable["digest"])
    assert any("nothing is compared" in note for note in notes)
    for result in (broken, alone):
        assert result["digest"] == stable["digest"]
        assert "stable" not in result
        assert "accuracy.stable" not in result["metrics"]
