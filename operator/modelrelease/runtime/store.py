"""What the operator last saw of the cluster, in memory.

Fed by three sources that overtake one another: the watches, the answers to our own
writes, and full lists. The resourceVersion settles it (they are comparable numbers
since Kubernetes 1.35): only something newer replaces what is known, and what was seen
deleted stays deleted for every older message. So after our own write a decision never
rests on the state before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelrelease.adapters import errors
from modelrelease.adapters.kinds import CACHED, CHILDREN, Manifest
from modelrelease.adapters.kube import Kube, Listed
from modelrelease.domain import naming

Key = tuple[str, str]  # namespace and name of a release
_Id = tuple[str, str, str]  # kind, namespace, name


class Store:
    """The cache. Objects in it are shared: nobody changes them."""

    def __init__(self, *, namespaces: tuple[str, ...] | None = None) -> None:
        """Watch `namespaces`; None means all of them."""
        self._scopes: tuple[str | None, ...] = namespaces if namespaces is not None else (None,)
        self._objects: dict[_Id, Manifest] = {}
        self._gone: dict[_Id, int] = {}  # resourceVersion at which an object was last known deleted
        self._children: dict[Key, set[_Id]] = {}
        self._listed: dict[tuple[str, str | None], int] = {}  # resourceVersion of the last list
        self.absent: frozenset[str] = frozenset()  # kinds that the cluster does not have

    def put(self, kind: str, obj: Mapping[str, Any]) -> bool:
        """Take an object in; tell whether it was news."""
        ident = _ident(kind, obj)
        version = _version(obj)
        known = self._objects.get(ident)
        if (known is not None and _version(known) >= version) or self._gone.get(ident, -1) >= version:
            return False
        self._gone.pop(ident, None)
        if known is not None:
            self._unlink(ident, known)
        kept = _trim(kind, obj)
        self._objects[ident] = kept
        if (key := release_of(kind, kept)) is not None and kind in CHILDREN:
            self._children.setdefault(key, set()).add(ident)
        return True

    def remove(self, kind: str, obj: Mapping[str, Any]) -> bool:
        """Take in that an object was deleted; tell whether it was news."""
        ident = _ident(kind, obj)
        version = _version(obj)
        known = self._objects.get(ident)
        if known is not None and _version(known) > version:
            return False  # it was made anew since
        self._gone[ident] = max(version, self._gone.get(ident, -1))
        if known is None:
            return False
        self._unlink(ident, known)
        del self._objects[ident]
        return True

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None where none is known."""
        return self._objects.get((kind, namespace, name))

    def release(self, key: Key) -> Manifest | None:
        """Return a release that exists and is not being deleted."""
        found = self.get(naming.KIND, *key)
        return None if found is None or "deletionTimestamp" in found["metadata"] else found

    def releases(self) -> list[Key]:
        """Return the keys of all known releases."""
        return [(namespace, name) for kind, namespace, name in self._objects if kind == naming.KIND]

    def children(self, key: Key, kind: str) -> list[Manifest]:
        """Return the release's children of one kind, by name."""
        mine = (ident for ident in self._children.get(key, ()) if ident[0] == kind)
        return [self._objects[ident] for ident in sorted(mine)]

    async def resync(self, kube: Kube) -> None:
        """List everything; also drop what is no longer there.

        Raises:
            ApiError: a list failed; what was listed before it has been taken in.
        """
        absent = set()
        for kind in CACHED:
            for scope in self._scopes:
                try:
                    self._take_in(kind, scope, await kube.list(kind, namespace=scope, labels=_selector(kind)))
                except errors.KindAbsent:
                    absent.add(kind)
        self.absent = frozenset(absent)

    def _take_in(self, kind: str, scope: str | None, listed: Listed) -> None:
        at = int(listed.resource_version)
        present = set()
        for obj in listed.items:
            self.put(kind, obj)
            present.add(_ident(kind, obj))
        for ident, known in list(self._objects.items()):
            # What is newer than the list was made after it was read.
            if _in_scope(ident, kind, scope) and ident not in present and _version(known) <= at:
                self._unlink(ident, known)
                del self._objects[ident]
                self._gone[ident] = at
        # A mark as old as the previous list has outlived every message that it guards against.
        previous = self._listed.get((kind, scope), -1)
        self._listed[kind, scope] = at
        for ident in [i for i, version in self._gone.items() if _in_scope(i, kind, scope) and version <= previous]:
            del self._gone[ident]

    def _unlink(self, ident: _Id, known: Manifest) -> None:
        key = release_of(ident[0], known)
        if key is not None and (idents := self._children.get(key)) is not None:
            idents.discard(ident)
            if not idents:
                del self._children[key]


def release_of(kind: str, obj: Mapping[str, Any]) -> Key | None:
    """Return the key of the release that an object is, or belongs to."""
    meta = obj["metadata"]
    name = meta["name"] if kind == naming.KIND else (meta.get("labels") or {}).get(naming.LABEL_RELEASE)
    return (meta["namespace"], name) if name else None


def _selector(kind: str) -> dict[str, str] | None:
    return None if kind == naming.KIND else {naming.LABEL_MANAGED_BY: naming.MANAGED_BY}


def _ident(kind: str, obj: Mapping[str, Any]) -> _Id:
    meta = obj["metadata"]
    return kind, meta["namespace"], meta["name"]


def _in_scope(ident: _Id, kind: str, scope: str | None) -> bool:
    return ident[0] == kind and scope in (None, ident[1])


def _version(obj: Mapping[str, Any]) -> int:
    return int(obj["metadata"]["resourceVersion"])


def _trim(kind: str, obj: Mapping[str, Any]) -> Manifest:
    """Return the object without what nobody reads: most of the bytes of a Pod, a third of the others'."""
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    trimmed = {**obj, "metadata": meta}
    if kind == "Pod":
        trimmed["spec"] = {k: _containers(v) for k, v in obj.get("spec", {}).items() if k in _POD_SPEC}
    return trimmed


_POD_SPEC = ("containers", "initContainers")


def _containers(containers: Iterable[Mapping[str, Any]]) -> list[Manifest]:
    return [{k: c[k] for k in ("name", "image", "resources") if k in c} for c in containers]
