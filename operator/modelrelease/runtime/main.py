"""The operator's entry point: from flags to a running process."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable

from kubernetes.aio import config as credentials
from kubernetes.aio.client import ApiClient, Configuration

from modelrelease import __version__
from modelrelease.adapters.kube import Kube, KubeClient
from modelrelease.runtime import logs
from modelrelease.runtime.config import Config, parse
from modelrelease.runtime.health import Health
from modelrelease.runtime.leader import Elector
from modelrelease.runtime.metered import MeteredKube
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.process import Operator
from modelrelease.runtime.store import Store
from modelrelease.runtime.worker import Reconciles

log = logging.getLogger(__name__)

EXIT_LEASE_LOST = 75

# Opens what decisions need of the outside world, and closes it in the end.
Wiring = Callable[[Config, Kube, Metrics], contextlib.AbstractAsyncContextManager[Callable[[Store], Reconciles]]]


def main(wiring: Wiring) -> int:
    """Run the operator; return the process's exit status."""
    config = parse(sys.argv[1:], os.environ)
    logs.configure(form=config.log_format, level=config.log_level)
    faulthandler.enable()
    # The fuse: shows where the event loop stands still, then ends the process as the signal does.
    faulthandler.register(signal.SIGALRM, chain=True)
    try:
        asyncio.run(_run(config, wiring))
    except Exception:  # the last line of the log must say why the process ends
        log.exception("the operator ends")
        return 1
    log.info("stopped")
    return 0


async def _run(config: Config, wiring: Wiring) -> None:
    metrics = Metrics()
    health = Health(registry=metrics.registry, port=config.metrics_port)
    async with contextlib.AsyncExitStack() as opened:
        api = await opened.enter_async_context(_connected())
        kube = MeteredKube(kube=KubeClient(api), metrics=metrics)
        make_reconciler = await opened.enter_async_context(wiring(config, kube, metrics))
        opened.push_async_callback(health.stop)
        operator = Operator(
            config=config,
            kube=kube,
            elector=Elector(
                kube=kube,
                namespace=config.lease_namespace,
                identity=f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}",
                lost=_die,
                fuse=_arm,
            ),
            metrics=metrics,
            health=health,
            make_reconciler=make_reconciler,
            catch_signals=_catch_signals,
        )
        port = await health.start()
        scope = ", ".join(config.namespaces) or "all namespaces"
        log.info("version %s serves %s; metrics and health on port %d", __version__, scope, port)
        await operator.run()


@contextlib.asynccontextmanager
async def _connected() -> AsyncIterator[ApiClient]:
    """Yield a client with the pod's credentials, or with those of KUBECONFIG outside of a cluster."""
    settings = Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        credentials.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    else:
        await credentials.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    async with ApiClient(configuration=settings) as api:
        yield api


def _catch_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _arm(seconds: float) -> None:
    """Have the kernel end this process in some seconds, whatever it is doing then; 0 takes that back."""
    signal.setitimer(signal.ITIMER_REAL, max(0.0, seconds))


def _die(why: str) -> None:
    """End the process here and now: another replica may already lead."""
    log.critical("no longer the leader: %s", why)
    logging.shutdown()
    os._exit(EXIT_LEASE_LOST)
