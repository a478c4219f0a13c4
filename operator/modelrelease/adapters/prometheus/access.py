"""What Prometheus is told to let the operator in: a folder of files, usually a mounted Secret.

    ca.crt           who signed Prometheus' certificate, instead of the system's authorities
    tls.crt tls.key  the operator's own certificate
    token            a bearer token
    header.NAME      the value of the header NAME, such as header.X-Scope-OrgID

Files that change are read again before the next query: Secrets and tokens rotate. What is in
them is never repeated in a message.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelrelease.adapters.prometheus.problems import MetricsError

CA, CERTIFICATE, KEY, TOKEN, HEADER = "ca.crt", "tls.crt", "tls.key", "token", "header."
MOST_BYTES = 1024 * 1024

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

_Seen = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What goes with a request."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | bool = True  # as aiohttp takes it: True is the system's authorities


class Access:
    """The credentials in a folder, as they are now; none where there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._seen: _Seen | None = None
        self._credentials = Credentials()

    def credentials(self, *, encrypted: bool) -> Credentials:
        """Return what to send; reads the files again if one of them has changed.

        Raises:
            MetricsError: a file is not what its name says; or a token would go over an open line.

        """
        if self._folder is None:
            return self._credentials
        try:
            seen = _state(self._folder)
            if seen != self._seen:
                self._credentials = _read(self._folder)
                self._seen = seen
        except (OSError, UnicodeError) as error:
            what = error.strerror if isinstance(error, OSError) else "it is not text"
            raise _wrong(self._folder, f"can't be read ({what})", "correct the Secret that is mounted there") from None
        if "Authorization" in self._credentials.headers and not encrypted:
            raise _wrong(
                self._folder,
                "has a token or password that would be sent to an http:// address for everybody to read",
                "give the operator an https:// address in --prometheus-url",
            )
        return self._credentials


def _state(folder: Path) -> _Seen:
    """Return what changes when a file does; a mounted Secret is replaced as a whole, by another inode."""
    stats = sorted((path.name, path.stat()) for path in folder.iterdir() if path.is_file())
    return tuple((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _read(folder: Path) -> Credentials:
    headers = {}
    for path in sorted(folder.glob(f"{HEADER}*")):
        name = path.name.removeprefix(HEADER)
        if not _HEADER_NAME.fullmatch(name):
            raise _wrong(path, "does not name a header", "call the file header.NAME")
        headers[name.title() if name.lower() == "authorization" else name] = _value(path)
    if (folder / TOKEN).exists():
        if "Authorization" in headers:
            raise _wrong(folder, f"has both {TOKEN} and {HEADER}Authorization", "remove one of them")
        headers["Authorization"] = f"Bearer {_value(folder / TOKEN)}"
    return Credentials(headers=headers, tls=_tls(folder))


def _value(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise _wrong(path, "is larger than any header", "correct the Secret that is mounted there")
    text = path.read_text().strip()
    if not _HEADER_VALUE.fullmatch(text):
        raise _wrong(path, "is empty, or has a line break or a sign outside of ASCII", "write one line of plain text")
    return text


def _tls(folder: Path) -> ssl.SSLContext | bool:
    ca, certificate, key = (folder / name for name in (CA, CERTIFICATE, KEY))
    if certificate.exists() is not key.exists():
        there, missing = (CERTIFICATE, KEY) if certificate.exists() else (KEY, CERTIFICATE)
        raise _wrong(folder, f"has {there} without {missing}", "a client certificate needs both")
    if not ca.exists() and not certificate.exists():
        return True
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca.exists() else None)
    except ssl.SSLError:
        raise _wrong(ca, "is no certificate", "write it as PEM, with BEGIN CERTIFICATE") from None
    if certificate.exists():
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
        except ssl.SSLError:
            raise _wrong(
                certificate, f"and {KEY} are no pair", "write certificate and unencrypted key of one client as PEM"
            ) from None
    return context


def _wrong(path: Path, what: str, fix: str) -> MetricsError:
    return MetricsError(reason="MetricsAccess", message=f"{path} {what}: {fix}")
