"""Builds images, or finds them in the cache."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from localcluster.binaries import toolset
from localcluster.errors import ClusterError
from localcluster.images import base, oci, recipes
from localcluster.images.buildah import Store
from localcluster.images.cache import Cache
from localcluster.images.recipes import Built
from localcluster.layout import cache_dir

NAMES = tuple(recipes.RECIPES)
_BASE = "base"


def reference(name: str) -> str:
    """Return the full reference under which manifests name the image."""
    return f"localhost/modelrelease/{name}:dev"


def build_all(
    names: Iterable[str] = NAMES, *, progress: Callable[[str], None], binaries: Path | None = None
) -> Mapping[str, Path]:
    """Return the archive of each image, built if needed; `progress` gets a line for each that was built."""
    return {name: build(name, progress=progress, binaries=binaries) for name in names}


def build(name: str, *, progress: Callable[[str], None], binaries: Path | None = None) -> Path:
    """Return the OCI archive of the image called `name`, built if needed.

    `binaries` is the folder of the compiled binaries, by default the cluster's cache.
    """
    if name not in recipes.RECIPES:
        msg = f"there is no image {name!r}; choose from {', '.join(NAMES)}"
        raise ClusterError(msg)
    folder = binaries or toolset.folder() / "bin"
    key = recipes.key(name=name, binaries=folder)
    return _cache().get(name=name, key=key, make=lambda archive: _timed(name, archive, folder, progress))


def find(name: str, *, binaries: Path | None = None) -> Path | None:
    """Return the archive if the image with its present content has been built."""
    try:
        key = recipes.key(name=name, binaries=binaries or toolset.folder() / "bin")
    except ClusterError:
        return None
    path = _cache().path(name=name, key=key)
    return path if path.exists() else None


def _timed(name: str, archive: Path, binaries: Path, progress: Callable[[str], None]) -> None:
    began = time.monotonic()
    recipe = recipes.RECIPES[name]
    if isinstance(recipe, Built):
        _with_buildah(name=name, recipe=recipe, archive=archive, progress=progress)
    else:
        oci.write(image=recipes.image(recipe, binaries=binaries), name=reference(name), archive=archive)
    progress(f"image {name}: {archive.stat().st_size / 1e6:.0f} MB, built in {time.monotonic() - began:.0f} s")


def _with_buildah(*, name: str, recipe: Built, archive: Path, progress: Callable[[str], None]) -> None:
    with recipes.context(recipe) as context:
        Store(folder=cache_dir() / "buildah").build(
            base=_base(progress),
            context=context,
            file=recipe.file,
            target=name,
            arguments={"BASE": reference(_BASE), **recipe.arguments},
            name=reference(name),
            archive=archive,
            earlier=_cache().present(name),
            log=_new_log(name),
        )


def _base(progress: Callable[[str], None]) -> Path:
    def make(archive: Path) -> None:
        began = time.monotonic()
        base.make(name=reference(_BASE), archive=archive, log=_new_log(_BASE))
        progress(f"base image: {archive.stat().st_size / 1e6:.0f} MB, made in {time.monotonic() - began:.0f} s")

    return _cache().get(name=_BASE, key=recipes.base_key(), make=make)


def _cache() -> Cache:
    return Cache(folder=cache_dir() / "images")


def _new_log(name: str) -> Path:
    log = cache_dir() / "images" / f"{name}.log"
    log.unlink(missing_ok=True)
    return log
