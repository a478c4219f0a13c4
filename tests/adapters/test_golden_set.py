"""Golden requests are data from outside: bounded, checked, and each malformed field is one sentence."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from modelrelease.adapters.triton import golden_set
from modelrelease.adapters.triton.golden_set import Malformed, parse
from modelrelease.domain.observed import Contract, Tensor

from model_builder import golden_parameter
from tests.adapters.golden_sets import TOLERANCE, case, packed
from tests.adapters.models import CONTRACT, SCORES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def carry(value: object) -> str:
    """Return the parameter's value for any JSON, also for one that the builder would not write."""
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


def envelope(*cases: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"absoluteTolerance": TOLERANCE, "leftOut": 0, "requests": list(cases or [case(1.0)]), **changes}


def refused(value: object, contract: Contract = CONTRACT) -> str:
    with pytest.raises(Malformed) as caught:
        parse(carry(value), contract=contract)
    return str(caught.value)


CLASSES = {"kind": "class", "split": "test"}


def test_labels_arrive_in_the_shape_of_what_they_judge() -> None:
    found = parse(carry(envelope({**case(1.0, rows=2), "labels": [3, 0]}, labels=CLASSES)), contract=CONTRACT)
    assert found.labelled is not None and (found.labelled.kind, found.labelled.split) == ("class", "test")
    assert found.requests[0].labels is not None and found.requests[0].labels.tolist() == [3, 0]
    numbers = envelope({**case(1.0), "labels": [0.5] * 10}, labels={**CLASSES, "kind": "value"})
    found = parse(carry(numbers), contract=CONTRACT)
    assert found.requests[0].labels is not None and found.requests[0].labels.shape == (1, 10)
    assert parse(carry(envelope()), contract=CONTRACT).labelled is None


@pytest.mark.parametrize(
    ("labels", "how", "said"),
    [
        ([3], {"kind": "word", "split": "a"}, 'labels.kind is "word", and must be class or value'),
        ([3], {"kind": "class", "split": ""}, 'labels.split is "", and must be a text of 1 to 64 characters'),
        ([3], {"kind": "class"}, "labels lacks split"),
        ([3, 3], CLASSES, "requests[0].labels is a list, and must be a flat list of 1 numbers"),
        (["3"], CLASSES, "must be a flat list of 1 numbers"),
        ([10], CLASSES, "requests[0].labels is a list, and must be whole numbers from 0 to 9"),
        ([0.5], CLASSES, "must be whole numbers from 0 to 9"),
        ([1.0] * 9, {**CLASSES, "kind": "value"}, "must be a flat list of 10 numbers"),
    ],
)
def test_a_wrong_label_is_named(labels: list[Any], how: dict[str, Any], said: str) -> None:
    assert said in refused(envelope({**case(1.0), "labels": labels}, labels=how))


def test_both_sides_keep_the_same_bounds() -> None:
    for name in ("PARAMETER", "MOST_CHARACTERS", "MOST_BYTES", "MOST_REQUESTS"):
        assert getattr(golden_set, name) == getattr(golden_parameter, name), name


def test_what_the_builder_packs_is_read() -> None:
    found = parse(packed(), contract=CONTRACT)
    assert (found.tolerance, found.left_out) == (TOLERANCE, 0)
    assert [request.rows for request in found.requests] == [1, 1, 4]
    last = found.requests[-1]
    assert last.inputs["image"].dtype == np.float32
    assert last.inputs["image"].shape == (4, 8, 8)
    assert last.expected["scores"].dtype == np.float64
    assert (last.expected["scores"] == 3.0).all()


