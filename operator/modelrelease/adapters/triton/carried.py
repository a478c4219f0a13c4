"""The golden requests that a pod carries, or why there are none to ask: one sentence for each case."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from modelrelease.adapters.triton import golden_set
from modelrelease.adapters.triton.golden_set import GoldenSet
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.observed import Record

# The metric tag under which whoever laid out the model repository wrote the revision.
_REVISION = "revision"


async def carried(config: Any, *, record: Record) -> GoldenSet:
    """Return the golden requests in a model's configuration, those that it can be asked: at least one.

    Raises:
        Trouble: another revision answers, or there is nothing to ask.

    """
    answers = config.metric_tags.get(_REVISION, record.revision)
    if answers != record.revision:
        message = f"revision {answers[:63]} answers where {record.revision} is expected: its Service is being moved"
        raise Trouble(reason="OtherRevision", message=message, waiting=True)
    revision = f"revision {record.revision}"
    if golden_set.PARAMETER not in config.parameters:
        message = f"the pods of {revision} carry no golden requests: an older puller image laid them out"
        raise Trouble(reason="GoldenSetAbsent", message=message)
    text = config.parameters[golden_set.PARAMETER].string_value
    try:
        # A set of some megabytes takes a while to read, and everybody else waits for this thread.
        found = await asyncio.to_thread(golden_set.parse, text, contract=record.result.contract)
    except golden_set.Malformed as malformed:
        message = f"the golden requests of {revision} can't be used: {malformed}; build it again"
        raise Trouble(reason="GoldenSetMalformed", message=message) from None
    if not found.requests:
        why = "its build wrote none" if not found.left_out else f"all {found.left_out} are too large to be carried"
        raise Trouble(reason="GoldenSetEmpty", message=f"{revision} has no golden requests to ask: {why}")
    most = config.max_batch_size
    fitting = tuple(
        one for one in found.requests if not record.result.contract.batchable or one.rows <= (most or one.rows)
    )
    if not fitting:
        least = min(one.rows for one in found.requests)
        message = f"the golden requests of {revision} have {least} rows or more, and its batches end at {most}"
        raise Trouble(reason="GoldenSetEmpty", message=message)
    return replace(found, requests=fitting)
