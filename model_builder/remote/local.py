"""`file:///path`: a local disk or a mounted volume. Read where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from model_builder.artifact import hash_file
from model_builder.errors import BadData, BadSpec


def check(uri: str, *, where: str) -> None:
    """Refuse a relative path."""
    parts = urlsplit(uri)
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise BadSpec(f"{where} is {uri!r}; a file URI has three slashes and an absolute path: file:///path")


def identity(uri: str) -> Any:
    """A hash over the file, or one over each file of the folder."""
    path = Path(unquote(urlsplit(uri).path))
    try:
        if path.is_dir():
            files = sorted(entry for entry in path.rglob("*") if entry.is_file())
            return {entry.relative_to(path).as_posix(): hash_file(entry) for entry in files}
        return "sha256:" + hash_file(path) if path.is_file() else None
    except OSError:
        return None  # fetching it says what is wrong


def fetch(uri: str, *, to: Path, limit: int) -> Path:
    """The path itself."""
    del to
    path = Path(unquote(urlsplit(uri).path))
    try:
        if path.is_dir():
            check_tree(path, name=uri)
        elif not path.is_file():
            raise BadData(f"there is no file {path}: check the URI, and that the volume is mounted")
        size = sum(entry.stat().st_size for entry in path.rglob("*")) if path.is_dir() else path.stat().st_size
        if path.is_file():
            path.open("rb").close()
    except OSError as error:
        raise BadData(f"{path} can't be read ({error.strerror}): check the volume's permissions (fsGroup)") from error
    if size > limit:
        raise BadData(f"{uri} has {size} bytes, allowed are {limit}: take a smaller one, or raise maxBytes")
    return path


def check_tree(root: Path, *, name: str) -> None:
    """Refuse links that lead out of a folder: what a folder brings must lie in it."""
    inside = root.resolve()
    for path in root.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            link = path.relative_to(root).as_posix()
            raise BadData(f"{name} has the link {link!r}, which leads out of the folder: copy the file into it")
