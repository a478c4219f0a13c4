"""How many golden requests travel with the configuration, and which."""

import base64
import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_builder.contract import Contract, Tensor
from model_builder.errors import ArtifactCorrupt
from model_builder.golden_parameter import MOST_BYTES, MOST_CHARACTERS, MOST_REQUESTS, PARAMETER, pack
from model_builder.triton import Serving, render_config


def case(size: int, *, value: float = 0.0) -> dict[str, Any]:
    def tensor(name: str, length: int) -> dict[str, Any]:
        return {"name": name, "datatype": "FP32", "shape": [1, length], "data": [value] * length}

    return {"request": {"inputs": [tensor("x", size)]}, "response": {"outputs": [tensor("y", 1)]}}


def noise(size: int) -> dict[str, Any]:
    """Return a request that compression does not make small."""
    made = case(size)
    chance = random.Random(size)
    made["request"]["inputs"][0]["data"] = [chance.random() for _ in range(size)]
    return made


def golden(*cases: dict[str, Any]) -> str:
    return json.dumps({"schemaVersion": 1, "absoluteTolerance": 0.25, "requests": cases})


def unpack(value: str) -> dict[str, Any]:
    found = json.loads(zlib.decompress(base64.b64decode(value, validate=True)))
    assert isinstance(found, dict)
    return found


@given(sizes=st.lists(st.integers(1, 50), max_size=6))
def test_small_requests_all_travel_the_smallest_first(sizes: list[int]) -> None:
    found = unpack(pack(golden(*(case(size) for size in sizes))))
    assert (found["absoluteTolerance"], found["leftOut"]) == (0.25, 0)
    assert found["requests"] == [case(size) for size in sorted(sizes)]


@pytest.mark.deep
def test_what_is_too_large_is_left_out_and_counted() -> None:
    large, small = noise(60_000), noise(100)
    value = pack(golden(large, small, large))
    assert len(value) <= MOST_CHARACTERS
    found = unpack(value)
    assert (found["requests"], found["leftOut"]) == ([small], 2)
    assert unpack(pack(golden(large)))["leftOut"] == 1


@pytest.mark.deep
def test_what_compresses_well_is_bounded_unpacked_too() -> None:
    found = unpack(pack(golden(case(3), case(MOST_BYTES // 4))))
    assert (found["requests"], found["leftOut"]) == ([case(3)], 1)


def test_the_number_of_requests_is_bounded() -> None:
    found = unpack(pack(golden(*[case(1)] * (MOST_REQUESTS + 3))))
    assert (len(found["requests"]), found["leftOut"]) == (MOST_REQUESTS, 3)


def test_no_requests_are_none() -> None:
    found = unpack(pack(golden()))
    assert (found["requests"], found["leftOut"]) == ([], 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"requests": [1], "absoluteTolerance": 1}', '{"requests": []}'])
def test_a_damaged_file_is_named(text: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"golden\.json of the artifact is not readable"):
        pack(text)


def test_the_configuration_has_the_parameter_only_where_there_is_one() -> None:
    tensor = Tensor(name="x", datatype="FP32", shape=(3,))
    contract = Contract(inputs=(tensor,), outputs=(), batchable=True, opset=20, ir_version=10, golden_sha256="0")

    def config(value: str | None) -> str:
        return render_config(contract=contract, model="m", backend="python", serving=Serving(), golden=value)

    value = pack(golden(case(3)))
    assert f'parameters {{ key: "{PARAMETER}" value {{ string_value: "{value}" }} }}' in config(value).splitlines()
    assert "parameters" not in config(None)
