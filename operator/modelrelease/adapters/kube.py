"""The API server: a handful of verbs over plain dictionaries.

The generated typed clients reject what a newer server accepts, so only the transport
and the credentials of the client package are used. Every answer that is not a success
becomes one of `adapters.errors`, here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from modelrelease import __version__
from modelrelease.adapters import errors
from modelrelease.adapters.kinds import KINDS, Manifest

USER_AGENT = f"modelrelease-operator/{__version__}"
TIMEOUT_SECONDS = 10.0
CHUNK = 500

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The objects of a list and the resourceVersion at which they were read."""

    items: tuple[Manifest, ...]
    resource_version: str


class Kube(Protocol):
    """The verbs. All raise `adapters.errors.ApiError` and nothing else."""

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        """Return an object as it is now."""

    async def list(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        """Return all objects of a namespace, or of all namespaces, that match."""

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        """Create or change an object by server-side apply and return the result.

        With a uid in the manifest the object must exist and be that one, with a
        `resource_version` it must be unchanged since, and without `force` nobody else's
        field may change. Each is a Conflict otherwise.
        """

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Replace the status of the object if it still has the manifest's resourceVersion."""

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        """Delete an object if it is still the one seen; return it where it lingers (finalizers)."""

    async def create_event(self, event: Manifest) -> None:
        """Record an Event; one of the same name is the same Event."""


class KubeClient:
    """`Kube` over HTTP. The caller makes the ApiClient, with its credentials, and closes it."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get(self, kind: str, *, namespace: str | None, name: str) -> Manifest:
        """Return an object as it is now."""
        return await self._ask("GET", KINDS[kind].path(namespace=namespace, name=name))

    async def list(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Listed:
        """Return all objects that match, read in chunks of one consistent snapshot."""
        query = {"limit": str(CHUNK)}
        if labels:
            query["labelSelector"] = ",".join(f"{k}={v}" for k, v in labels.items())
        if fields:
            query["fieldSelector"] = ",".join(f"{k}={v}" for k, v in fields.items())
        path = KINDS[kind].path(namespace=namespace)
        found: list[Manifest] = []
        while True:
            page = await self._ask("GET", path, query=query)
            meta = page["metadata"]
            found += page.get("items") or []
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        # The items of a list carry neither kind nor apiVersion; those of a get do.
        head = {"apiVersion": KINDS[kind].api_version, "kind": kind}
        return Listed(items=tuple({**head, **item} for item in found), resource_version=meta["resourceVersion"])

    async def apply(
        self, manifest: Manifest, *, manager: str, resource_version: str | None = None, force: bool = True
    ) -> Manifest:
        """Create or change an object by server-side apply and return the result."""
        meta = manifest["metadata"]
        if resource_version is not None:
            manifest = {**manifest, "metadata": {**meta, "resourceVersion": resource_version}}
        path = KINDS[manifest["kind"]].path(namespace=meta.get("namespace"), name=meta["name"])
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._ask("PATCH", path, query=query, body=manifest, content_type=_APPLY)

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Replace the status of the object if it still has the manifest's resourceVersion.

        A PUT and not an apply: the status is ours alone, and what someone else wrote into
        it (a restore, a kubectl edit) must go when we leave it out.
        """
        meta = manifest["metadata"]
        if not meta.get("resourceVersion"):
            raise ValueError("a status is only ever replaced on top of the resourceVersion that was decided on")
        path = KINDS[manifest["kind"]].path(namespace=meta["namespace"], name=meta["name"], subresource="status")
        return await self._ask("PUT", path, query={"fieldManager": manager}, body=manifest)

    async def delete(self, kind: str, *, namespace: str, name: str, uid: str, resource_version: str) -> Manifest | None:
        """Delete an object if it is still the one seen; its own dependents follow in the background."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        answer = await self._ask("DELETE", KINDS[kind].path(namespace=namespace, name=name), body=body)
        # Some kinds answer with what was deleted, the others with a Status.
        return answer if "deletionTimestamp" in answer.get("metadata", {}) else None

    async def create_event(self, event: Manifest) -> None:
        """Record an Event; one of the same name is the same Event."""
        try:
            await self._ask("POST", KINDS["Event"].path(namespace=event["metadata"]["namespace"]), body=event)
        except errors.Conflict:
            return

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Manifest:
        headers = {"Accept": _JSON, "Content-Type": content_type, "User-Agent": USER_AGENT}
        what = f"{method} {path}"
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._api.call_api(
                method,
                f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else ""),
                header_params=headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            )
            text = await answer.response.read()
        except TimeoutError as error:
            raise errors.Unavailable(f"{what}: no answer from the API server within {TIMEOUT_SECONDS:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unavailable(f"{what}: the API server can't be reached: {error}") from error
        parsed = _parse(text)
        if 200 <= answer.status < 300 and parsed is not None:
            return parsed
        raise _error(what, answer.status, parsed, answer.headers.get("Retry-After"))


def _parse(text: bytes) -> Manifest | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _error(what: str, status: int, answer: Mapping[str, Any] | None, retry_after: str | None) -> errors.ApiError:
    said = (answer or {}).get("message") or f"HTTP {status}"
    message = f"{what}: {said}"
    if status == 404:
        # A kind that is not there is answered by the mux, as text; an absent object as a Status.
        return errors.NotFound(message) if answer is not None else errors.KindAbsent(f"{what}: unknown kind")
    if status == 403:
        return errors.QuotaExceeded(message) if "exceeded quota" in said else errors.Forbidden(message)
    if status in (409, 410) or _another_uid(answer):
        return errors.Conflict(message)
    if status in (400, 405, 413, 415, 422):
        return errors.Invalid(message)
    if status == 429:
        wait = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        return errors.TooManyRequests(message, retry_after=wait)
    # What is left: server errors, and 401 while a token is being renewed.
    return errors.Unavailable(message)


def _another_uid(answer: Mapping[str, Any] | None) -> bool:
    """Tell whether the object was deleted and made anew: the API server words it as an edit of the uid."""
    causes = ((answer or {}).get("details") or {}).get("causes") or ()
    return any(cause.get("field") == "metadata.uid" for cause in causes)
