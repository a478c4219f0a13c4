"""`Kube` that counts: every request by kind, verb and result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube, Listed
from modelrelease.runtime.metrics import Metrics


class MeteredKube:
    """Passes each verb on."""

    def __init__(self, *, kube: Kube, metrics: Metrics) -> None:
        self._kube = kube
        self._metrics = metrics

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        """Return an object as it is now."""
        with self._counted(kind, "get"):
            return await self._kube.get(kind, namespace=namespace, name=name)

    async def list(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        """Return all objects that match."""
        with self._counted(kind, "list"):
            return await self._kube.list(kind, namespace=namespace, labels=labels, fields=fields)

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        """Create or change an object."""
        with self._counted(manifest["kind"], "apply"):
            return await self._kube.apply(manifest, manager=manager, resource_version=resource_version, force=force)

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Replace the status of the object."""
        with self._counted(manifest["kind"], "replace_status"):
            return await self._kube.replace_status(manifest, manager=manager)

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        """Delete an object if it is still the one seen."""
        with self._counted(kind, "delete"):
            return await self._kube.delete(
                kind, namespace=namespace, name=name, uid=uid, resource_version=resource_version
            )

    async def create_event(self, event: Manifest) -> None:
        """Record an Event."""
        with self._counted("Event", "create"):
            await self._kube.create_event(event)

    @contextmanager
    def _counted(self, kind: str, verb: str) -> Iterator[None]:
        result = "success"
        try:
            yield
        except ApiError as error:
            result = type(error).__name__
            raise
        finally:
            self._metrics.requested(kind=kind, verb=verb, result=result)
