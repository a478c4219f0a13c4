"""The operator's own HTTP port: /metrics, /healthz (alive) and /readyz (of use)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Checks = dict[str, Callable[[], bool]]


@dataclass(kw_only=True)
class Health:
    """Answers from checks; a check that is not registered does not count."""

    registry: CollectorRegistry
    port: int
    alive: Checks = field(default_factory=dict)
    ready: Checks = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen, and return the port: the chosen one where 0 was asked for."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host=None, port=self.port).start()
        # Both families listen; where the port was left open, each got one of its own, and IPv4's is the one told.
        addresses = sorted(self._runner.addresses, key=len)
        bound: int = addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        # The content type carries its own charset, which aiohttp takes only as a header.
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _answer(self.alive)

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer({**self.alive, **self.ready})


def _answer(checks: Mapping[str, Callable[[], bool]]) -> web.Response:
    failed = [name for name, check in checks.items() if not check()]
    if failed:
        return web.Response(status=503, text="".join(f"{name}: failed\n" for name in failed))
    return web.Response(text="ok\n")
