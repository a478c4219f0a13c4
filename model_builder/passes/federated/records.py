"""Orders and answers as Flower's records, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_builder.passes.federated.messages import Answer, Order, Told

if TYPE_CHECKING:
    from flwr.app import RecordDict
    from numpy.typing import NDArray

_ARRAYS, _VALUES = "arrays", "values"


def record(*, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> RecordDict:
    """Arrays by name, and plain values (numbers, strings, bytes, lists of one of them)."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    return RecordDict(
        {
            _ARRAYS: ArrayRecord({name: Array(array) for name, array in arrays.items()}),
            _VALUES: ConfigRecord(dict(values)),
        }
    )


def arrays_of(content: RecordDict) -> dict[str, NDArray[Any]]:
    """The arrays of a `record`."""
    return {name: array.numpy() for name, array in content.array_records[_ARRAYS].items()}


def values_of(content: RecordDict) -> dict[str, Any]:
    """The plain values of a `record`."""
    return dict(content.config_records[_VALUES])


def of_order(order: Order) -> RecordDict:
    """Keys as a list in the order of the sites."""
    values = {"round": order.round, "part": order.part, "share": order.share}
    keys = [order.keys[number] for number in sorted(order.keys)]
    return record(arrays={"vector": order.vector}, values={**values, "keys": keys} if keys else values)


def to_order(content: RecordDict) -> Order:
    """The inverse of `of_order`."""
    values = values_of(content)
    keys = dict(enumerate(values.pop("keys", [])))
    return Order(vector=arrays_of(content)["vector"], keys=keys, **values)


def of_answer(answer: Answer) -> RecordDict:
    """What a site tells about itself goes as JSON."""
    told = answer.told
    values = {} if told is None else {"told": json.dumps({**vars(told), "notes": list(told.notes)})}
    return record(arrays={"values": answer.values}, values=values)


def to_answer(content: RecordDict) -> Answer:
    """The inverse of `of_answer`."""
    raw = json.loads(values_of(content).get("told", "null"))
    told = None if raw is None else Told(**{**raw, "notes": tuple(raw["notes"])})
    return Answer(values=arrays_of(content)["values"], told=told)
