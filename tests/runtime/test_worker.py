"""The workers on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from modelrelease.adapters.errors import Conflict, TooManyRequests, Unavailable
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.queue import Backoff, Key, WorkQueue
from modelrelease.runtime.worker import Workers

from tests.runtime.virtual import now, virtual, wall

A, B = ("ns", "a"), ("ns", "b")
Step = Callable[[], Awaitable[datetime | None]]


class Script:
    """A reconciler that does what the test says, in turn, and notes when it was called."""

    def __init__(self, *steps: Step | Exception | datetime | float | None) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[float, Key]] = []
        self.running: set[Key] = set()

    async def reconcile(self, key: Key) -> datetime | None:
        assert key not in self.running
        self.running.add(key)
        self.calls.append((round(now(), 3), key))
        try:
            step = self.steps.pop(0) if self.steps else None
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
                return None
            return await step() if callable(step) else step
        finally:
            self.running.discard(key)


def start(script: Script, *, count: int = 1, metrics: Metrics | None = None, stuck: float = 120.0) -> Workers:
    queue = WorkQueue(backoff=Backoff(first=1, rng=lambda: 1.0), wall=wall)
    workers = Workers(queue=queue, reconciler=script, metrics=metrics or Metrics(), count=count, stuck_seconds=stuck)
    workers.start()
    return workers


def value(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("modelrelease_reconciles_total", {"result": result}) or 0.0


@virtual
async def test_a_wake_up_is_kept_to_the_second() -> None:
    script = Script(wall() + timedelta(seconds=30))
    workers = start(script)
    workers.queue.add(A)
    await asyncio.sleep(100)
    assert script.calls == [(0, A), (30, A)]
    await workers.stop(grace=1)


@virtual
async def test_a_release_at_rest_is_left_alone() -> None:
    script = Script()
    workers = start(script)
    workers.queue.add(A)
    await asyncio.sleep(10_000)
    assert script.calls == [(0, A)]
    assert workers.queue.delayed == 0
    await workers.stop(grace=1)


@virtual
async def test_errors_back_off_and_leave_other_releases_alone() -> None:
    metrics = Metrics()
    script = Script(Unavailable("down"), None, Unavailable("down"), ValueError("a mistake"), None)
    workers = start(script, metrics=metrics)
    workers.queue.add(A)
    workers.queue.add(B)
    await asyncio.sleep(60)
    assert script.calls == [(0, A), (0, B), (1, A), (3, A), (7, A)]
    assert (value(metrics, "error"), value(metrics, "success")) == (3, 2)
    await workers.stop(grace=1)


@virtual
async def test_a_lost_race_is_tried_again_at_once_and_then_with_patience() -> None:
    metrics = Metrics()
    script = Script(Conflict("1"), Conflict("2"), Conflict("3"), None)
    workers = start(script, metrics=metrics)
    workers.queue.add(A)
    await asyncio.sleep(60)
    assert [when for when, _ in script.calls] == [0, 0, 2, 6]
    assert value(metrics, "conflict") == 3
    await workers.stop(grace=1)


@virtual
async def test_the_wait_that_the_server_asks_for_is_honoured_against_events() -> None:
    script = Script(TooManyRequests("slow down", retry_after=20), None)
    workers = start(script)
    workers.queue.add(A)
    await asyncio.sleep(5)
    workers.queue.add(A)
    await asyncio.sleep(60)
    assert script.calls == [(0, A), (20, A)]
    await workers.stop(grace=1)


@virtual
async def test_what_is_stuck_is_cut_off_and_tried_again() -> None:
    script = Script(10_000.0, None)
    workers = start(script, stuck=30)
    workers.queue.add(A)
    await asyncio.sleep(100)
    assert script.calls == [(0, A), (31, A)]
    assert workers.alive
    await workers.stop(grace=1)


@virtual
async def test_releases_are_worked_on_side_by_side_but_each_one_once() -> None:
    script = Script(10.0, 10.0)
    workers = start(script, count=3)
    for key in (A, B, A, B):
        workers.queue.add(key)
    await asyncio.sleep(1)
    workers.queue.add(A)
    assert script.running == {A, B}
    await asyncio.sleep(30)
    assert script.calls == [(0, A), (0, B), (10, A)]
    await workers.stop(grace=1)


@virtual
async def test_stopping_lets_work_in_progress_end_and_starts_nothing_new() -> None:
    script = Script(3.0, None)
    workers = start(script, count=2)
    workers.queue.add(A)
    await asyncio.sleep(1)
    workers.queue.add(A)
    await workers.stop(grace=60)
    assert now() == pytest.approx(3)
    assert script.calls == [(0, A)]
    assert not workers.alive


@virtual
async def test_stopping_cuts_off_what_takes_too_long() -> None:
    script = Script(1000.0)
    workers = start(script)
    workers.queue.add(A)
    await asyncio.sleep(1)
    await workers.stop(grace=5)
    assert now() == pytest.approx(6)
    assert not script.running


@virtual
async def test_a_failure_is_logged_with_the_release_and_a_mistake_with_its_place() -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("modelrelease.runtime.worker")
    logger.addHandler(handler)
    try:
        workers = start(Script(Unavailable("the API server is down"), RuntimeError("a mistake")))
        workers.queue.add(A)
        await asyncio.sleep(2)
        await workers.stop(grace=1)
    finally:
        logger.removeHandler(handler)
    first, second = records
    assert first.levelname == "WARNING"
    assert first.exc_info in (None, False)
    assert first.fields["release"] == "a"  # type: ignore[attr-defined]
    assert "the API server is down" in first.getMessage()
    assert second.levelname == "ERROR"
    assert second.exc_info
