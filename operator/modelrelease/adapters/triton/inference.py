"""One inference that waits its turn.

Triton refuses what does not fit into a model's queue with the status of a server that is not there.
The operator's own probes may meet in a short queue, so a refusal is no news until it lasts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from modelrelease.adapters.triton.trouble import Trouble

_REFUSED = "Exceeds maximum queue size"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


async def infer(
    client: Any, *, model: str, inputs: Sequence[Any], address: str, deadline: float, waiting: bool = False
) -> Any:
    """Return the answer to one request; ask again for up to `deadline` seconds while the queue is full.

    Raises:
        Trouble: the queue stayed full; `waiting` as the caller's other troubles have it.
        InferenceServerException: Triton refuses for another reason, can't be reached, or does not answer in time.

    """
    # Takes a quarter of a second, which only the operator has to spend, and only once.
    from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

    end, pause = time.monotonic() + deadline, _FIRST_PAUSE
    while True:
        try:
            return await client.infer(model, list(inputs), model_version="1", client_timeout=deadline)
        except InferenceServerException as error:
            if _REFUSED not in str(error.message()):
                raise
        if time.monotonic() + pause > end:
            message = (
                f"Triton at {address} refuses requests for {deadline:g} s, as its queue for model {model} is full: "
                "more replicas, or a larger spec.serving.triton.dynamicBatching.maxQueueSize"
            )
            raise Trouble(reason="TritonOverloaded", message=message, waiting=waiting)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
