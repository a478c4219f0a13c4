"""Give images to the node's containerd, each only once."""

import json
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any

from localcluster import images, namespaces, parts
from localcluster.errors import ClusterError
from localcluster.inside.supervisor import described_parts
from localcluster.layout import INSIDE, Layout
from localcluster.progress import Progress, wait_until

# What the cluster itself runs: without these no pod starts and no request arrives.
OWN = ("sandbox", "envoy", "envoy-gateway")
_TIMEOUT_S = 30
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_NOTING = threading.Lock()


def load_own(*, layout: Layout, progress: Progress) -> None:
    """Load the images of the cluster's own pods, built when they are missing."""
    archives = images.build_all(OWN, progress=progress.say, binaries=layout.bin)
    wait_until(lambda: _containerd_answers(layout), what="containerd to accept connections", timeout=_TIMEOUT_S)
    for archive in archives.values():
        load_archive(layout=layout, archive=archive)


def load_image(*, layout: Layout, image: str, progress: Progress) -> None:
    """Load an OCI archive, or one of this project's images by its name."""
    archive = Path(image)
    if image in images.NAMES:
        archive = images.build(image, progress=progress.say, binaries=layout.bin)
    if not archive.is_file():
        msg = f"{image} is neither an OCI archive nor an image of this project ({', '.join(images.NAMES)})"
        raise ClusterError(msg)
    load_archive(layout=layout, archive=archive)


def load_archive(*, layout: Layout, archive: Path) -> None:
    """Import an archive, unless the node has got its images from this very file already."""
    names = _names(archive)
    stat = archive.stat()
    identity = f"{archive.absolute()} {stat.st_size} {stat.st_mtime_ns}"
    done = _imported(layout)
    if names and all(done.get(name) == identity for name in names) and names <= _present(layout):
        return
    _ctr(layout, "images", "import", "--local", str(archive.absolute()))
    _note(layout, names=names, identity=identity)


def _record(layout: Layout) -> Path:
    return layout.root / "containerd" / "imported.json"


def _imported(layout: Layout) -> dict[str, str]:
    """Return for each image the file it was imported from; kept beside the images themselves."""
    try:
        found: dict[str, str] = json.loads(_record(layout).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _note(layout: Layout, *, names: set[str], identity: str) -> None:
    with _NOTING:
        _record(layout).write_text(json.dumps(_imported(layout) | dict.fromkeys(names, identity), indent=1))


def _containerd_answers(layout: Layout) -> bool:
    try:
        return bool(described_parts(layout.control_socket)["containerd"]["ready"])
    except (OSError, ValueError):
        return False


def _names(archive: Path) -> set[str]:
    """Return the names of the images in an archive, of the OCI or of Docker's older form."""
    try:
        with tarfile.open(archive) as tar:
            files = set(tar.getnames())
            if "index.json" in files:
                entries = _json(tar, "index.json")["manifests"]
                notes = [entry.get("annotations", {}) for entry in entries]
                return {note[key] for note in notes for key in _NAME_KEYS if key in note}
            return {name for entry in _json(tar, "manifest.json") for name in entry["RepoTags"]}
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        msg = f"{archive} is not an image archive ({error}); make one with `buildah push NAME oci-archive:FILE:NAME`"
        raise ClusterError(msg) from error


def _json(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    return json.load(file) if file else {}


def _present(layout: Layout) -> set[str]:
    return {line.split()[0] for line in _ctr(layout, "images", "list").splitlines()[1:]}


def _ctr(layout: Layout, *arguments: str) -> str:
    running = namespaces.find(state=layout.root)
    if running is None:
        msg = f"cluster {layout.name} is not running; bring it up first"
        raise ClusterError(msg)
    client = [str(INSIDE / "bin" / "ctr"), "--address", parts.CONTAINERD_SOCKET, "--namespace", "k8s.io"]
    argv = namespaces.enter(running, argv=[*client, *arguments])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"ctr {' '.join(arguments)}: {done.stderr.strip()[-300:]}"
        raise ClusterError(msg)
    return done.stdout
