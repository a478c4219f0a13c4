"""Builds the targets of a Dockerfile with buildah, in a store of its own that keeps every layer for the next build."""

import fcntl
import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localcluster.images import oci, tools

_SHARED = "installer"
"""The stage of every Dockerfile that installs the packages of all its targets."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """One store of images and layers."""

    folder: Path

    def build(
        self,
        *,
        base: Path,
        context: Path,
        file: str,
        target: str,
        arguments: Mapping[str, str],
        name: str,
        archive: Path,
        earlier: Iterable[Path],
        log: Path,
    ) -> None:
        """Build one target and write it into the file `archive` under the full reference `name`.

        It builds upon the archive `base`. Layers that did not change are taken from the `earlier` archives of the
        image, compressed as they are.
        """
        options = [
            "--isolation=chroot",
            "--layers",
            "--pull-never",
            f"--volume={tools.certificates()}:/etc/ssl/certs/ca-certificates.crt:ro",
            f"--file={context / file}",
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            str(context),
        ]
        with self._alone():
            self._run("pull", "--quiet", f"oci-archive:{base}", log=log)
            self._run("build", f"--target={target}", f"--tag={name}", *options, log=log)
            self._pack(name=name, archive=archive, earlier=earlier, log=log)
            # A name of its own keeps the stage that all targets share, when layers that no image needs any more go.
            self._run("build", f"--target={_SHARED}", f"--tag=localhost/modelrelease/{_SHARED}", *options, log=log)
            # A build that was killed leaves containers, which would keep its layers for good.
            self._run("rm", "--all", log=log)
            self._run("rmi", "--prune", log=log)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one build at a time use the store, so that none loses what it makes when another cleans up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".modelrelease.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _pack(self, *, name: str, archive: Path, earlier: Iterable[Path], log: Path) -> None:
        """Write an image of the store into an archive.

        buildah's own OCI archives come compressed with gzip whatever it is told, which takes longer than all the rest,
        and so does unpacking them. Docker's form is not compressed: it is read as it is written, without touching the
        disk.
        """
        with ExitStack() as stack:
            known: dict[str, IO[bytes]] = {}
            for other in earlier:
                known.update(stack.enter_context(oci.layers_of(other)))
            out, into = os.pipe()
            stream = stack.enter_context(os.fdopen(out, "rb"))
            argv = self._argv("push", "--quiet", "--disable-compression", name, f"docker-archive:/dev/fd/{into}:{name}")
            with tools.running(argv, log=log, hand_over=into):
                config, layers = _unpack(stream=stream, known=known, stack=stack)
            oci.assemble(config=config, layers=layers, name=name, archive=archive)

    def _run(self, verb: str, *options: str, log: Path) -> None:
        with tools.running(self._argv(verb, *options), log=log):
            pass

    def _argv(self, verb: str, *options: str) -> list[str]:
        # What it runs with must vanish at a reboot, so it lies outside the folder, under a name of its own.
        running = Path("/run") / f"modelrelease-buildah-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"
        store = ["--root", str(self.folder), "--runroot", str(running), "--storage-driver", "overlay"]
        return ["buildah", *store, verb, *options]


def _unpack(*, stream: IO[bytes], known: Mapping[str, IO[bytes]], stack: ExitStack) -> tuple[bytes, list[IO[bytes]]]:
    """Read a docker archive from a stream: return the image's configuration and its layers, compressed."""
    layers: dict[str, IO[bytes]] = {}
    texts: dict[str, bytes] = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:  # a link for older readers
                continue
            if member.name.endswith(".tar"):
                identity = f"sha256:{member.name.removesuffix('.tar')}"
                layers[member.name] = known.get(identity) or stack.enter_context(oci.compressed(content))
            elif member.name.endswith(".json"):
                texts[member.name] = content.read()
    manifest = json.loads(texts["manifest.json"])[0]
    return texts[manifest["Config"]], [layers[layer] for layer in manifest["Layers"]]
