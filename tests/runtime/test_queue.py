"""The work queue on virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelrelease.runtime.queue import Backoff, Key, WorkQueue

from tests.runtime.virtual import VirtualLoop, now, virtual, wall

A, B, C = ("ns", "a"), ("ns", "b"), ("ns", "c")


def make(**backoff: float) -> WorkQueue:
    return WorkQueue(backoff=Backoff(rng=lambda: 1.0, **backoff), wall=wall)


@virtual
async def test_many_adds_are_one_key_in_order_of_arrival() -> None:
    queue = make()
    for key in (A, B, A, A, B):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


@virtual
async def test_a_key_in_work_is_given_to_no_second_worker_and_comes_back_after() -> None:
    queue = make()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 10)
    queue.done(A)
    assert await queue.get() == A
    queue.done(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 10)


@virtual
async def test_the_earliest_of_several_delays_counts() -> None:
    queue = make()
    queue.add_at(A, wall() + timedelta(seconds=30))
    queue.add_at(A, wall() + timedelta(seconds=5))
    queue.add_at(A, wall() + timedelta(seconds=90))
    assert queue.delayed == 1
    assert await queue.get() == A
    assert now() == pytest.approx(5)
    queue.done(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 1000)


@virtual
async def test_a_moment_in_the_past_is_now() -> None:
    queue = make()
    queue.add_at(A, wall() - timedelta(hours=1))
    assert await queue.get() == A
    assert now() == 0


@virtual
async def test_taking_a_key_drops_its_delay() -> None:
    queue = make()
    queue.add_after(A, 30)
    queue.add(A)
    assert await queue.get() == A
    queue.done(A)
    assert queue.delayed == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


@virtual
async def test_delays_of_many_keys_need_one_timer_and_no_task() -> None:
    queue = make()
    tasks = len(asyncio.all_tasks())
    for i in range(1000):
        queue.add_after(("ns", str(i)), 1000 - i)
    assert len(asyncio.all_tasks()) == tasks
    loop = asyncio.get_running_loop()
    live = [t for t in loop._scheduled if not t.cancelled()]  # type: ignore[attr-defined]
    assert len(live) == 1
    order = [await queue.get() for _ in range(1000)]
    assert order == [("ns", str(i)) for i in reversed(range(1000))]
    assert now() == pytest.approx(1000)


@virtual
async def test_failures_wait_longer_and_longer_up_to_the_cap_and_success_forgets_them() -> None:
    queue = make(first=1, cap=60)
    waits = []
    queue.add(A)
    for _ in range(9):
        began = now()
        assert await queue.get() == A
        waits.append(now() - began)
        queue.failed(A)
    assert waits == pytest.approx([0, 1, 2, 4, 8, 16, 32, 60, 60])
    await queue.get()
    queue.done(A)
    assert queue.failures(A) == 0
    queue.add(A)
    await queue.get()
    assert queue.failed(A) == pytest.approx(1)


def test_jitter_takes_up_to_half_of_the_wait() -> None:
    assert Backoff(first=10, rng=lambda: 0.0).delay(1) == 5
    assert Backoff(first=10, rng=lambda: 1.0).delay(1) == 10
    assert Backoff(first=1, cap=7, rng=lambda: 1.0).delay(5000) == 7


@virtual
async def test_an_event_cuts_the_back_off_short_but_cannot_make_a_failing_key_spin() -> None:
    queue = make(first=40)
    queue.add(A)
    await queue.get()
    queue.failed(A)
    queue.add(A)
    await queue.get()
    assert now() == pytest.approx(1)
    queue.add(A)
    queue.failed(A)
    await queue.get()
    assert now() == pytest.approx(2)


@virtual
async def test_events_do_not_shorten_the_wait_that_the_server_asked_for() -> None:
    queue = make()
    queue.add(A)
    await queue.get()
    assert queue.failed(A, at_least=30) == pytest.approx(30)
    queue.add(A)
    queue.add_after(A, 2)
    queue.add(B)
    assert await queue.get() == B
    assert await queue.get() == A
    assert now() == pytest.approx(30)


@virtual
async def test_a_lost_race_is_due_at_once_and_counts_as_failure() -> None:
    queue = make()
    queue.add(A)
    await queue.get()
    queue.again(A)
    assert await queue.get() == A
    assert now() == 0
    assert queue.failures(A) == 1


@virtual
async def test_a_busy_key_starves_nobody() -> None:
    queue = make()
    seen: list[Key] = []
    queue.add(A)
    for key in (B, C):
        queue.add(key)
    for _ in range(6):
        key = await queue.get()
        seen.append(key)
        queue.add(A)
        queue.add(key)
        queue.done(key)
    assert seen == [A, B, C, A, B, C]


@virtual
async def test_a_waiter_that_is_cancelled_loses_no_key() -> None:
    queue = make()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    first.cancel()
    assert await second == A


@virtual
async def test_ages_and_counts() -> None:
    queue = make()
    assert (len(queue), queue.delayed, queue.oldest_age) == (0, 0, 0.0)
    queue.add(A)
    queue.add(B)
    await asyncio.sleep(7)
    assert queue.oldest_age == pytest.approx(7)
    await queue.get()
    assert queue.working == {A}
    assert len(queue) == 1


@virtual
async def test_nothing_is_kept_of_a_key_at_rest() -> None:
    queue = make()
    for i in range(100):
        queue.add(("ns", str(i)))
        queue.done(await queue.get())
    assert not queue._entries


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "after", "get", "done", "failed", "again", "sleep"]), st.sampled_from([A, B, C])),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_whatever_happens_a_named_key_is_worked_on_and_never_twice_at_once(actions: list[tuple[str, Key]]) -> None:
    async def scenario() -> None:
        queue = make()
        held: set[Key] = set()
        owed: set[Key] = set()
        for action, key in actions:
            if action == "add":
                queue.add(key)
                owed.add(key)
            elif action == "after":
                queue.add_after(key, 3)
                owed.add(key)
            elif action == "sleep":
                await asyncio.sleep(1)
            elif action == "get" and len(queue):
                taken = await queue.get()
                assert taken not in held
                held.add(taken)
                owed.discard(taken)
            elif key in held and action in ("done", "failed", "again"):
                held.discard(key)
                getattr(queue, action)(key)
                if action != "done":
                    owed.add(key)
        for key in held:
            queue.done(key)
        while owed:
            key = await asyncio.wait_for(queue.get(), 3600)
            owed.discard(key)
            queue.done(key)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())
