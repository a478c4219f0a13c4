"""`TritonProber` against a real Triton that serves models which are right, and wrong in one way each."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from modelrelease.adapters.triton import TritonProber
from modelrelease.adapters.triton.prober import preview_address
from modelrelease.domain import codec
from modelrelease.domain.observed import BuildResult, Contract, Meta, ProbeResult, Record, Tensor
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Artifact

from tests.adapters.models import CONTRACT, IMAGE, SCORES, put
from tests.fakes.samples import SPEC
from tests.model_builder import servers

META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Triton]:
    with servers.triton(tmp_path_factory.mktemp("triton")) as server:
        yield server


async def probe(
    server: servers.Triton, name: str, contract: Contract = CONTRACT, *, batch: int = 8, deadline: float = 5
) -> ProbeResult:
    spec = codec.decode(Spec, SPEC)
    spec = replace(
        spec,
        model=replace(spec.model, name=name),
        serving=replace(spec.serving, triton=replace(spec.serving.triton, max_batch_size=batch)),
    )
    result = BuildResult(artifact=Artifact(uri="x", digest="sha256:x"), contract=contract, metrics={})
    record = Record(
        revision="r1",
        artifact_key="k",
        version="1",
        result=result,
        template="",
        created=datetime(2026, 11, 1, tzinfo=UTC),
    )
    return await TritonProber(address=lambda _: server.grpc, deadline=deadline).probe(
        meta=META, spec=spec, record=record
    )


async def trouble(*args: object, **kwargs: object) -> tuple[str, str, bool]:
    result = await probe(*args, **kwargs)  # type: ignore[arg-type]
    assert not result.ready
    assert result.problem is not None
    return result.problem.reason, result.problem.message, result.problem.fatal


def test_the_preview_service_is_asked() -> None:
    assert preview_address(META) == "digits-preview.vision.svc:8001"


@pytest.mark.real
async def test_a_model_as_promised_is_ready(triton: servers.Triton) -> None:
    put(triton, "good")
    assert await probe(triton, "good") == ProbeResult(revision="r1", ready=True)


@pytest.mark.real
@pytest.mark.parametrize(
    ("datatype", "wire"),
    [("TYPE_UINT8", "UINT8"), ("TYPE_INT64", "INT64"), ("TYPE_BOOL", "BOOL"), ("TYPE_FP16", "FP16")],
)
async def test_inputs_of_other_types(triton: servers.Triton, datatype: str, wire: str) -> None:
    put(triton, f"typed-{wire.lower()}", datatype=datatype)
    contract = replace(CONTRACT, inputs=(replace(IMAGE, datatype=wire),))
    assert (await probe(triton, f"typed-{wire.lower()}", contract)).ready


@pytest.mark.real
async def test_text_and_dynamic_dimensions(triton: servers.Triton) -> None:
    put(triton, "text", datatype="TYPE_STRING", dims="-1", body="pass")
    contract = replace(CONTRACT, inputs=(Tensor(name="image", datatype="BYTES", shape=(-1,)),))
    reason, message, fatal = await trouble(triton, "text", contract)
    assert (reason, fatal) == ("SmokeTestFailed", True)  # this model can't make numbers of empty text
    assert "could not convert string to float" in message


@pytest.mark.real
async def test_a_model_without_batches(triton: servers.Triton) -> None:
    put(triton, "whole", batch=0, dims="-1, 8, 8", out="-1, 10")
    assert (await probe(triton, "whole", batch=0)).ready
    assert (await trouble(triton, "whole", batch=8))[1].startswith(
        "Triton does not serve the model that was built: it takes no batches and should, of up to 8"
    )
    put(triton, "fixed", batch=0, dims="1, 8, 8", out="1, 10")
    fixed = Contract(
        inputs=(replace(IMAGE, shape=(1, 8, 8)),), outputs=(replace(SCORES, shape=(1, 10)),), batchable=False
    )
    assert (await probe(triton, "fixed", fixed, batch=0)).ready


@pytest.mark.real
@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (replace(CONTRACT, inputs=(replace(IMAGE, name="picture"),)), "input picture is missing"),
        (replace(CONTRACT, outputs=()), "output scores was not promised"),
        (
            replace(CONTRACT, inputs=(replace(IMAGE, datatype="FP16"),)),
            "input image is FP32[-1,8,8] and should be FP16[-1,8,8]",
        ),
        (
            replace(CONTRACT, outputs=(replace(SCORES, shape=(12,)),)),
            "output scores is FP32[-1,10] and should be FP32[-1,12]",
        ),
    ],
)
async def test_another_contract_than_the_recorded_one_ends_the_attempt(
    triton: servers.Triton, contract: Contract, said: str
) -> None:
    if not (triton.repository / "other").exists():
        put(triton, "other")
    reason, message, fatal = await trouble(triton, "other", contract)
    assert (reason, fatal) == ("ModelContractDiffers", True)
    assert said in message


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("nan", "out[0, 3] = np.nan", "asked with zeros, 1 of the 10 numbers of output scores are NaN or inf"),
        ("inf", "out[image.max() > 0] /= 0", "asked with a constant, 10 of the 10 numbers"),
        (
            "random",
            "out = np.random.rand(len(image), 10).astype(np.float32)",
            "output scores changes from call to call",
        ),
        ("narrow", "out = out[:, :7]", "asked with zeros, output scores is FP32[1,7] and not FP32[1,10]"),
        ("double", "out = out.astype(np.float64)", "FP64"),
        ("raises", "raise RuntimeError('no weights')", "no weights"),
        ("silent", "return pb.InferenceResponse(output_tensors=[])", "scores"),
    ],
)
async def test_a_bad_answer_ends_the_attempt(triton: servers.Triton, name: str, body: str, said: str) -> None:
    put(triton, name, body=body)
    reason, message, fatal = await trouble(triton, name)
    assert (reason, fatal) == ("SmokeTestFailed", True)
    assert message.startswith("the model fails its smoke test: ")
    assert said in message


@pytest.mark.real
async def test_noise_of_the_last_digit_is_no_change(triton: servers.Triton) -> None:
    put(triton, "noisy", body="out += (np.random.rand(10) * 1e-6).astype(np.float32)")
    assert (await probe(triton, "noisy")).ready


@pytest.mark.real
async def test_a_model_that_is_not_loaded_is_waited_for(triton: servers.Triton) -> None:
    reason, message, fatal = await trouble(triton, "absent")
    assert (reason, fatal) == ("ModelNotReady", False)
    assert "has not loaded version 1 of model absent" in message


@pytest.mark.real
async def test_a_model_that_hangs_is_waited_for_no_longer_than_the_deadline(triton: servers.Triton) -> None:
    put(triton, "slow", body="time.sleep(3)")
    started = asyncio.get_running_loop().time()
    reason, message, fatal = await trouble(triton, "slow", deadline=0.5)
    assert asyncio.get_running_loop().time() - started < 2
    assert (reason, fatal) == ("TritonTooSlow", False)
    assert "did not answer within 0.5 s" in message


async def test_nobody_listens(tmp_path: Path) -> None:
    (port,) = servers.free_ports(1)
    nobody = servers.Triton(repository=tmp_path, http="", grpc=f"127.0.0.1:{port}", metrics="", home=tmp_path)
    reason, message, fatal = await trouble(nobody, "m")
    assert (reason, fatal) == ("TritonUnreachable", False)
    assert f"Triton at 127.0.0.1:{port} can't be reached" in message


async def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    nobody = servers.Triton(repository=tmp_path, http="", grpc="nobody.invalid:1", metrics="", home=tmp_path)
    assert (await trouble(nobody, "m"))[0] in ("TritonUnreachable", "TritonTooSlow")


@pytest.mark.real
async def test_no_channel_is_left_open(triton: servers.Triton, monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonclient.grpc import aio

    opened, closed = [], []
    make, close = aio.InferenceServerClient.__init__, aio.InferenceServerClient.close

    def counted(self: object, *args: object, **kwargs: object) -> None:
        opened.append(self)
        make(self, *args, **kwargs)

    async def counted_close(self: object) -> None:
        closed.append(self)
        await close(self)

    monkeypatch.setattr(aio.InferenceServerClient, "__init__", counted)
    monkeypatch.setattr(aio.InferenceServerClient, "close", counted_close)
    put(triton, "closed")
    await probe(triton, "closed")
    await probe(triton, "absent")
    await probe(triton, "closed", replace(CONTRACT, outputs=()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(probe(triton, "closed"), 0.001)
    gc.collect()
    assert len(opened) >= 3
    assert opened == closed
