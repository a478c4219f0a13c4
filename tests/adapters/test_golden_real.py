"""`GoldenProber` against a real Triton: what neither it nor a gateway counts as a failure is found."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from modelrelease.adapters.triton import GoldenAnswers, GoldenProber
from modelrelease.adapters.triton.connection import slot_address
from modelrelease.domain.counts import GoldenCheck
from modelrelease.domain.observed import BuildResult, Contract, Meta, Record, Slot, Tensor
from modelrelease.domain.policy import OutputComparison, Tolerance
from modelrelease.domain.status import Artifact
from tritonclient.grpc import InferInput, aio  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from model_builder.golden_parameter import pack
from tests.adapters import golden_sets
from tests.adapters.models import CONTRACT, IMAGE, SCORES, put
from tests.model_builder import servers

META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Triton]:
    with servers.triton(tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Triton]:
    with servers.triton(tmp_path_factory.mktemp("other")) as server:
        yield server


def record(revision: str = "r1", contract: Contract = CONTRACT) -> Record:
    result = BuildResult(artifact=Artifact(uri="x", digest="sha256:x"), contract=contract, metrics={})
    return Record(revision=revision, artifact_key="k", version="1", result=result, template="", created=NOW)


async def ask(
    server: servers.Triton,
    model: str,
    contract: Contract = CONTRACT,
    *,
    stable: Record | None = None,
    deadline: float = 5.0,
) -> GoldenAnswers:
    prober = GoldenProber(address=lambda _meta, _slot: server.grpc, deadline=deadline)
    return await prober.ask(
        meta=META, model=model, candidate=record(contract=contract), stable=stable, compare=(), now=NOW
    )


async def check(server: servers.Triton, model: str, contract: Contract = CONTRACT, **how: float) -> GoldenCheck:
    (found,) = (await ask(server, model, contract, **how)).checks  # type: ignore[arg-type]
    assert (found.revision, found.at) == ("r1", NOW)
    return found


def serve(server: servers.Triton, name: str, **how: object) -> None:
    put(server, name, **{"more": golden_sets.carrying(golden_sets.packed()), **how})  # type: ignore[arg-type]


def test_each_revision_is_asked_through_its_own_service() -> None:
    assert slot_address(META, Slot.PREVIEW) == "digits-preview.vision.svc:8001"
    assert slot_address(META, Slot.STABLE) == "digits-stable.vision.svc:8001"


@pytest.mark.real
async def test_right_answers(triton: servers.Triton) -> None:
    serve(triton, "right", body="out += np.float32(5e-4)")  # within the tolerance
    found = await check(triton, "right")
    assert (found.asked, found.failed, found.not_finite, found.wrong, found.message) == (3, 0, 0, 0, "")
    assert found.problem is None
    assert found.latency_ms is not None and 0 < found.latency_ms < 5000


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "body", "expected", "said"),
    [
        ("wrong", "out[image.max() > 1.5] += 2", (0, 0, 2), "request 2 of 3, asked twice: output scores is off by 2,"),
        ("nan", "out[0, 3] = np.nan", (0, 3, 0), "request 1 of 3, asked twice: 1 of the 10 numbers of output scores"),
        ("raises", "raise RuntimeError('no weights')", (3, 0, 0), "Triton answers"),
        # Triton counts this one as a success.
        ("says", "return pb.InferenceResponse(error=pb.TritonError('no memory'))", (3, 0, 0), "no memory"),
        ("narrow", "out = out[:, :7]", (3, 0, 0), "output scores is FP32[1,7] and not FP32[1,10]"),
        ("flat", "out = out[0]", (3, 0, 0), ""),
        ("silent", "return pb.InferenceResponse(output_tensors=[])", (3, 0, 0), "scores"),
    ],
)
async def test_each_kind_of_failure_is_found(
    triton: servers.Triton, name: str, body: str, expected: tuple[int, int, int], said: str
) -> None:
    serve(triton, name, body=body)
    found = await check(triton, name)
    assert (found.asked, found.failed, found.not_finite, found.wrong) == (3, *expected)
    assert said in found.message
    assert found.problem is None


@pytest.mark.real
async def test_a_model_that_hangs_is_given_up_after_two_tries(triton: servers.Triton) -> None:
    serve(triton, "hangs", body="time.sleep(2)")
    found = await check(triton, "hangs", deadline=0.5)
    assert (found.asked, found.failed, found.latency_ms) == (1, 1, None)
    assert found.message == "golden request 1 of 1, asked twice: there is no answer within 0.5 s"


@pytest.mark.real
async def test_a_model_that_answers_others_is_overloaded_and_does_not_hang(triton: servers.Triton) -> None:
    serve(triton, "busy", body="time.sleep(0.1)")
    image = np.zeros((1, 8, 8), np.float32)

    async def client() -> None:
        async with aio.InferenceServerClient(triton.grpc) as connection:
            while True:
                asked = InferInput("image", [1, 8, 8], "FP32")
                asked.set_data_from_numpy(image)
                await connection.infer("busy", [asked])

    clients = [asyncio.create_task(client()) for _ in range(12)]
    try:
        while not (found := await check(triton, "busy", deadline=0.5)).problem:  # the queue grows for a moment
            assert found.failed == 0, found.message
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    assert (found.asked, found.failed) == (0, 0)
    assert (found.problem.reason, found.problem.waiting) == ("TritonOverloaded", True)


SHORT_QUEUE = "dynamic_batching { max_queue_delay_microseconds: 200000 default_queue_policy { max_queue_size: 1 } }\n"


@pytest.mark.real
async def test_two_runs_that_meet_in_a_short_queue_wait_for_each_other(triton: servers.Triton) -> None:
    serve(triton, "short", more=SHORT_QUEUE + golden_sets.carrying(golden_sets.packed()))
    for found in await asyncio.gather(*(check(triton, "short") for _ in range(3))):
        assert (found.asked, found.failed, found.problem) == (3, 0, None)


@pytest.mark.real
async def test_a_queue_that_stays_full_is_an_overload_and_no_failure(triton: servers.Triton) -> None:
    body = "time.sleep(3)"
    serve(triton, "full", body=body, more=SHORT_QUEUE + golden_sets.carrying(golden_sets.packed()))
    image = np.zeros((1, 8, 8), np.float32)

    async def client() -> None:
        async with aio.InferenceServerClient(triton.grpc) as connection:
            while True:
                asked = InferInput("image", [1, 8, 8], "FP32")
                asked.set_data_from_numpy(image)
                with suppress(InferenceServerException):
                    await connection.infer("full", [asked])

    clients = [asyncio.create_task(client()) for _ in range(12)]
    try:
        while not (found := await check(triton, "full", deadline=0.3)).problem:
            assert found.wrong == 0, found.message  # before the queue is full there is no answer in time
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    assert (found.asked, found.failed) == (0, 0)
    assert (found.problem.reason, found.problem.waiting) == ("TritonOverloaded", True)
    assert "maxQueueSize" in found.problem.message


@pytest.mark.real
async def test_a_dead_backend_is_found_although_the_server_says_that_it_is_ready(triton: servers.Triton) -> None:
    serve(triton, "dead", body="os._exit(1)")
    found = await check(triton, "dead", deadline=30)
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/dead/ready"):
        answer = await asyncio.to_thread(urllib.request.urlopen, f"{triton.http}{path}")
        assert answer.status == 200, path
        answer.close()
    assert (found.asked, found.failed, found.problem) == (3, 3, None)
    assert "Triton answers" in found.message


@pytest.mark.real
async def test_a_failure_that_does_not_come_again_is_none(triton: servers.Triton) -> None:
    serve(triton, "once", body="out[0, 0] += np.nan if self.calls == 2 else 9.0 if self.calls == 4 else 0.0")
    found = await check(triton, "once")
    assert (found.asked, found.failed, found.not_finite, found.wrong, found.message) == (3, 0, 0, 0, "")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "contract", "said"),
    [
        ("output", replace(CONTRACT, outputs=(replace(SCORES, shape=(12,)),)), "output scores is FP32[-1,10]"),
        ("input", replace(CONTRACT, inputs=(IMAGE, Tensor(name="mask", datatype="BOOL", shape=()))), "mask is missing"),
    ],
)
async def test_a_changed_schema_fails_every_request(
    triton: servers.Triton, name: str, contract: Contract, said: str
) -> None:
    made = golden_sets.case(1.0)
    made["response"]["outputs"][0] |= {"shape": [1, 12], "data": [1.0] * 12} if name == "output" else {}
    if name == "input":
        made["request"]["inputs"].append({"name": "mask", "datatype": "BOOL", "shape": [1], "data": [True]})
    serve(triton, name, more=golden_sets.carrying(golden_sets.packed(made, made)))
    found = await check(triton, name, contract)
    assert (found.asked, found.failed) == (2, 2)
    assert said in found.message


@pytest.mark.real
async def test_differences_from_stable_are_told_as_numbers(triton: servers.Triton, other: servers.Triton) -> None:
    serve(triton, "twice", body="out[:, 3] += np.float32(0.25 if image.max() > 2.5 else 0)")
    serve(other, "twice")
    addresses = {Slot.PREVIEW: triton.grpc, Slot.STABLE: other.grpc}
    prober = GoldenProber(address=lambda _meta, slot: addresses[slot])
    found = await prober.ask(meta=META, model="twice", candidate=record(), stable=record("r0"), compare=(), now=NOW)
    assert [(one.revision, one.asked, one.wrong) for one in found.checks] == [("r1", 3, 1), ("r0", 3, 0)]
    compared = found.compared
    assert compared is not None
    assert (compared.candidate, compared.stable, compared.at) == ("r1", "r0", NOW)
    assert (compared.rows, compared.choices, compared.changed) == (6, 6, 4)
    assert compared.largest == pytest.approx(0.25)
    assert compared.mean == pytest.approx(0.25 * 4 / 60)
    assert compared.message == (
        "candidate and stable, asked the same 6 golden rows, differ by 0.25 at most and 0.0167 on average, "
        "and choose another value 4 of 6 times"
    )


@pytest.mark.real
async def test_labels_tell_the_better_answer_and_only_of_rows_that_are_new_to_both(
    triton: servers.Triton, other: servers.Triton
) -> None:
    """The candidate always says 0, stable 3; the right ones are 3, 3 and 0."""
    labelled = golden_sets.labelled("test rows of v1", (1.0, 3), (2.0, 3), (3.0, 0))
    more = golden_sets.carrying(pack(json.dumps(labelled)))
    elsewhere = golden_sets.carrying(pack(json.dumps({**labelled, "labels": {"kind": "class", "split": "others"}})))
    addresses = {Slot.PREVIEW: triton.grpc, Slot.STABLE: other.grpc}
    prober = GoldenProber(address=lambda _meta, slot: addresses[slot])
    for name, theirs, signs in (("labels", more, (1, 1, -1)), ("others", elsewhere, ())):
        serve(triton, name, body="out[:, 0] += 1", more=more)
        serve(other, name, body="out[:, 3] += 1", more=theirs)
        found = await prober.ask(meta=META, model=name, candidate=record(), stable=record("r0"), compare=(), now=NOW)
        assert found.compared is not None and found.compared.signs == signs


@pytest.mark.real
async def test_answers_are_compared_as_the_spec_declares(triton: servers.Triton) -> None:
    serve(triton, "declared", body="out *= np.float32(1.02)")
    near, far = (OutputComparison(output="scores", tolerance=Tolerance(relative=relative)) for relative in (0.03, 0.01))
    prober = GoldenProber(address=lambda _meta, _slot: triton.grpc)

    async def asked(compare: OutputComparison) -> GoldenCheck:
        found = await prober.ask(
            meta=META, model="declared", candidate=record(), stable=None, compare=(compare,), now=NOW
        )
        return found.checks[0]

    assert ((await asked(near)).asked, (await asked(near)).wrong) == (3, 0)
    wrong = await asked(far)
    assert wrong.wrong == 3
    assert "output scores is off by 0.02, allowed is 0 + 0.01 of the value (in 1 of 1 rows)" in wrong.message
    problem = (await asked(replace(near, output="y"))).problem
    assert problem is not None and (problem.reason, problem.waiting) == ("GoldenCompareUnfit", False)
    assert problem.message == "golden.compare of output y: the model has no such output, it has scores"


@pytest.mark.real
async def test_stable_without_golden_requests_is_still_compared_with(
    triton: servers.Triton, other: servers.Triton
) -> None:
    serve(triton, "first")
    put(other, "first")
    addresses = {Slot.PREVIEW: triton.grpc, Slot.STABLE: other.grpc}
    prober = GoldenProber(address=lambda _meta, slot: addresses[slot])
    found = await prober.ask(meta=META, model="first", candidate=record(), stable=record("r0"), compare=(), now=NOW)
    assert [one.problem.reason if one.problem else "" for one in found.checks] == ["", "GoldenSetAbsent"]
    assert found.compared is not None
    assert (found.compared.rows, found.compared.largest, found.compared.changed) == (6, 0, 0)


@pytest.mark.real
async def test_another_schema_is_not_compared(triton: servers.Triton) -> None:
    serve(triton, "changed")
    other = replace(CONTRACT, inputs=(replace(IMAGE, shape=(9, 9)),))
    found = await ask(triton, "changed", stable=record("r0", other))
    assert found.compared is None
    assert [one.asked for one in found.checks] == [3, 0]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "more", "reason", "waiting", "said"),
    [
        ("bare", "", "GoldenSetAbsent", False, "the pods of revision r1 carry no golden requests: an older puller"),
        ("garbled", golden_sets.carrying("eA==!"), "GoldenSetMalformed", False, "it is not zlib data in base64"),
        ("none", golden_sets.carrying(golden_sets.packed(golden_sets.case(1, rows=9))), "GoldenSetEmpty", False, "9 r"),
        ("moved", golden_sets.carrying("", revision="r2"), "OtherRevision", True, "r2 answers where r1 is expected"),
        ("absent", None, "ModelNotReady", True, "does not tell of model absent"),
    ],
)
async def test_nothing_to_ask_is_a_sentence_and_no_failure(
    triton: servers.Triton, name: str, more: str | None, reason: str, waiting: bool, said: str
) -> None:
    if more is not None:
        put(triton, name, more=more)
    found = await check(triton, name)
    assert (found.asked, found.failed) == (0, 0)
    assert found.problem is not None
    assert (found.problem.reason, found.problem.waiting) == (reason, waiting)
    assert said in found.problem.message


@pytest.mark.real
async def test_requests_larger_than_a_batch_are_not_asked(triton: servers.Triton) -> None:
    serve(triton, "small", batch=2)
    found = await check(triton, "small")
    assert (found.asked, found.failed) == (2, 0)


async def test_nobody_listens(tmp_path: Path) -> None:
    (port,) = servers.free_ports(1)
    nobody = servers.Triton(repository=tmp_path, http="", grpc=f"127.0.0.1:{port}", metrics="", home=tmp_path)
    found = await check(nobody, "m")
    assert found.asked == 0
    assert found.problem is not None
    assert (found.problem.reason, found.problem.waiting) == ("TritonUnreachable", True)


@pytest.mark.real
async def test_a_run_ends_when_its_time_is_over(triton: servers.Triton) -> None:
    serve(triton, "slow")
    prober = GoldenProber(address=lambda _meta, _slot: triton.grpc, most=0)
    found = await prober.ask(meta=META, model="slow", candidate=record(), stable=None, compare=(), now=NOW)
    assert (found.checks[0].asked, found.checks[0].failed) == (1, 0)


@pytest.mark.real
async def test_a_run_that_is_called_off_leaves_no_connection(
    triton: servers.Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    close = aio.InferenceServerClient.close

    async def counted_close(self: object) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(aio.InferenceServerClient, "close", counted_close)
    serve(triton, "called-off", body="time.sleep(1)")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(triton, "called-off"), 0.3)
    assert len(closed) == 1
