"""One object to write: read before it is made, compared before it is changed, never taken from others."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from modelrelease import render
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import Kube
from modelrelease.domain import naming
from modelrelease.domain.observed import Meta
from modelrelease.domain.problem import Problem
from modelrelease.runtime.refusals import Refused
from modelrelease.runtime.store import Store

log = logging.getLogger(__name__)

_Id = tuple[str, str, str]
_MANAGER_LABELS = f"{naming.MANAGER}-labels"


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes through: what the API server answers is in the cache before anyone decides again."""

    kube: Kube
    store: Store
    # What was written, and what came of it, where the two still differ: somebody else (an
    # admission webhook, another controller) insists on its own, and once is enough.
    _settled: dict[_Id, tuple[str, str]] = field(default_factory=dict)

    async def ensure(
        self, manifest: Manifest, *, meta: Meta, manager: str = naming.MANAGER, resource_version: str | None = None
    ) -> bool:
        """Make the object what the manifest says; return whether that took a write.

        Raises:
            ApiError: the write did not succeed, or nothing is known of its success.
            Refused: the name is taken by an object that is not ours.
        """
        kind, namespace, name = ident = _ident(manifest)
        live = self.store.get(kind, namespace, name)
        if live is None:
            return await self._create(manifest, meta=meta, manager=manager)
        if not render.differs(rendered=manifest, live=live):
            self._settled.pop(ident, None)
            return False
        attempt = (fingerprint(manifest), _substance(live))
        if self._settled.get(ident) == attempt:
            return False
        if not _ours(live, meta):
            raise _name_taken(live)
        if not _owned(live, meta):
            await self._check_owner(meta)
        # The uid, because an apply would make an object anew that is deleted at this moment; the
        # resourceVersion, because what was compared is what may be changed.
        same = {**manifest, "metadata": {**manifest["metadata"], "uid": live["metadata"]["uid"]}}
        version = resource_version or live["metadata"]["resourceVersion"]
        written = await self._applied(same, manager=manager, resource_version=version, force=True)
        if render.differs(rendered=manifest, live=written):
            log.warning("%s %s/%s does not keep what was written to it: somebody else insists", kind, namespace, name)
            self._settled[ident] = (fingerprint(manifest), _substance(written))
        return True

    async def replace_status(self, release: Manifest, status: Manifest) -> None:
        """Replace a release's status, if it is still the one that was decided on."""
        meta = {key: release["metadata"][key] for key in ("name", "namespace", "resourceVersion")}
        body = {"apiVersion": release["apiVersion"], "kind": naming.KIND, "metadata": meta, "status": status}
        try:
            self.store.put(naming.KIND, await self.kube.replace_status(body, manager=naming.MANAGER_STATUS))
        except (errors.Conflict, errors.NotFound):
            await self._refresh(naming.KIND, meta["namespace"], meta["name"])
            raise

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str, resource_version: str) -> bool:
        """Delete an object if it is still the one seen; return whether there was one."""
        live = self.store.get(kind, namespace, name)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return False
        try:
            rest = await self.kube.delete(
                kind, namespace=namespace, name=name, uid=uid, resource_version=resource_version
            )
        except errors.NotFound:
            rest = None
        except errors.Conflict:
            await self._refresh(kind, namespace, name)
            raise
        if rest is not None:
            self.store.put(kind, rest)
        else:
            self.store.remove(kind, live)
        return True

    async def _create(self, manifest: Manifest, *, meta: Meta, manager: str) -> bool:
        """Create an object that the cache does not have, after a look at what is really there."""
        kind, namespace, name = _ident(manifest)
        try:
            live = await self.kube.get(kind, namespace=namespace, name=name)
        except errors.NotFound:
            # Without force: an object that somebody else makes at this very moment is a Conflict.
            await self._applied(manifest, manager=manager, resource_version=None, force=False)
            return True
        if not _ours(live, meta):
            raise _name_taken(live)
        if not _labelled(live, meta):
            live = await self._relabel(manifest, live)
        self.store.put(kind, live)
        raise errors.Conflict(f"{kind} {namespace}/{name} exists, but was not in sight: to be decided anew")

    async def _relabel(self, manifest: Manifest, live: Manifest) -> Manifest:
        """Give an object of ours the labels back by which it is watched, and change nothing else.

        By a manager of its own: an apply that names only the labels would drop all else that
        the manager ever applied.
        """
        seen = {key: live["metadata"][key] for key in ("name", "namespace", "uid")}
        labels = manifest["metadata"]["labels"]
        only = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {**seen, "labels": labels}}
        version = live["metadata"]["resourceVersion"]
        return await self.kube.apply(only, manager=_MANAGER_LABELS, resource_version=version)

    async def _applied(
        self, manifest: Manifest, *, manager: str, resource_version: str | None, force: bool
    ) -> Manifest:
        kind, namespace, name = _ident(manifest)
        try:
            written = await self.kube.apply(manifest, manager=manager, resource_version=resource_version, force=force)
        except errors.Conflict:
            await self._refresh(kind, namespace, name)
            raise
        self.store.put(kind, written)
        return written

    async def _check_owner(self, meta: Meta) -> None:
        """Make sure of the release before a child is (again) made its own.

        A child loses its owner when the release is deleted and its children are kept. To whom
        the cache still shows that release, an owner that is gone would look right, and the
        garbage collector would remove the child, traffic or not.

        Raises:
            ApiError: the release is not the one that was decided on, or can't be read.
        """
        await self._refresh(naming.KIND, meta.namespace, meta.name)
        release = self.store.release((meta.namespace, meta.name))
        if release is None or release["metadata"]["uid"] != meta.uid:
            raise errors.Conflict(f"release {meta.namespace}/{meta.name} is gone, or another now: to be decided anew")

    async def _refresh(self, kind: str, namespace: str, name: str) -> None:
        """Bring an object that proved stale up to date, so that the next decision rests on what is."""
        try:
            self.store.put(kind, await self.kube.get(kind, namespace=namespace, name=name))
        except errors.NotFound:
            if (known := self.store.get(kind, namespace, name)) is not None:
                self.store.remove(kind, known)


def fingerprint(value: Any) -> str:
    """Return a hash of JSON."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _substance(live: Manifest) -> str:
    """Return a hash of what people and controllers want of an object, without what happens to it."""
    meta = {key: live["metadata"].get(key) for key in ("labels", "annotations", "ownerReferences")}
    return fingerprint([meta, {key: item for key, item in live.items() if key not in ("metadata", "status")}])


def _ident(manifest: Manifest) -> _Id:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _labelled(live: Manifest, meta: Meta) -> bool:
    labels = live["metadata"].get("labels") or {}
    return naming.labels(meta.name).items() <= labels.items()


def _ours(live: Manifest, meta: Meta) -> bool:
    labels = live["metadata"].get("labels") or {}
    if labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY and labels.get(naming.LABEL_RELEASE) == meta.name:
        return True
    return _owned(live, meta)


def _owned(live: Manifest, meta: Meta) -> bool:
    return any(owner.get("uid") == meta.uid for owner in live["metadata"].get("ownerReferences") or ())


def _name_taken(live: Manifest) -> Refused:
    what = f"{live['kind']} {live['metadata']['name']}"
    message = f"{what} exists and is not this release's; rename or remove it, or give the release another name"
    return Refused(Problem(reason="NameTaken", message=message))
