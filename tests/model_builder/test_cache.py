import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_builder.cache import Cache, key_of
from model_builder.errors import StorageError


class Told(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


def filled(root: Path, *, told: Told, keys: tuple[str, ...] = ("a" * 64,), **changes: int) -> Cache:
    cache = Cache.open(root, tell=told, **changes)
    files = root.parent / "files"
    (files / "deep").mkdir(parents=True, exist_ok=True)
    (files / "deep" / "weights").write_bytes(b"0123456789" * 100)
    (files / "note").write_text("text")
    for age, key in enumerate(keys):
        cache.store(key, files=files, figures={"seconds": 1.5})
        os.utime(root / "v1" / key, (age, age))
    return cache


def test_what_was_stored_is_fetched_with_its_figures(tmp_path: Path) -> None:
    cache = filled(tmp_path / "cache", told=Told())
    assert cache.fetch("b" * 64, to=tmp_path / "none") is None
    assert cache.fetch("a" * 64, to=tmp_path / "to") == {"seconds": 1.5}
    found = {
        p.relative_to(tmp_path / "to").as_posix(): p.read_bytes() for p in (tmp_path / "to").rglob("*") if p.is_file()
    }
    assert found == {"deep/weights": b"0123456789" * 100, "note": b"text"}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_told_and_never_served(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root, told = tmp_path_factory.mktemp("flip") / "cache", Told()
    cache = filled(root, told=told)
    victim = data.draw(st.sampled_from(sorted(p for p in root.rglob("*") if p.is_file())))
    content = bytearray(victim.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(content)
    assert cache.fetch("a" * 64, to=root.parent / "to") is None
    assert len(told) == 1
    assert "is damaged" in told[0]
    assert not (root / "v1" / ("a" * 64)).exists()
    assert list((root.parent / "to").iterdir()) == []


@pytest.mark.parametrize("cut", ["entry.json", "files/note"])
def test_a_file_that_is_missing_or_cut_off_is_damage(tmp_path: Path, cut: str) -> None:
    told = Told()
    cache = filled(tmp_path / "cache", told=told)
    path = tmp_path / "cache" / "v1" / ("a" * 64) / cut
    path.write_bytes(path.read_bytes()[:3])
    assert cache.fetch("a" * 64, to=tmp_path / "to") is None
    cache = filled(tmp_path / "cache", told=told)
    path.unlink()
    assert cache.fetch("a" * 64, to=tmp_path / "to") is None


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    keys = tuple(letter * 64 for letter in "abcd")
    root, told = tmp_path / "cache", Told()
    filled(root, told=told, keys=keys)
    small = Cache.open(root, tell=told, limit=30_000)  # folders have a size as well
    small.fetch("a" * 64, to=tmp_path / "to")
    small.store("e" * 64, files=tmp_path / "files", figures={})
    left = {path.name[0] for path in (root / "v1").iterdir() if len(path.name) == 64}
    assert left >= {"e", "a"}
    assert "b" not in left
    tiny = Cache.open(root, tell=told, limit=1)
    tiny.store("f" * 64, files=tmp_path / "files", figures={})
    assert [path.name[0] for path in (root / "v1").iterdir() if len(path.name) == 64] == ["f"]


def test_finishing_a_step_forgets_its_checkpoints(tmp_path: Path) -> None:
    cache = Cache.open(tmp_path / "cache", tell=Told())
    (cache.checkpoints("a" * 64) / "x").touch()
    (tmp_path / "files").mkdir()
    cache.store("a" * 64, files=tmp_path / "files", figures={})
    assert list(cache.checkpoints("a" * 64).iterdir()) == []


def test_a_cache_that_can_not_take_an_entry_costs_no_build(tmp_path: Path) -> None:
    told = Told()
    cache = Cache.open(tmp_path / "cache", tell=told)
    cache.store("a" * 64, files=tmp_path / "absent", figures={})
    assert "could not keep a step" in told[0]
    assert not list((tmp_path / "cache" / "v1").glob(".tmp-*"))


def test_a_cache_in_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="give another --cache"):
        Cache.open(tmp_path / "file", tell=Told())


def test_keys_follow_from_every_part_and_its_place() -> None:
    keys = [key_of("a", "b"), key_of("b", "a"), key_of("ab"), key_of("a", ["b"]), key_of("a", {"b": 1}), key_of()]
    assert len(set(keys)) == len(keys)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
