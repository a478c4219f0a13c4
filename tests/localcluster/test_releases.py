"""Official releases: verified, taken from a mirror where one is named, and given up in seconds when out of reach."""

import hashlib
import http.server
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcluster import pins
from localcluster.binaries import releases
from localcluster.errors import ClusterError
from localcluster.progress import Progress

_QUIET = Progress(quiet=True)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A local HTTP server: its address, its folder, and the paths that were asked for."""
    folder, asked = tmp_path / "mirror", list[str]()
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder, asked
        server.shutdown()
        thread.join()


def _release(name: str) -> releases.Release:
    return next(release for release in releases.releases() if name in release.programs)


def _publish(folder: Path, release: releases.Release, *, content: bytes, checksum: str | None = None) -> None:
    if release.archive:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for program in (*release.programs, "README"):
                member = tarfile.TarInfo(f"bin/{program}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        content = buffer.getvalue()
    for url, data in (
        (release.url, content),
        (release.checksum, f"{checksum or hashlib.sha256(content).hexdigest()}  {release.file}\n".encode()),
    ):
        path = folder / url.partition("://")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _download(names: set[str], target: Path, address: str) -> set[str]:
    target.mkdir(exist_ok=True)
    programs = [program for program in pins.PROGRAMS if program.name in names]
    releases.download(programs=programs, target=target, server=releases.Server(mirror=address), progress=_QUIET)
    return {path.name for path in target.iterdir()}


def test_programs_and_archives_are_downloaded_verified_and_executable(
    mirror: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    address, folder, _ = mirror
    for name in ("kubectl", "containerd"):
        _publish(folder, _release(name), content=b"#!/bin/sh\n")
    found = _download({"kubectl", "containerd", "ctr", "containerd-shim-runc-v2"}, tmp_path / "bin", address)
    assert found == {"kubectl", "containerd", "ctr", "containerd-shim-runc-v2"}
    assert all((tmp_path / "bin" / name).stat().st_mode & 0o111 for name in found)


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(mirror: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    address, folder, _ = mirror
    _publish(folder, _release("kubectl"), content=b"tampered", checksum="0" * 64)
    with pytest.raises(ClusterError, match="is published"):
        _download({"kubectl"}, tmp_path / "bin", address)
    assert not list((tmp_path / "bin").iterdir())


def test_what_the_server_does_not_have_is_left_to_the_compiler(
    mirror: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    address, folder, _ = mirror
    _publish(folder, _release("etcd"), content=b"etcd")
    assert _download({"etcd", "kubelet"}, tmp_path / "bin", address) == {"etcd"}


def test_only_what_is_wanted_is_downloaded(mirror: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    address, folder, asked = mirror
    _publish(folder, _release("etcd"), content=b"etcd")
    _download({"etcd"}, tmp_path / "bin", address)
    assert all("etcd" in path for path in asked)
    assert len(asked) == 2


def test_a_server_out_of_reach_is_asked_once_and_given_up_within_three_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attempts: list[float | None] = []

    def hang(_: object, timeout: float | None = None, *_more: object, **_kept: object) -> None:
        attempts.append(timeout)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", hang)
    began = time.monotonic()
    assert _download({program.name for program in pins.PROGRAMS}, tmp_path / "bin", "http://192.0.2.1") == set()
    assert time.monotonic() - began < 3
    assert attempts == [releases.CONNECT_TIMEOUT_S]


@pytest.mark.parametrize(
    "text",
    [
        "{sum}",
        "{sum}\n",
        "{sum}  tool.tgz\n",
        "{sum} *tool.tgz\n",
        "{other}  else.tgz\n{sum}  tool.tgz\n",
        "{sum}  ./tool.tgz\n",
    ],
)
def test_every_form_in_which_checksums_are_published_is_read(text: str) -> None:
    good, other = "a" * 64, "b" * 64
    assert releases.published_sum(text=text.format(sum=good, other=other), file="tool.tgz") == good


@pytest.mark.parametrize("text", ["", "<html>moved</html>", "{sum}  else.tgz\n"])
def test_a_missing_checksum_is_an_error(text: str) -> None:
    with pytest.raises(ClusterError, match=r"no SHA-256 checksum of tool\.tgz"):
        releases.published_sum(text=text.format(sum="a" * 64), file="tool.tgz")


def test_the_mirror_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELRELEASE_DOWNLOADS", "http://mirror.example/")
    server: Callable[[str], str] = releases.Server.from_environment().address
    assert server("https://dl.k8s.io/v1/kubectl") == "http://mirror.example/dl.k8s.io/v1/kubectl"
