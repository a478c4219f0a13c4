"""The stage of the demo: a local cluster of its own with the images, or a cluster that exists."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import api, existing, host, images, parts
from localcluster.demo.kube import Kube
from localcluster.demo.settings import NAMESPACE, Settings
from localcluster.errors import ClusterError
from localcluster.progress import Progress

SCRAPE_INTERVAL = "2s"
GPUS = 4
IMAGES = ("operator", "puller", "builder", "triton")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the demo plays."""

    kube: Kube
    gateway_address: str
    hint: str
    """What a person types to look around there."""


@contextmanager
def stage(*, settings: Settings, progress: Progress) -> Iterator[Stage]:
    """Set the stage, and clear it at the end unless it shall be kept."""
    opened = _existing(settings) if settings.context is not None else _local(settings=settings, progress=progress)
    with opened as found:
        yield found


@contextmanager
def _local(*, settings: Settings, progress: Progress) -> Iterator[Stage]:
    host.require_packages(size=parts.FULL, progress=progress, also=host.IMAGES.items())
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            # Where they must be built first, that goes on beside the compiling of the cluster's programs.
            built = pool.submit(images.build_all, IMAGES, progress=progress.say)
            try:
                cluster = api.ensure(name=settings.name, gpus=GPUS, scrape_interval=SCRAPE_INTERVAL)
                built.result()
            except BaseException:
                images.interrupt()
                raise
        for image in IMAGES:
            with progress.stage(f"giving the node the image {image}"):
                cluster.load(image)
        yield _stage(cluster, hint=f"export KUBECONFIG={cluster.kubeconfig}")
    finally:
        if not settings.keep:
            with progress.stage("taking the cluster down (programs and images are kept)"):
                api.take_down(name=settings.name)


@contextmanager
def _existing(settings: Settings) -> Iterator[Stage]:
    assert settings.context is not None
    assert settings.gateway_address is not None
    with tempfile.TemporaryDirectory(prefix="modelrelease-demo-") as folder:
        cluster = existing.attach(
            context=settings.context, gateway=settings.gateway_address, prometheus="", folder=Path(folder)
        )
        found = _stage(cluster, hint=f"kubectl config use-context {settings.context}")
        if found.kube.get("namespace", NAMESPACE):
            msg = (
                f"the cluster of context {settings.context} has a namespace {NAMESPACE!r} already, which the demo "
                f"would use and remove: delete it if an earlier demo left it, `kubectl delete namespace {NAMESPACE}`"
            )
            raise ClusterError(msg)
        try:
            yield found
        finally:
            if not settings.keep:
                found.kube.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def _stage(cluster: api.Cluster, *, hint: str) -> Stage:
    kube = Kube(kubectl=cluster.kubectl_program(), kubeconfig=cluster.kubeconfig)
    return Stage(kube=kube, gateway_address=cluster.gateway_address, hint=hint)