@given(cases=st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 5)), min_size=1, max_size=4))
def test_every_number_arrives(cases: list[tuple[float, int]]) -> None:
    found = parse(packed(*(case(level, rows=rows) for level, rows in cases)), contract=CONTRACT)
    wanted = sorted(cases, key=lambda one: one[1])
    assert [one.rows for one in found.requests] == [rows for _, rows in wanted]
    for request, (level, _) in zip(found.requests, wanted, strict=True):
        assert (request.inputs["image"] == np.float32(level)).all()
        assert (request.expected["scores"] == level).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unpacked it is cut off"),
        ("%%%", "it is not zlib data in base64"),
        (base64.b64encode(b"plain").decode(), "it is not zlib data in base64"),
        (base64.b64encode(zlib.compress(b"x" * 99)[:-6]).decode(), "unpacked it is cut off"),
        ("A" * (golden_set.MOST_CHARACTERS + 4), "it has 524292 characters, and 524288 are allowed"),
        (base64.b64encode(zlib.compress(b" " * (golden_set.MOST_BYTES + 1))).decode(), "more than 8388608 bytes"),
        (base64.b64encode(zlib.compress(b"{")).decode(), "it is not valid JSON"),
        (base64.b64encode(zlib.compress(b"[" * 100_000)).decode(), "it is not valid JSON"),
        (base64.b64encode(zlib.compress(b"1" * 100_000)).decode(), "it is not valid JSON"),
        (base64.b64encode(zlib.compress(b'{"a": NaN}')).decode(), "NaN is no number"),
        (base64.b64encode(zlib.compress(b"\xff\xfe")).decode(), "it is not valid JSON"),
    ],
)
def test_what_can_not_be_read(text: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        parse(text, contract=CONTRACT)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "the set is a list, and must be an object"),
        ({"requests": []}, "the set lacks absoluteTolerance"),
        (envelope(absoluteTolerance=-1), "absoluteTolerance is -1, and must be a finite number of at least 0"),
        (envelope(absoluteTolerance=True), "absoluteTolerance is true"),
        (envelope(absoluteTolerance="1"), 'absoluteTolerance is "1"'),
        (envelope(leftOut=0.5), "leftOut is 0.5"),
        (envelope(requests={}), "requests is a dict, and must be a list of at most 64"),
        (envelope(*[case(1.0)] * 65), "requests is a list, and must be a list of at most 64"),
        (envelope(requests=[3]), "requests[0] is 3, and must be an object"),
        (envelope({"request": {}, "response": {}}), "requests[0].request lacks inputs"),
    ],
)
def test_a_wrong_field_is_named(value: object, said: str) -> None:
    assert said in refused(value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "picture"}, 'requests[0].request.inputs[0].name is "picture", and must be each of image once'),
        ({"name": ["image"]}, "requests[0].request.inputs[0].name is a list"),
        ({"datatype": "FP16"}, "requests[0].request.inputs[0] is FP16[1,8,8], and the contract says FP32[-1,8,8]"),
        ({"datatype": 7}, "is 7[1,8,8], and the contract"),
        ({"shape": [1, 64]}, "is FP32[1,64], and the contract says FP32[-1,8,8]"),
        ({"shape": [0, 8, 8], "data": []}, "shape is a list, and must be a list of whole numbers of at least 1"),
        ({"shape": [True, 8, 8]}, "shape is a list"),
        ({"shape": [10**12, 8, 8]}, "shape is a list"),
        ({"shape": 8}, "shape is 8"),
        ({"data": [1.0]}, "data is a list, and must be a flat list of 64 values"),
        ({"data": "x" * 64}, "must be a flat list of 64 values"),
        ({"data": [[1.0]] * 64}, "requests[0].request.inputs[0].data must be numbers only"),
        ({"data": [True] * 64}, "data must be numbers only"),
        ({"data": ["1"] * 64}, "data must be numbers only"),
        ({"data": [1e300] * 64}, "data has a number that is no FP32"),
        ({"data": [10**400] * 64}, "data has a number that is no FP32"),
    ],
)
def test_a_wrong_tensor_is_named(change: dict[str, Any], said: str) -> None:
    made = copy.deepcopy(case(1.0))
    made["request"]["inputs"][0] |= change
    assert said in refused(envelope(made))


def test_tensors_that_are_missing_or_twice() -> None:
    missing, twice = copy.deepcopy(case(1.0)), copy.deepcopy(case(1.0))
    missing["response"]["outputs"] = []
    twice["request"]["inputs"] *= 2
    assert refused(envelope(missing)) == "requests[0].response.outputs lacks scores"
    assert "inputs[1].name is" in refused(envelope(twice))


