"""The API server, as far as the command line needs it. The only module here that imports the client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from modelrelease.cli.errors import CommandError, NotFound, Refused
from modelrelease.domain.naming import GROUP, PLURAL, VERSION

# Flux and others take over fields of managers that begin with "kubectl".
FIELD_MANAGER = "modelrelease-cli"
_TIMEOUT = (3.0, 15.0)  # seconds to connect, to answer
_WATCH_SECONDS = 60

Body = Mapping[str, Any]


class Cluster:
    """ModelReleases of one namespace."""

    def __init__(self, *, context: str | None, namespace: str | None) -> None:
        """Read the kubeconfig.

        Raises:
            CommandError: there is none, or not that context.

        """
        settings = client.Configuration()
        settings.retries = 0  # a person waits: say at once that nobody answers
        try:
            config.load_kube_config(context=context, client_configuration=settings)  # type: ignore[no-untyped-call]
            contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise CommandError(f"no cluster to talk to: {error}; set KUBECONFIG or --context") from error
        chosen = next((c for c in contexts if c["name"] == context), active)
        self.namespace = namespace or chosen["context"].get("namespace") or "default"
        self._objects = client.CustomObjectsApi(client.ApiClient(settings))

    def get(self, name: str) -> Body:
        """Return one release.

        Raises:
            CommandError: it is not there, or the server does not answer.

        """
        with self._translated(name):
            return self._body(self._objects.get_namespaced_custom_object(*self._place, name, _request_timeout=_TIMEOUT))

    def patch(self, name: str, patch: Body) -> Body:
        """Merge a patch into a release and return it.

        Raises:
            CommandError: as for `get`; Refused, where the server refuses the change.

        """
        with self._translated(name):
            return self._body(
                self._objects.patch_namespaced_custom_object(
                    *self._place,
                    name,
                    dict(patch),
                    field_manager=FIELD_MANAGER,
                    _content_type="application/merge-patch+json",
                    _request_timeout=_TIMEOUT,
                )
            )

    def try_apply(self, body: Body) -> str | None:
        """Apply an object without keeping it; return the server's objection, None if it would be accepted.

        Raises:
            CommandError: the server could not judge it.

        """
        meta = body.get("metadata", {})
        place = (GROUP, VERSION, meta.get("namespace") or self.namespace, PLURAL, meta["name"])
        try:
            with self._translated(meta["name"]):
                self._objects.patch_namespaced_custom_object(
                    *place,
                    dict(body),
                    dry_run="All",
                    force=True,
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _content_type="application/apply-patch+yaml",
                    _request_timeout=_TIMEOUT,
                )
        except Refused as error:
            return str(error)
        return None

    def follow(self, name: str) -> Iterator[Body | None]:
        """Yield the release now and after each change, None once it is deleted; ends when the server ends the watch.

        Raises:
            CommandError: the server can not be reached.

        """
        first = self.get(name)
        yield first
        with self._translated(name):
            events = watch.Watch().stream(  # type: ignore[no-untyped-call]
                self._objects.list_namespaced_custom_object,
                *self._place,
                field_selector=f"metadata.name={name}",
                resource_version=first["metadata"]["resourceVersion"],
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=(_TIMEOUT[0], _WATCH_SECONDS + _TIMEOUT[1]),
            )
            for event in events:
                yield None if event["type"] == "DELETED" else self._body(event["object"])

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    @staticmethod
    def _body(answer: object) -> Body:
        return cast(Body, answer)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Turn the client's errors into sentences."""
        try:
            yield
        except ApiException as error:
            raise self._sentence(error, name) from error
        except (HTTPError, OSError) as error:
            reason = str(error).split(": ")[-1].rstrip("')\"")
            raise CommandError(f"the API server does not answer: {reason}; check KUBECONFIG and --context") from error

    def _sentence(self, error: ApiException, name: str) -> CommandError:
        message = _message(error)
        if error.status == 404 and "page not found" in message:
            return CommandError(
                "this cluster knows no ModelReleases: apply crds/modelreleases.yaml, or choose another --context"
            )
        if error.status == 404 and "namespaces" not in message:
            return NotFound(
                f"there is no ModelRelease {name} in namespace {self.namespace}; kubectl get mr -A lists all there are"
            )
        if error.status in (400, 422):
            return Refused(message)
        if error.status in (401, 403):
            return CommandError(f"not allowed: {message}")
        return CommandError(f"the API server answered {error.status}: {message}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return " ".join(str(error.body or error.reason).split())
