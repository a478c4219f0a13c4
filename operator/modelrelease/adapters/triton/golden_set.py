"""The golden requests of a revision, as its pods carry them in their model's configuration.

Whoever made the artifact wrote them: they are data from outside. Everything is bounded and
checked against the contract, and whatever does not fit is told in one sentence.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from modelrelease.adapters.triton.answers import FLOATS, Answer
from modelrelease.adapters.triton.labels import IGNORED, Kind
from modelrelease.adapters.triton.served import dims, fits, told
from modelrelease.domain.observed import Contract, Tensor

# The parameter and its bounds; whoever lays out the model repository keeps to them.
PARAMETER = "modelrelease.golden"
MOST_CHARACTERS = 512 * 1024
MOST_BYTES = 8 * 1024 * 1024
MOST_REQUESTS = 64

_KINDS: Mapping[str, type[Any]] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "BF16": np.float32,  # what the client takes for it
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
_SHOWN = 40
_LONGEST_SPLIT = 64


@dataclass(frozen=True, kw_only=True)
class GoldenRequest:
    """Inputs by name as they are sent, and the outputs that are expected; floating-point ones as float64.

    `expected` has the first output, and of the others those that the build could promise.
    `labels` is what the first output should be, in its shape; of classes in its shape without the last axis.
    """

    rows: int
    inputs: Answer
    expected: Answer
    labels: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What the labels of a set are, and the test rows that they are of: equal ones have an equal `split`."""

    kind: Kind
    split: str


@dataclass(frozen=True, kw_only=True)
class GoldenSet:
    """What a revision's pods carry; `left_out` requests were too large to travel."""

    requests: tuple[GoldenRequest, ...]
    tolerance: float
    left_out: int
    labelled: Labelled | None = None


class Malformed(Exception):  # noqa: N818 - told as a problem, never leaves this package
    """A field is not as it must be; the message names it."""


def parse(text: str, *, contract: Contract) -> GoldenSet:
    """Read the value of the parameter.

    Raises:
        Malformed: it is too large, can't be read, or does not fit the contract.

    """
    raw = _fields(_document(text), "the set", "requests", "absoluteTolerance", "leftOut")
    tolerance, left_out = raw["absoluteTolerance"], raw["leftOut"]
    if not _number(tolerance) or not 0 <= tolerance < math.inf:
        _wrong("absoluteTolerance", tolerance, "a finite number of at least 0")
    if type(left_out) is not int or left_out < 0:
        _wrong("leftOut", left_out, "a whole number of at least 0")
    cases = raw["requests"]
    if not isinstance(cases, list) or len(cases) > MOST_REQUESTS:
        _wrong("requests", cases, f"a list of at most {MOST_REQUESTS}")
    labelled = _labelled(raw["labels"]) if raw.get("labels") is not None else None
    requests = tuple(_request(case, f"requests[{place}]", contract, labelled) for place, case in enumerate(cases))
    return GoldenSet(requests=requests, tolerance=float(tolerance), left_out=left_out, labelled=labelled)


def _labelled(raw: Any) -> Labelled:
    fields = _fields(raw, "labels", "kind", "split")
    kind, split = fields["kind"], fields["split"]
    if kind not in [*Kind]:
        _wrong("labels.kind", kind, " or ".join(Kind))
    if not isinstance(split, str) or not 0 < len(split) <= _LONGEST_SPLIT:
        _wrong("labels.split", split, f"a text of 1 to {_LONGEST_SPLIT} characters")
    return Labelled(kind=Kind(kind), split=split)


def _document(text: str) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise Malformed(f"it has {len(text)} characters, and {MOST_CHARACTERS} are allowed")
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Malformed(f"it is not zlib data in base64 ({error})") from None
    if not unpacker.eof:
        raise Malformed(f"unpacked it is cut off, or has more than {MOST_BYTES} bytes")
    try:
        return json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not valid JSON ({error})") from None


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _request(case: Any, where: str, contract: Contract, labelled: Labelled | None) -> GoldenRequest:
    parts = _fields(case, where, "request", "response")
    asked = _fields(parts["request"], f"{where}.request", "inputs")["inputs"]
    answer = _fields(parts["response"], f"{where}.response", "outputs")["outputs"]
    inputs = _tensors(asked, f"{where}.request.inputs", contract.inputs, contract, least=len(contract.inputs))
    # Builders once wrote the first output only, and leave out what other machines may rightly answer otherwise.
    expected = _tensors(answer, f"{where}.response.outputs", contract.outputs, contract, least=1)
    rows = {len(value) for value in (*inputs.values(), *expected.values())} if contract.batchable else {1}
    if len(rows) != 1:
        raise Malformed(f"the tensors of {where} have {sorted(rows)} rows, and must have equally many")
    for tensor in contract.outputs:
        if tensor.name in expected and tensor.datatype in FLOATS:
            expected[tensor.name] = expected[tensor.name].astype(np.float64)
    labels = None
    if labelled is not None and contract.batchable:
        raw = _fields(case, where, "labels")["labels"]
        labels = _labels(raw, f"{where}.labels", labelled.kind, expected[contract.outputs[0].name])
    return GoldenRequest(rows=rows.pop(), inputs=inputs, expected=expected, labels=labels)


