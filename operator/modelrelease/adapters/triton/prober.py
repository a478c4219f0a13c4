"""Asking the candidate's Triton over gRPC, through the preview Service: who answers is the candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelrelease.adapters.triton.connection import (
    DEADLINE_SECONDS,
    channel,
    said,
    slot_address,
    transport,
    unreachable,
)
from modelrelease.adapters.triton.served import check
from modelrelease.adapters.triton.smoke import smoke
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Meta, ProbeResult, Record, Slot
from modelrelease.domain.spec import Spec


def preview_address(meta: Meta) -> str:
    """Return where the candidate's pods answer before they have traffic."""
    return slot_address(meta, Slot.PREVIEW)


@dataclass(frozen=True, kw_only=True)
class TritonProber:
    """Probes a revision's Triton. Nothing is kept between two probes."""

    address: Callable[[Meta], str] = preview_address
    deadline: float = DEADLINE_SECONDS  # of each call

    async def probe(self, *, meta: Meta, spec: Spec, record: Record) -> ProbeResult:
        """Return whether the model is ready, as promised by the record, and answers sanely."""
        # Takes a quarter of a second, which only the operator has to spend, and only once.
        from tritonclient.grpc import aio  # type: ignore[import-untyped]
        from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

        address = self.address(meta)
        try:
            async with aio.InferenceServerClient(address, channel_args=channel()) as client:
                await self._ask(client, address=address, spec=spec, record=record)
        except Trouble as trouble:
            return ProbeResult(revision=record.revision, ready=False, problem=trouble.problem)
        except InferenceServerException as error:
            problem = _translated(error, address=address, deadline=self.deadline).problem
            return ProbeResult(revision=record.revision, ready=False, problem=problem)
        return ProbeResult(revision=record.revision, ready=True)

    async def _ask(self, client: Any, *, address: str, spec: Spec, record: Record) -> None:
        model, contract = spec.model.name, record.result.contract
        if not await client.is_server_live(client_timeout=self.deadline):
            raise Trouble(
                reason="TritonNotLive", message="Triton answers that it is not live: look at the log of its pod"
            )
        if not await client.is_model_ready(model, "1", client_timeout=self.deadline):
            raise Trouble(
                reason="ModelNotReady",
                message=f"Triton has not loaded version 1 of model {model}: look at the log of its pod",
            )
        metadata = await client.get_model_metadata(model, "1", client_timeout=self.deadline)
        config = await client.get_model_config(model, "1", client_timeout=self.deadline)
        check(
            contract=contract,
            metadata=metadata,
            max_batch_size=config.config.max_batch_size,
            wanted_batch_size=spec.serving.triton.max_batch_size,
        )
        await smoke(client=client, model=model, contract=contract, address=address, deadline=self.deadline)


def _translated(error: Any, *, address: str, deadline: float) -> Trouble:
    if transport(error):
        return unreachable(error, address=address, deadline=deadline)
    answer = said(error)
    message = f"the model fails its smoke test: Triton answers {answer!r} to a request as the model's contract has it"
    return Trouble(reason="SmokeTestFailed", message=message, fatal=True)
