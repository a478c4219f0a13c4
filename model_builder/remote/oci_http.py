"""HTTP as container registries speak it: tokens, redirects to other hosts, and plain HTTP to this machine only."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import io
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from model_builder import authorities
from model_builder.errors import StorageError

_SECONDS = 60
#: Bytes of an answer that is no blob.
_LARGEST = 4 << 20
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Answer:
    """Status and headers of an answer; the body is still to be read."""

    status: int
    headers: Mapping[str, str]
    body: IO[bytes]


@dataclass
class Client:
    """One repository of a registry. Credentials are those of `docker login` or of a mounted pull secret."""

    host: str
    repository: str
    _token: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The address of the API, without a slash at its end."""
        return f"{'http' if _LOCAL.fullmatch(self.host) else 'https'}://{self.host}/v2/{self.repository}"

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        push: bool = False,
        stream: bool = False,
        expected: tuple[int, ...],
    ) -> Answer:
        """Ask, log in if that is asked for, and give the answer if its status is an expected one. StorageError.

        The body is read and closed, unless it is to be a stream.
        """
        action = "pull,push" if push else "pull"
        answer = self._send(method, url, headers=headers, data=data, action=action)
        if answer.status == 401 and 401 not in expected:
            answer.body.close()
            self._log_in(answer.headers.get("www-authenticate", ""), action=action)
            answer = self._send(method, url, headers=headers, data=data, action=action)
        if stream and answer.status in expected:
            return answer
        try:
            with answer.body as body:
                answer = dataclasses.replace(answer, body=io.BytesIO(body.read(_LARGEST)))
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(error) from error
        if answer.status not in expected:
            raise self._refused(answer)
        return answer

    def unreachable(self, error: Exception) -> StorageError:
        """The sentence for a registry that does not answer, or stops to."""
        if untrusted := authorities.refused(error, place=f"the registry {self.host}"):
            return untrusted
        detail = " ".join(str(error).split())[:200]
        return StorageError(f"the registry {self.host} can't be used ({detail}): check the host and the network")

    def _send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None, data: bytes | None, action: str
    ) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - the scheme is that of `base`, or of the registry's own redirect
            urllib.parse.urljoin(self.base + "/", url), data=data, method=method, headers=dict(headers or {})
        )
        if action in self._token and urllib.parse.urlsplit(request.full_url).netloc == self.host:
            # Not sent along when a registry redirects to its storage: that host must not see it.
            request.add_unredirected_header("Authorization", self._token[action])
        try:
            found = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310 - as above
        except urllib.error.HTTPError as error:
            found = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.unreachable(error) from error
        return Answer(
            status=found.status, headers={name.lower(): value for name, value in found.headers.items()}, body=found
        )

    def _log_in(self, challenge: str, *, action: str) -> None:
        kind, _, rest = challenge.partition(" ")
        basic = _stored_credentials(self.host)
        if kind.lower() == "basic":
            if basic is None:
                raise self._no_credentials()
            self._token[action] = f"Basic {basic}"
            return
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = fields.get("realm", "")
        if kind.lower() != "bearer" or not realm.startswith(("https://", "http://")):
            raise self._no_credentials()
        query = {"service": fields.get("service", ""), "scope": f"repository:{self.repository}:{action}"}
        request = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(query)}")  # noqa: S310 - checked above
        if basic is not None:
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
                told = json.loads(answer.read(1 << 20))
            self._token[action] = f"Bearer {told.get('token') or told['access_token']}"
        except urllib.error.HTTPError as error:
            error.close()
            raise self._no_credentials() from error
        except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError) as error:
            raise self.unreachable(error) from error

    def _no_credentials(self) -> StorageError:
        return StorageError(
            f"the registry {self.host} asks who we are for {self.repository!r}: give credentials in config.json of "
            "the folder that DOCKER_CONFIG names, or that file's text in DOCKER_AUTH_CONFIG",
            reason="StoreDenied",
        )

    def _refused(self, answer: Answer) -> StorageError:
        detail = " ".join(answer.body.read(2000).decode(errors="replace").split())[:200]
        if answer.status in (401, 403):
            return StorageError(
                f"the registry {self.host} refuses access to {self.repository!r} ({detail}): check the credentials and "
                "their rights",
                reason="StoreDenied",
            )
        if answer.status == 404:
            return StorageError(
                f"the registry {self.host} has no {self.repository!r} ({detail}): check the URI",
                reason="ArtifactMissing",
            )
        return StorageError(f"the registry {self.host} answers with status {answer.status} ({detail}): try again later")


def _docker_config() -> str:
    """DOCKER_AUTH_CONFIG, the text itself, as Docker takes it too; else the file below DOCKER_CONFIG or at home."""
    if text := os.environ.get("DOCKER_AUTH_CONFIG"):
        return text
    folder = os.environ.get("DOCKER_CONFIG")
    path = Path(folder) / "config.json" if folder else Path.home() / ".docker" / "config.json"
    return path.read_text()


def _stored_credentials(host: str) -> str | None:
    """What `docker login` keeps for a host, as base64 of `user:password`."""
    try:
        known: Any = json.loads(_docker_config())["auths"]
        entry: dict[str, str] = next(
            (known[name] for name in (host, f"https://{host}", f"https://{host}/v2/") if name in known), {}
        )
        if entry.get("auth"):
            return str(entry["auth"])
        if entry.get("username"):
            return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None
