"""Builds the targets of a Dockerfile with buildah, in a store of its own that keeps every layer for the next build."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localcluster.images import oci, tools


@dataclass(frozen=True, kw_only=True)
class Store:
    """One store of images and layers."""

    folder: Path

    def load(self, *, archive: Path, log: Path) -> None:
        """Take the image in the OCI archive into the store."""
        self._run("pull", "--quiet", f"oci-archive:{archive}", log=log)

    def build(
        self,
        *,
        file: Path,
        context: Path,
        target: str,
        arguments: Mapping[str, str],
        name: str,
        archive: Path,
        earlier: Iterable[Path],
        log: Path,
    ) -> None:
        """Build one target and write it into the file `archive` under the full reference `name`.

        Layers that did not change are taken from the `earlier` archives of the image, compressed as they are.
        """
        values = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        trust = f"{tools.certificates()}:/etc/ssl/certs/ca-certificates.crt:ro"
        self._run(
            "build",
            "--isolation=chroot",
            "--layers",
            "--pull-never",
            f"--volume={trust}",
            f"--file={file}",
            f"--target={target}",
            *values,
            f"--tag={name}",
            str(context),
            log=log,
        )
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            # Uncompressed: buildah's own OCI archives come compressed with gzip whatever it is told, which takes longer
            # than all the rest, and unpacking takes longer too.
            self._run("push", "--quiet", "--disable-compression", name, f"dir:{folder}", log=log)
            _pack(folder=Path(folder), name=name, archive=archive, earlier=earlier)

    def _run(self, verb: str, *options: str, log: Path) -> None:
        # What it runs with must vanish at a reboot, so it lies outside the folder, under a name of its own.
        running = Path("/run") / f"modelrelease-buildah-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"
        store = ["--root", str(self.folder), "--runroot", str(running), "--storage-driver", "overlay"]
        tools.run(["buildah", *store, verb, *options], log=log, env={**os.environ, "STORAGE_OPTS": ""})


def _pack(*, folder: Path, name: str, archive: Path, earlier: Iterable[Path]) -> None:
    """Turn a folder of buildah's, whose blobs are files named by their digests, into an archive."""
    manifest = json.loads((folder / "manifest.json").read_text())
    config = (folder / _file(manifest["config"])).read_bytes()
    with ExitStack() as stack:
        known: dict[str, IO[bytes]] = {}
        for other in earlier:
            known.update(stack.enter_context(oci.layers_of(other)))
        layers = []
        for layer in manifest["layers"]:
            found = known.get(layer["digest"])
            if found is None:
                content = stack.enter_context((folder / _file(layer)).open("rb"))
                found = stack.enter_context(oci.compressed(content))
            layers.append(found)
        oci.assemble(config=config, layers=layers, name=name, archive=archive)


def _file(descriptor: Mapping[str, str]) -> str:
    return descriptor["digest"].removeprefix("sha256:")