def test_outputs_after_the_first_may_be_left_out() -> None:
    """As builders once did with all of them, and still do with what other machines may answer otherwise."""
    further = Tensor(name="further", datatype="FP32", shape=())
    (request,) = parse(
        carry(envelope(case(1.0, rows=2))), contract=replace(CONTRACT, outputs=(SCORES, further))
    ).requests
    assert list(request.expected) == ["scores"]
    said = refused(envelope(case(1.0)), contract=replace(CONTRACT, outputs=(further, SCORES)))
    assert said == "requests[0].response.outputs lacks further"


def test_rows_must_agree() -> None:
    made = copy.deepcopy(case(1.0))
    made["response"] = case(1.0, rows=2)["response"]
    assert refused(envelope(made)) == "the tensors of requests[0] have [1, 2] rows, and must have equally many"


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("INT8", [-128, 127.0], [0, 128]),
        ("UINT64", [0, 2**64 - 1], [-1, 0]),
        ("INT64", [-(2**63), 2**63 - 1], [0, 2**63]),
        ("INT32", [1, 2], [1, 2.5]),
        ("BOOL", [True, 0], [0, 2]),
        ("FP16", [0.5, 65504.0], [0.5, 1e6]),
        ("BF16", [1.0, 3e38], [1.0, 1e39]),
        ("BYTES", ["a", "ü"], ["a", 1]),
    ],
)
def test_each_datatype_takes_its_own_values(datatype: str, good: list[Any], bad: list[Any]) -> None:
    contract = replace(CONTRACT, inputs=(Tensor(name="image", datatype=datatype, shape=(2,)),))

    def made(data: list[Any]) -> dict[str, Any]:
        one = copy.deepcopy(case(1.0))
        one["request"]["inputs"][0] |= {"datatype": datatype, "shape": [1, 2], "data": data}
        return envelope(one)

    (request,) = parse(carry(made(good)), contract=contract).requests
    found = [one.decode() if isinstance(one, bytes) else one for one in request.inputs["image"][0].tolist()]
    assert found == (good if datatype != "BF16" else [1.0, float(np.float32(3e38))])
    assert "requests[0].request.inputs[0].data" in refused(made(bad), contract)


def test_an_unknown_datatype_of_the_contract_is_refused() -> None:
    contract = replace(CONTRACT, inputs=(Tensor(name="image", datatype="FP8", shape=(8, 8)),))
    made = copy.deepcopy(case(1.0))
    made["request"]["inputs"][0]["datatype"] = "FP8"
    assert "has the datatype FP8, which Triton does not know" in refused(envelope(made), contract)


def test_a_scalar_per_row_is_a_vector_of_one_on_the_wire() -> None:
    contract = replace(CONTRACT, outputs=(replace(SCORES, shape=()),))
    made = copy.deepcopy(case(1.0, rows=3))
    made["response"]["outputs"][0] |= {"shape": [3], "data": [1.0, 2.0, 3.0]}
    (request,) = parse(carry(envelope(made)), contract=contract).requests
    assert request.expected["scores"].shape == (3, 1)


def test_without_batches_the_shape_is_the_contracts() -> None:
    contract = replace(CONTRACT, batchable=False)
    made = copy.deepcopy(case(1.0))
    made["request"]["inputs"][0]["shape"], made["response"]["outputs"][0]["shape"] = [8, 8], [10]
    (request,) = parse(carry(envelope(made)), contract=contract).requests
    assert (request.rows, request.inputs["image"].shape) == (1, (8, 8))


@given(value=JSON, place=st.sampled_from(["", "requests", "absoluteTolerance", "leftOut", "case", "tensor", "data"]))
@example(value=float("inf"), place="absoluteTolerance")
@example(value=1e308, place="data")
def test_whatever_stands_there_is_read_or_refused_in_a_sentence(value: Any, place: str) -> None:
    made: Any = envelope()
    if place == "":
        made = value
    elif place == "case":
        made["requests"][0] = value
    elif place in ("tensor", "data"):
        made = copy.deepcopy(made)
        inputs = made["requests"][0]["request"]["inputs"]
        if place == "tensor":
            inputs[0] = value
        else:
            inputs[0]["data"] = [value] * 64
    else:
        made[place] = value
    said = ""
    try:
        parse(carry(made), contract=CONTRACT)
    except Malformed as malformed:
        said = str(malformed)
    assert len(said) < 400


@given(text=st.text(max_size=200))
def test_any_text_is_refused_or_read(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text, contract=CONTRACT)
