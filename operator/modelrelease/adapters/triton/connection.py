"""How a Triton is reached over gRPC, and what an error of the client means."""

from __future__ import annotations

from typing import Any

from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain import naming
from modelrelease.domain.observed import Meta, Slot

DEADLINE_SECONDS = 5.0
GRPC_PORT = 8001

_LARGEST_MESSAGE = 2**31 - 1

# Answers of the transport, not of the model: another try may go well.
_TRANSPORT = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED")
_SAID = 300


def slot_address(meta: Meta, slot: Slot) -> str:
    """Return where a slot's pods answer; the preview slot's are the candidate's before they have traffic."""
    return f"{naming.service(meta.name, slot)}.{meta.namespace}.svc:{GRPC_PORT}"


def channel(*, largest: int = _LARGEST_MESSAGE) -> list[tuple[str, int]]:
    """Return the options of a connection that takes answers of up to `largest` bytes."""
    return [
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", largest),
        ("grpc.enable_http_proxy", 0),
        # A connection of its own: a shared one remembers that the last attempt failed, and to which pod it went.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def transport(error: Any) -> bool:
    """Tell whether an error of the client is about reaching the server, or about no answer in time."""
    return error.status() in _TRANSPORT


def too_slow(error: Any) -> bool:
    """Tell whether there was no answer in time."""
    return bool(error.status() == "StatusCode.DEADLINE_EXCEEDED")


def said(error: Any) -> str:
    """Return what the server said, on one line of bounded length."""
    return " ".join(str(error.message()).split())[:_SAID]


def unreachable(error: Any, *, address: str, deadline: float, waiting: bool = False) -> Trouble:
    """Return the trouble of an error for which `transport` holds."""
    if too_slow(error):
        message = f"Triton at {address} did not answer within {deadline:g} s: look at the load and the log of its pod"
        return Trouble(reason="TritonTooSlow", message=message, waiting=waiting)
    message = f"Triton at {address} can't be reached ({said(error)}): look at its pod, and at the NetworkPolicies"
    return Trouble(reason="TritonUnreachable", message=message, waiting=waiting)
