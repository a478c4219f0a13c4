"""The load generator against servers on this machine that answer as Triton behind the gateway does."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from localcluster.demo.images import GAIN, WHITE, images
from localcluster.demo.load import Address, Clients, Load, said
from localcluster.demo.records import GRPC, HTTP, Recorder

BRIGHT = "indices element out of data bounds"


def refused(pixels) -> bool:
    return max(pixels) > WHITE


class Model(service_pb2_grpc.GRPCInferenceServiceServicer):
    async def ModelInfer(self, request, context):  # noqa: N802 - the name of the protocol
        pixels = struct.unpack("<64f", request.raw_input_contents[0])
        await context.send_initial_metadata((("x-model-revision", "r4"),))
        if refused(pixels):
            await context.abort(grpc.StatusCode.INTERNAL, BRIGHT)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.raw_output_contents.append(struct.pack("<10f", *[0.1] * 10))
        return answer


async def infer(request: web.Request) -> web.Response:
    assert request.host == "digits.demo.example"
    pixels = (await request.json())["inputs"][0]["data"]
    headers = {"x-model-revision": "r4"}
    if refused(pixels):
        return web.json_response({"error": BRIGHT}, status=500, headers=headers)
    return web.json_response({"outputs": [{"name": "probabilities", "data": [0.1] * 10}]}, headers=headers)


@pytest.fixture
async def http_address() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v2/models/digits/infer", infer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def grpc_address() -> AsyncIterator[str]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Model(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def address(gateway: str) -> Address:
    return Address(
        gateway=gateway, http_host="digits.demo.example", grpc_host="digits-grpc.demo.example", model="digits"
    )


DARK = next(image for image in images(count=50) if not image.bright)
LIGHT = next(image for image in images(count=50) if image.bright)


async def test_http_answers_are_attributed_by_their_header(http_address):
    async with Clients(address(http_address)) as clients:
        good, bad = await clients.ask(HTTP, DARK), await clients.ask(HTTP, LIGHT)
    assert (good.ok, good.revision, good.error) == (True, "r4", "")
    assert (bad.ok, bad.revision, bad.error) == (False, "r4", f"HTTP 500: {BRIGHT}")
    assert good.latency_ms > 0


async def test_grpc_answers_are_attributed_by_their_header_failures_too(grpc_address):
    async with Clients(address(grpc_address)) as clients:
        good, bad = await clients.ask(GRPC, DARK), await clients.ask(GRPC, LIGHT)
    assert (good.ok, good.revision, good.error) == (True, "r4", "")
    assert (bad.ok, bad.revision, bad.error) == (False, "r4", f"gRPC INTERNAL: {BRIGHT}")


async def test_no_answer_is_nobodys():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        gateway = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with Clients(address(gateway)) as clients:
            answers = [await clients.ask(protocol, DARK) for protocol in (HTTP, GRPC)]
    assert [(answer.ok, answer.revision) for answer in answers] == [(False, ""), (False, "")]
    assert all(answer.error for answer in answers)


@pytest.mark.deep
async def test_the_load_keeps_its_rate_until_it_is_stopped(http_address):
    recorder = Recorder()
    load = Load(address=address(http_address), rate=200, recorder=recorder)
    load.start()
    deadline = time.monotonic() + 20
    while len(recorder.requests) < 300:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await asyncio.to_thread(load.stop)
    assert load.trouble is None
    requests = sorted(recorder.requests, key=lambda request: request.at)
    assert {request.protocol for request in requests} == {HTTP, GRPC}
    assert 100 < len(requests) / (requests[-1].at - requests[0].at) < 400
    assert not load.is_alive()


def test_images_are_digits_as_the_model_knows_them_and_some_are_brighter():
    found = images(count=400)
    assert images(count=400) == found
    assert {image.digit for image in found} == set(range(10))
    bright = [image for image in found if image.bright]
    assert 0.1 < len(bright) / len(found) < 0.3
    assert all(WHITE < max(image.pixels) <= WHITE * GAIN for image in bright)
    assert all(min(image.pixels) >= 0 and max(image.pixels) <= WHITE for image in found if not image.bright)
    assert len(found[0].raw) == 4 * 64


def test_what_a_server_said_is_short():
    assert said(json.dumps({"error": "no   such\nmodel"})) == "no such model"
    assert said("plain") == "plain"
    assert len(said("x" * 500)) < 300
