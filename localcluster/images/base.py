"""The base image, made of Debian packages: what the production images take from a registry, without one."""

from collections.abc import Mapping
from pathlib import Path

from localcluster.images import oci, tools

SUITE = "bookworm"
"""Debian 12: its Python is the 3.11 that the lock files are resolved for."""
_PACKAGES = ("ca-certificates", "libgomp1", "libpython3.11", "libstdc++6", "python3-venv")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")


def recipe() -> Mapping[str, object]:
    """Return what decides the content, as far as this project decides it."""
    return {"suite": SUITE, "packages": _PACKAGES, "left out": _LEFT_OUT}


def make(*, name: str, archive: Path, log: Path) -> None:
    """Write the base image into the file `archive`."""
    root = archive.with_suffix(".rootfs")
    argv = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--format=tar",
        SUITE,
        str(root),
    ]
    try:
        with tools.running(argv, log=log):
            pass
        oci.write(image=oci.Image(layers=[root], command=["bash"]), name=name, archive=archive)
    finally:
        root.unlink(missing_ok=True)
