"""What the operator is told at its start: flags, each with an environment variable as fallback."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "MODELRELEASE_"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The operator's configuration."""

    puller_image: str
    prometheus_url: str = "http://prometheus.monitoring.svc:9090"
    prometheus_access: Path | None = None  # a folder of credentials
    namespaces: tuple[str, ...] = ()  # empty: the whole cluster
    workers: int = 8
    metrics_port: int = 8080
    lease_namespace: str = "modelrelease-system"
    log_format: str = "json"
    log_level: str = "info"

    @property
    def clusterwide(self) -> bool:
        """Whether releases of all namespaces are served."""
        return not self.namespaces


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Read the configuration; bad input ends the process with one sentence on standard error."""
    parser = _parser(environment)
    given = parser.parse_args(arguments)
    namespaces = tuple(dict.fromkeys(given.namespace or _split(environment.get(f"{PREFIX}NAMESPACE", ""))))
    for namespace in (*namespaces, given.lease_namespace):
        if not _NAMESPACE.fullmatch(namespace):
            parser.error(f"{namespace!r} is no namespace: lower-case letters, digits and '-', at most 63 of them")
    if not given.puller_image:
        parser.error(f"--puller-image (or {PREFIX}PULLER_IMAGE) is missing: the image that fetches artifacts to nodes")
    return Config(
        puller_image=given.puller_image,
        prometheus_url=given.prometheus_url.rstrip("/"),
        prometheus_access=Path(given.prometheus_access) if given.prometheus_access else None,
        namespaces=namespaces,
        workers=given.workers,
        metrics_port=given.metrics_port,
        lease_namespace=given.lease_namespace,
        log_format=given.log_format,
        log_level=given.log_level,
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    defaults = Config(puller_image="")
    parser = argparse.ArgumentParser(
        prog="python -m modelrelease",
        description=f"The ModelRelease operator. Each flag can be given as {PREFIX}FLAG_NAME in the environment.",
    )

    def flag(
        name: str,
        *,
        default: str,
        text: str,
        kind: Callable[[str], object] = str,
    ) -> None:
        # argparse passes a default that is a string through `type`: one check for flag and environment.
        value = environment.get(PREFIX + name.replace("-", "_").upper()) or default
        parser.add_argument(f"--{name}", default=value, type=kind, help=f"{text} (default: {default or 'none'})")

    flag("prometheus-url", default=defaults.prometheus_url, kind=_url, text="where evidence is read")
    flag("prometheus-access", default="", text="folder with ca.crt, tls.crt, tls.key, token and header.NAME for it")
    flag("puller-image", default="", text="image of the init container that fetches artifacts to serving nodes")
    flag("workers", default=str(defaults.workers), kind=_Range(1, 256), text="releases worked on at once")
    flag("metrics-port", default=str(defaults.metrics_port), kind=_Range(0, 65535), text="/metrics, /healthz, /readyz")
    flag("lease-namespace", default=defaults.lease_namespace, text="where the leader's Lease is kept")
    flag("log-format", default=defaults.log_format, kind=_OneOf("json", "text"), text="log lines: json or text")
    levels = _OneOf("debug", "info", "warning")
    flag("log-level", default=defaults.log_level, kind=levels, text="how much is logged: debug, info or warning")
    parser.add_argument(
        "--namespace",
        action="append",
        help=f"serve only this namespace; repeatable, or {PREFIX}NAMESPACE=A,B (default: the whole cluster)",
    )
    return parser


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: write http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password:
        # Not repeated: what is said here is in the log.
        raise argparse.ArgumentTypeError("the address has a password: put it into the folder --prometheus-access")
    if parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r} has more than an address and a path: leave out what follows the ?")
    return text


@dataclass(frozen=True)
class _Range:
    """A whole number between two bounds."""

    low: int
    high: int

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self.low <= int(text) <= self.high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self.low} to {self.high}")
        return int(text)


class _OneOf:
    """One of some words; `choices` of argparse would not check what the environment says."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def __call__(self, text: str) -> str:
        if text not in self._words:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(self._words)}")
        return text
