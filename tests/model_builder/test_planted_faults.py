"""The classic mistakes, each planted into a build with the gates that every build has; and formats that are right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.builder import faults
from model_builder.errors import GateFailed
from tests.model_builder.conftest import run_build, spec

pytestmark = pytest.mark.deep

TRAIN = {"pass": "train", "parameters": {"epochs": 6}}
INT8: dict[str, Any] = {"pass": "quantize", "parameters": {"calibrationRows": 128}}


@pytest.fixture(autouse=True)
def planted() -> Iterator[None]:
    with faults.planted():
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training for all."""
    return tmp_path_factory.mktemp("planted") / "cache"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("recipe", [[], [INT8], [{"pass": "float16"}]], ids=["fp32", "int8", "fp16"])
def test_what_is_right_passes_the_gates_of_every_build(
    recipe: list[dict[str, Any]], seed: int, tmp_path: Path, cache: Path
) -> None:
    raw = spec(TRAIN, *recipe, data={"name": "digits", "seed": seed})
    assert run_build(raw, out=tmp_path / "out", cache=cache)["metrics"]["accuracy"]["value"] > 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "fault",
    faults.FAULTS.values(),
    ids=list(faults.FAULTS),
)
def test_a_classic_mistake_is_caught_by_the_gates_of_every_build(
    fault: dict[str, Any], seed: int, tmp_path: Path, cache: Path
) -> None:
    raw = spec(TRAIN, fault, data={"name": "digits", "seed": seed})
    with pytest.raises(GateFailed, match=r"the gate asks for|outputShift is"):
        run_build(raw, out=tmp_path / "out", cache=cache)
