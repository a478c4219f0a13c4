"""The load generator: real inference through the gateway, over HTTP and gRPC, at a steady rate until it is stopped."""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from localcluster.demo.images import SIDE, Image, images
from localcluster.demo.records import GRPC, HTTP, Recorder, Request

REVISION_HEADER = "x-model-revision"
TIMEOUT_S = 10.0
_IMAGES = 400
_SAID = 240
_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the model is served."""

    gateway: str
    http_host: str
    grpc_host: str
    model: str


class Load(threading.Thread):
    """Sends requests in a thread of its own, so that drawing the view delays none."""

    def __init__(self, *, address: Address, rate: float, recorder: Recorder) -> None:
        super().__init__(name="load", daemon=True)
        self._address, self._rate, self._recorder = address, rate, recorder
        self._done = threading.Event()
        self.trouble: BaseException | None = None

    def stop(self) -> None:
        """Send no more, and wait for the answers that are under way."""
        self._done.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Send until stopped."""
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - handed to the demo, which ends with it
            self.trouble = error

    async def _send(self) -> None:
        """Requests come at random, as from many clients, and whether or not the earlier ones have been answered."""
        dice = random.Random(1)  # noqa: S311 - not a secret
        under_way: set[asyncio.Task[None]] = set()
        async with Clients(self._address) as clients:
            turn = cycle(images(count=_IMAGES))
            due = time.monotonic()
            while not self._done.is_set():
                due += dice.expovariate(self._rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                protocol = HTTP if dice.random() < 0.5 else GRPC
                task = asyncio.create_task(self._one(clients, protocol, next(turn)))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way)

    async def _one(self, clients: "Clients", protocol: str, image: Image) -> None:
        self._recorder.add(await clients.ask(protocol, image))


class Clients:
    """One HTTP and one gRPC client of the gateway."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def __aenter__(self) -> "Clients":
        import aiohttp
        import grpc  # type: ignore[import-untyped]
        from tritonclient.grpc import service_pb2, service_pb2_grpc  # type: ignore[import-untyped]

        self._messages = service_pb2
        # Many clients share no queue: waiting for a connection of one's own would be counted as the server's slowness.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=aiohttp.TCPConnector(limit=0)
        )
        options = [("grpc.default_authority", self._address.grpc_host), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.aio.insecure_channel(self._address.gateway, options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._channel.close()

    async def ask(self, protocol: str, image: Image) -> Request:
        """Send one image and say what became of it; never raises because of the server."""
        at, started = time.time(), time.monotonic()
        revision, error = await (self._http(image) if protocol == HTTP else self._grpc(image))
        return Request(
            at=at,
            protocol=protocol,
            ok=not error,
            latency_ms=1000 * (time.monotonic() - started),
            revision=revision,
            error=error,
        )

    async def _http(self, image: Image) -> tuple[str, str]:
        from aiohttp import ClientError

        url = f"http://{self._address.gateway}/v2/models/{self._address.model}/infer"
        tensor = {"name": "image", "shape": [1, SIDE, SIDE], "datatype": "FP32", "data": image.pixels}
        try:
            async with self._session.post(
                url, json={"inputs": [tensor]}, headers={"Host": self._address.http_host}
            ) as answer:
                body = await answer.text()
                revision = answer.headers.get(REVISION_HEADER, "")
                if answer.status != 200:
                    return revision, f"HTTP {answer.status}: {said(body)}"
                data = json.loads(body)["outputs"][0]["data"]
                return revision, "" if len(data) == _CLASSES else f"HTTP 200 with {len(data)} probabilities"
        except TimeoutError:
            return "", f"HTTP: no answer in {TIMEOUT_S:g} s"
        except (ClientError, OSError, ValueError, LookupError) as error:
            return "", f"HTTP: {type(error).__name__}: {said(str(error))}"

    async def _grpc(self, image: Image) -> tuple[str, str]:
        from grpc import RpcError

        request = self._messages.ModelInferRequest(model_name=self._address.model)
        request.inputs.add(name="image", datatype="FP32", shape=[1, SIDE, SIDE])
        request.raw_input_contents.append(image.raw)
        call = self._stub.ModelInfer(request, timeout=TIMEOUT_S)
        try:
            answer = await call
            revision = _header(await call.initial_metadata())
            values = answer.raw_output_contents[0] if answer.raw_output_contents else b""
            return revision, "" if len(values) == 4 * _CLASSES else f"gRPC OK with {len(values)} bytes of probabilities"
        except RpcError as error:
            # An error may come with its headers alone, which are then at the end.
            revision = _header([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])
            return revision, f"gRPC {error.code().name}: {said(error.details() or '')}"


def said(text: str) -> str:
    """Return what a server said, short enough to be counted and shown."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["error"])
    text = " ".join(text.split())
    return text if len(text) <= _SAID else f"{text[:_SAID]}..."


def _header(pairs: Iterable[Any]) -> str:
    return next((str(value) for key, value in pairs if key == REVISION_HEADER), "")


def try_both(address: Address) -> str:
    """Send one request over each protocol; return what went wrong, or nothing."""

    async def ask() -> str:
        async with Clients(address) as clients:
            answers = [await clients.ask(protocol, images(count=1)[0]) for protocol in (HTTP, GRPC)]
        return "; ".join(answer.error for answer in answers if answer.error)

    return asyncio.run(ask())
