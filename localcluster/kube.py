"""A small client of the API server, on the standard library alone: apply objects, read them, wait.

``up`` uses it instead of kubectl because discovery and schema downloads would cost it seconds.
"""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcluster.errors import ClusterError
from localcluster.progress import wait_until

Object = dict[str, Any]
FIELD_MANAGER = "localcluster"
_TIMEOUT_S = 30
_AT_ONCE = 6
_ESTABLISH_TIMEOUT_S = 60
# A Service that exists is refused for its address, before anybody looks at its name.
_EXISTS = (409, 422)

# Kinds that are cluster-wide; everything else applied here lives in a namespace.
_CLUSTER_WIDE = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "GatewayClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)


class ApiError(ClusterError):
    """The API server said no; ``code`` is the HTTP status."""

    def __init__(self, *, code: int, message: str) -> None:
        super().__init__(f"API server answered {code}: {message}")
        self.code = code


class Api:
    """Talks to one API server as the user of one kubeconfig."""

    def __init__(self, *, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._address = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-key-data"]) + base64.b64decode(user["client-certificate-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)
        self._idle: list[http.client.HTTPSConnection] = []

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept for the next request."""
        while self._idle:
            self._idle.pop().close()

    def request(self, method: str, path: str, *, body: object = None, content: str = "application/json") -> Object:
        """Send one request and return the decoded answer; a connection that has gone stale is opened anew."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content, "Accept": "application/json"}
        reused = bool(self._idle)
        try:
            status, raw = self._exchange(method, path, data, headers)
        except (http.client.HTTPException, ConnectionError):
            if not reused:
                raise
            self.close()
            status, raw = self._exchange(method, path, data, headers)
        if status >= 400:
            raise ApiError(code=status, message=_message(raw))
        document: Object = json.loads(raw) if raw[:1] == b"{" else {}
        return document

    def _exchange(self, method: str, path: str, data: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            connection = self._idle.pop()
        except IndexError:
            host, port = self._address.hostname or "", self._address.port
            connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self._tls)
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return status, raw

    def get(self, path: str) -> Object | None:
        """Return the object at ``path``, or None when there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def ready(self) -> bool:
        """Return whether the API server says that it is ready."""
        try:
            self.request("GET", "/readyz")
        except (OSError, http.client.HTTPException, ApiError):
            return False
        return True

    def apply(self, obj: Object) -> None:
        """Server-side apply one object."""
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        self.request("PATCH", path_of(obj) + query, body=obj, content="application/apply-patch+yaml")

    def install(self, obj: Object) -> None:
        """Create an object, or apply it when it exists: creating costs the API server much less."""
        path = path_of(obj).rpartition("/")[0]
        try:
            self.request("POST", f"{path}?fieldManager={FIELD_MANAGER}", body=obj)
        except ApiError as error:
            if error.code not in _EXISTS:
                raise
            self.apply(obj)

    def install_all(self, objects: Iterable[Object]) -> None:
        """Install objects, several at a time; what others need first."""
        ordered = sorted(objects, key=_rank)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            for rank in sorted({_rank(obj) for obj in ordered}):
                now = [obj for obj in ordered if _rank(obj) == rank]
                list(pool.map(self.install, now))
                self._await_definitions(now)

    def _await_definitions(self, objects: Iterable[Object]) -> None:
        """Wait until the definitions among ``objects`` are served: until then their objects are refused."""
        for path in [path_of(obj) for obj in objects if obj["kind"] == "CustomResourceDefinition"]:
            wait_until(
                lambda path=path: condition(self.get(path), "Established"),  # type: ignore[misc]
                what=f"{path.rpartition('/')[2]} to be served",
                timeout=_ESTABLISH_TIMEOUT_S,
            )


def path_of(obj: Object) -> str:
    """Return the path of one object in the API."""
    version, kind, meta = obj["apiVersion"], obj["kind"], obj["metadata"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    where = "" if kind in _CLUSTER_WIDE else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{base}{where}/{plural(kind)}/{meta['name']}"


def plural(kind: str) -> str:
    """Return the plural under which the API serves a kind (English is regular enough for all kinds used here)."""
    word = kind.lower()
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x")) else f"{word}s"


def condition(obj: Object | None, name: str) -> bool:
    """Return whether an object reports the condition ``name`` as True."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return any(entry["type"] == name and entry["status"] == "True" for entry in conditions)


def _rank(obj: Object) -> int:
    """Return when an object's turn is: what others need comes first, rights among it, since the parts wait for them."""
    return {"Namespace": 0, "ClusterRole": 0, "ClusterRoleBinding": 0, "CustomResourceDefinition": 1}.get(
        obj["kind"], 2
    )


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace")[:300]
