"""Asking one pod golden requests over one connection, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from modelrelease.adapters.triton.answers import Answer, BadAnswer, Fault, read
from modelrelease.adapters.triton.connection import said, too_slow, transport, unreachable
from modelrelease.adapters.triton.differences import wrong
from modelrelease.adapters.triton.golden_set import GoldenRequest
from modelrelease.adapters.triton.inference import infer
from modelrelease.adapters.triton.rules import Rules
from modelrelease.adapters.triton.served import check, dims
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Contract


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one request: an answer, or what is wrong with it."""

    seconds: float
    answer: Answer | None = None
    fault: Fault | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """An open connection to a pod of one revision. The imports in its methods take a quarter of a second."""

    client: Any
    address: str
    model: str
    contract: Contract
    deadline: float  # of each call

    async def ask(self, request: GoldenRequest, *, rules: Rules | None) -> Outcome:
        """Ask one request; once more if something is wrong. Without `rules` any numbers will do.

        A model that answers others meanwhile does not hang: it has too much to do.

        Raises:
            Trouble: the pod can't be reached or is busy, which says nothing of the model.

        """
        first = await self._try(request, rules)
        if first.fault is None:
            return first
        before = await self._answered() if first.fault is Fault.SILENT else 0
        second = await self._try(request, rules)
        if first.fault is second.fault is Fault.SILENT and await self._answered() > before:
            message = f"Triton at {self.address} answers others, and not within {self.deadline:g} s: it is overloaded"
            raise Trouble(reason="TritonOverloaded", message=message, waiting=True)
        return second

    async def config(self) -> Any:
        """Return the model's configuration as the pod has it.

        Raises:
            Trouble: the pod can't be reached, or has not loaded the model.

        """
        return (await self._about(self.client.get_model_config)).config

    async def changed(self, *, max_batch_size: int) -> str | None:
        """Return how the served model differs from the contract, confirmed by a second look; None where it does not.

        Raises:
            Trouble: the pod can't be reached, or has not loaded the model.

        """
        for _ in range(2):
            metadata = await self._about(self.client.get_model_metadata)
            try:
                check(
                    contract=self.contract,
                    metadata=metadata,
                    max_batch_size=max_batch_size,
                    wanted_batch_size=max_batch_size,
                )
            except Trouble as trouble:
                difference = trouble.problem.message
            else:
                return None
        return difference

    async def _answered(self) -> int:
        """Return how many requests the model has answered well since it was loaded."""
        statistics = await self._about(self.client.get_inference_statistics)
        return sum(one.inference_stats.success.count for one in statistics.model_stats)

    async def _about(self, question: Callable[..., Awaitable[Any]]) -> Any:
        from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

        try:
            return await question(self.model, "1", client_timeout=self.deadline)
        except InferenceServerException as error:
            if transport(error):
                raise self._unreachable(error) from None
            message = f"Triton at {self.address} does not tell of model {self.model} ({said(error)})"
            raise Trouble(reason="ModelNotReady", message=message, waiting=True) from None

    def _unreachable(self, error: Any) -> Trouble:
        return unreachable(error, address=self.address, deadline=self.deadline, waiting=True)

    async def _try(self, request: GoldenRequest, rules: Rules | None) -> Outcome:
        started = time.perf_counter()
        answer: Answer | None = None
        try:
            result = await self._infer(request)
            seconds = time.perf_counter() - started
            lead = (request.rows,) if self.contract.batchable else ()
            answer = {
                tensor.name: read(result, tensor, shape=dims(tensor, lead=lead)) for tensor in self.contract.outputs
            }
            _agrees(answer, request, rules)
        except BadAnswer as bad:
            return Outcome(seconds=time.perf_counter() - started, answer=answer, fault=bad.fault, message=str(bad))
        return Outcome(seconds=seconds, answer=answer)

    async def _infer(self, request: GoldenRequest) -> Any:
        from tritonclient.grpc import InferInput  # type: ignore[import-untyped]
        from tritonclient.utils import InferenceServerException

        inputs = []
        for tensor in self.contract.inputs:
            value = request.inputs[tensor.name]
            inputs.append(InferInput(tensor.name, list(value.shape), tensor.datatype))
            inputs[-1].set_data_from_numpy(value)
        try:
            return await infer(
                self.client,
                model=self.model,
                inputs=inputs,
                address=self.address,
                deadline=self.deadline,
                waiting=True,
            )
        except InferenceServerException as error:
            if too_slow(error):
                raise BadAnswer(Fault.SILENT, f"there is no answer within {self.deadline:g} s") from None
            if transport(error):
                raise self._unreachable(error) from None
            raise BadAnswer(Fault.ERROR, f"Triton answers {said(error)!r}") from None


def _agrees(answer: Answer, request: GoldenRequest, rules: Rules | None) -> None:
    if rules is None:
        return
    if (difference := wrong(answer, request.expected, rules=rules)) is not None:
        raise BadAnswer(Fault.WRONG, difference)