def _labels(raw: Any, where: str, kind: Kind, answer: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of one request, which fit its first output."""
    shape = answer.shape if kind is Kind.VALUE else answer.shape[:-1]
    size, width = math.prod(shape), answer.shape[-1]
    if answer.dtype.kind not in "iuf":
        raise Malformed(f"{where} is of an output that is no numbers")
    if not isinstance(raw, list) or len(raw) != size or not all(_number(label) for label in raw):
        _wrong(where, raw, f"a flat list of {size} numbers")
    if kind is Kind.CLASS and not all(type(label) is int and (label == IGNORED or 0 <= label < width) for label in raw):
        _wrong(where, raw, f"whole numbers from 0 to {width - 1}")
    return np.array(raw, dtype=np.float64).reshape(shape)


def _tensors(found: Any, where: str, wanted: tuple[Tensor, ...], contract: Contract, *, least: int) -> Answer:
    """Return the tensors of a list: of those that the contract has, at least so many, the first ones."""
    if not isinstance(found, list):
        _wrong(where, found, "a list")
    made: Answer = {}
    known = {tensor.name: tensor for tensor in wanted}
    for place, raw in enumerate(found):
        here = f"{where}[{place}]"
        fields = _fields(raw, here, "name", "datatype", "shape", "data")
        name = fields["name"]
        tensor = known.get(name) if isinstance(name, str) else None
        if tensor is None or name in made:
            _wrong(f"{here}.name", name, f"each of {', '.join(known)} once, as in the contract")
        made[tensor.name] = _array(fields, here, tensor, lead=(-1,) if contract.batchable else ())
    if missing := [tensor.name for tensor in wanted[:least] if tensor.name not in made]:
        raise Malformed(f"{where} lacks {missing[0]}")
    return made


def _array(fields: Mapping[str, Any], where: str, tensor: Tensor, *, lead: tuple[int, ...]) -> NDArray[Any]:
    shape, data = fields["shape"], fields["data"]
    wanted = dims(tensor, lead=lead)
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size <= MOST_BYTES for size in shape):
        _wrong(f"{where}.shape", shape, "a list of whole numbers of at least 1")
    # A scalar per row is a vector of one on the wire, and has no dimension of its own in the model.
    shape = [*shape, 1] if not tensor.shape and len(shape) == len(lead) else shape
    if fields["datatype"] != tensor.datatype or not fits(shape, wanted):
        found = told(str(fields["datatype"])[:_SHOWN], shape)
        raise Malformed(f"{where} is {found}, and the contract says {told(tensor.datatype, wanted)}")
    if not isinstance(data, list) or len(data) != math.prod(shape):
        _wrong(f"{where}.data", data, f"a flat list of {math.prod(shape)} values")
    return _values(data, where, tensor.datatype).reshape(shape)


def _values(data: list[Any], where: str, datatype: str) -> NDArray[Any]:
    kind = _KINDS.get(datatype)
    if kind is None:
        raise Malformed(f"{where} has the datatype {datatype}, which Triton does not know")
    if datatype == "BYTES":
        if not all(isinstance(value, str) for value in data):
            raise Malformed(f"{where}.data must be texts only")
        return np.array([value.encode() for value in data], dtype=kind)
    if not all(_number(value) or (datatype == "BOOL" and isinstance(value, bool)) for value in data):
        raise Malformed(f"{where}.data must be numbers only")
    try:
        if datatype in FLOATS:
            with np.errstate(over="ignore"):
                made = np.array(data, dtype=np.float64).astype(kind)
            exact = bool(np.isfinite(made).all())
        else:
            made = np.array([int(value) for value in data], dtype=kind)
            exact = made.tolist() == data
    except OverflowError:
        exact = False
    if not exact:
        raise Malformed(f"{where}.data has a number that is no {datatype}")
    return made


def _fields(raw: Any, where: str, *names: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        _wrong(where, raw, "an object")
    if missing := [name for name in names if name not in raw]:
        raise Malformed(f"{where} lacks {missing[0]}")
    return raw


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _wrong(field: str, value: Any, allowed: str) -> NoReturn:
    shown = json.dumps(value)[:_SHOWN] if not isinstance(value, list | dict) else f"a {type(value).__name__}"
    raise Malformed(f"{field} is {shown}, and must be {allowed}")
