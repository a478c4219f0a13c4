"""Triton's metadata against the recorded contract, without a server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from modelrelease.adapters.triton.served import check, fits
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Contract, Tensor


def metadata(
    inputs: dict[str, tuple[str, list[int]]], outputs: dict[str, tuple[str, list[int]]] | None = None
) -> SimpleNamespace:
    def tensors(of: dict[str, tuple[str, list[int]]]) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name, datatype=kind, shape=shape) for name, (kind, shape) in of.items()]

    return SimpleNamespace(inputs=tensors(inputs), outputs=tensors(outputs or {}))


def contract(*inputs: Tensor, batchable: bool = True) -> Contract:
    return Contract(inputs=inputs, outputs=(), batchable=batchable)


def test_a_scalar_per_row_is_served_as_a_vector_of_one() -> None:
    promised = contract(Tensor(name="age", datatype="FP32"))
    check(contract=promised, metadata=metadata({"age": ("FP32", [-1, 1])}), max_batch_size=8, wanted_batch_size=8)


def test_the_order_of_tensors_means_nothing() -> None:
    promised = contract(Tensor(name="a", datatype="FP32", shape=(2,)), Tensor(name="b", datatype="INT64", shape=(-1,)))
    served = metadata({"b": ("INT64", [-1, -1]), "a": ("FP32", [-1, 2])})
    check(contract=promised, metadata=served, max_batch_size=1, wanted_batch_size=4)


@pytest.mark.parametrize(
    ("batchable", "wanted", "served", "said"),
    [
        (True, 8, 0, "it takes no batches and should, of up to 8"),
        (True, 0, 4, "it takes batches and must not"),
        (False, 8, 4, "it takes batches and must not"),
    ],
)
def test_batching_is_compared(batchable: bool, wanted: int, served: int, said: str) -> None:
    with pytest.raises(Trouble, match=said) as caught:
        check(
            contract=contract(batchable=batchable),
            metadata=metadata({}),
            max_batch_size=served,
            wanted_batch_size=wanted,
        )
    assert caught.value.problem.fatal


def test_a_contract_without_batches_has_its_shape_as_it_is() -> None:
    promised = contract(Tensor(name="a", datatype="FP32", shape=(1, 2)), batchable=False)
    check(contract=promised, metadata=metadata({"a": ("FP32", [1, 2])}), max_batch_size=0, wanted_batch_size=0)
    with pytest.raises(Trouble, match=r"input a is FP32\[-1,2\] and should be FP32\[1,2\]"):
        check(contract=promised, metadata=metadata({"a": ("FP32", [-1, 2])}), max_batch_size=0, wanted_batch_size=0)


def test_any_length_fits_a_dynamic_dimension_only() -> None:
    assert fits((1, 7), (1, -1))
    assert not fits((2, 7), (1, -1))
    assert not fits((1,), (1, -1))
