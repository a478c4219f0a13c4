"""Download official release archives, each verified against the checksum that its project publishes beside it.

One attempt to connect per host decides for the whole run: where a release server can't be reached, ``up`` knows
within three seconds and compiles. ``MODELRELEASE_DOWNLOADS`` names a mirror; below it lie the same paths,
each under the host that it comes from.

Envoy Gateway is not here: it publishes no checksums. It is compiled, and go.sum vouches for it.
"""

import hashlib
import http.client
import os
import platform
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from localcluster import pins
from localcluster.errors import ClusterError
from localcluster.progress import Progress

CONNECT_TIMEOUT_S = 3
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Release:
    """One published file and the programs in it; without ``archive`` the file is the program."""

    url: str
    checksum: str
    programs: tuple[str, ...]
    archive: bool = True

    @property
    def file(self) -> str:
        """Name of the published file."""
        return self.url.rpartition("/")[2]


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def releases() -> tuple[Release, ...]:
    """Return every official file for this machine's architecture."""
    arch, github = _architecture(), "https://github.com"
    kubernetes = f"https://dl.k8s.io/v{pins.KUBERNETES}/bin/linux/{arch}"
    names = [program.name for program in pins.PROGRAMS if program.package.startswith("k8s.io/kubernetes/")]
    etcd = f"{github}/etcd-io/etcd/releases/download/v{pins.ETCD}"
    containerd = (
        f"{github}/containerd/containerd/releases/download/v{pins.CONTAINERD}"
        f"/containerd-{pins.CONTAINERD}-linux-{arch}.tar.gz"
    )
    cni = f"{github}/containernetworking/plugins/releases/download/v{pins.CNI}/cni-plugins-linux-{arch}-v{pins.CNI}.tgz"
    coredns = f"{github}/coredns/coredns/releases/download/v{pins.COREDNS}/coredns_{pins.COREDNS}_linux_{arch}.tgz"
    prometheus = f"{github}/prometheus/prometheus/releases/download/v{pins.PROMETHEUS}"
    single = [
        Release(url=f"{kubernetes}/{name}", checksum=f"{kubernetes}/{name}.sha256", programs=(name,), archive=False)
        for name in names
    ]
    return (
        *single,
        Release(url=f"{etcd}/etcd-v{pins.ETCD}-linux-{arch}.tar.gz", checksum=f"{etcd}/SHA256SUMS", programs=("etcd",)),
        Release(
            url=containerd,
            checksum=f"{containerd}.sha256sum",
            programs=("containerd", "containerd-shim-runc-v2", "ctr"),
        ),
        Release(url=cni, checksum=f"{cni}.sha256", programs=("ptp", "loopback", "host-local")),
        Release(url=coredns, checksum=f"{coredns}.sha256", programs=("coredns",)),
        Release(
            url=f"{prometheus}/prometheus-{pins.PROMETHEUS}.linux-{arch}.tar.gz",
            checksum=f"{prometheus}/sha256sums.txt",
            programs=("prometheus",),
        ),
    )


@dataclass(kw_only=True)
class Server:
    """Where releases are fetched from, and which hosts have been found out of reach."""

    mirror: str = ""
    _reachable: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> "Server":
        """Return the server that the environment names, else the projects' own."""
        return cls(mirror=os.environ.get("MODELRELEASE_DOWNLOADS", "").rstrip("/"))

    def address(self, url: str) -> str:
        """Return where ``url`` is really fetched from."""
        return f"{self.mirror}/{url.partition('://')[2]}" if self.mirror else url

    def reachable(self, url: str) -> bool:
        """Return whether the host of ``url`` accepts a connection within three seconds; asked once per host."""
        parts = urlsplit(self.address(url))
        if parts.netloc not in self._reachable:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_S)
            try:
                connection.connect()
                self._reachable[parts.netloc] = True
            except OSError:
                self._reachable[parts.netloc] = False
            finally:
                connection.close()
        return self._reachable[parts.netloc]

    def open(self, url: str) -> IO[bytes]:
        """Open ``url`` for reading."""
        stream: IO[bytes] = urllib.request.urlopen(self.address(url), timeout=60)  # noqa: S310 - from our own table
        return stream


def download(*, programs: Sequence[pins.Program], target: Path, server: Server, progress: Progress) -> None:
    """Put what can be downloaded of ``programs`` into ``target``; what can't is left for the compiler."""
    wanted = {program.name for program in programs}
    useful = [release for release in releases() if wanted & set(release.programs)]
    reachable = [release for release in useful if server.reachable(release.url)]
    if useful and not reachable:
        progress.say("release servers are out of reach")
        return
    with ThreadPoolExecutor(max_workers=4) as pool:
        for release, problem in zip(reachable, pool.map(lambda r: _fetch(r, target, server), reachable), strict=True):
            progress.say(f"{release.file}: {problem or 'downloaded and verified'}")


def _fetch(release: Release, target: Path, server: Server) -> str:
    """Fetch, verify and unpack one release; return what went wrong, or an empty string.

    Only a checksum that does not match is an error: a file that is not there is compiled instead.
    """
    draft = target / f".{release.file}.part"
    try:
        with server.open(release.checksum) as stream:
            expected = published_sum(text=stream.read(_CHUNK).decode(), file=release.file)
        with server.open(release.url) as stream, draft.open("wb") as output:
            actual = _copy(stream, output)
        if actual != expected:
            msg = f"{release.url} has checksum {actual}, but {expected} is published; a proxy may have changed it"
            raise ClusterError(msg)
        _unpack(release=release, file=draft, target=target)
    except (urllib.error.URLError, OSError, tarfile.TarError) as error:
        return f"not available ({error})"
    finally:
        draft.unlink(missing_ok=True)
    return ""


def published_sum(*, text: str, file: str) -> str:
    """Find the checksum of ``file`` in what its project published: one bare sum, or a list of sums and names."""
    for line in text.splitlines():
        words = line.split()
        named = len(words) == 1 or (len(words) > 1 and words[1].lstrip("*./") == file)
        if named and re.fullmatch(r"[0-9a-f]{64}", words[0]):
            return words[0]
    msg = f"no SHA-256 checksum of {file} in what is published beside it"
    raise ClusterError(msg)


def _copy(source: IO[bytes], output: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        output.write(chunk)
    return digest.hexdigest()


def _unpack(*, release: Release, file: Path, target: Path) -> None:
    if not release.archive:
        _place(file=file, target=target / release.programs[0])
        return
    with tarfile.open(file) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            if member.isfile() and name in release.programs:
                source, draft = archive.extractfile(member), target / f".{name}.new"
                assert source is not None
                with draft.open("wb") as output:
                    _copy(source, output)
                _place(file=draft, target=target / name)


def _place(*, file: Path, target: Path) -> None:
    file.chmod(0o755)
    file.rename(target)
