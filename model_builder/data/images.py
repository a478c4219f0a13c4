"""Image folders: one folder per class, or an archive (.zip, .tar, .tar.gz) of such folders."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.data.parameters import Data
from model_builder.data.records import Records
from model_builder.errors import BadData, BadSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What Pillow may try: plain pictures, no formats that call other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, zlib.error, struct.error, MemoryError)


def read(path: Path, *, name: str, data: Data, labelled: bool) -> Records:
    """All pictures below a folder; the folder right below it names the class."""
    import numpy

    if not path.is_dir():
        raise BadData(f"{name} is no folder of pictures: give a folder or an archive with one folder per class")
    files = _files(path, name=name, labelled=labelled)
    first: tuple[int, int] | None = None
    pictures = []
    total = 0
    for file in files:
        shown = f"{name}/{file.relative_to(path).as_posix()}"
        picture = _picture(file, shown=shown, data=data)
        first = first or picture.shape[1:]
        if picture.shape[1:] != first:
            raise BadData(
                f"{shown} has {picture.shape[2]} x {picture.shape[1]} pixels, others have {first[1]} x {first[0]}: "
                "set data.image.height and data.image.width to bring all to one size"
            )
        total += picture.nbytes
        if total > data.max_bytes:
            raise BadData(f"{name} unpacks to more than maxBytes ({data.max_bytes}): raise it, or take fewer pictures")
        pictures.append(picture)
    index = numpy.arange(len(files))
    return Records(
        rows=numpy.stack(pictures),
        labels=numpy.array([file.relative_to(path).parts[0] for file in files], dtype=str) if labelled else None,
        files=tuple(f"{name}/{file.relative_to(path).as_posix()}" for file in files),
        places=numpy.stack([index, numpy.zeros_like(index)], axis=1),
        counted="",
    )


def _files(root: Path, *, name: str, labelled: bool) -> list[Path]:
    files = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise BadData(f"{name}: {path.relative_to(root)} is a link that leads out of the folder: copy the file in")
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)
        if not path.is_file() or hidden:
            continue
        if path.suffix.lower() not in _SUFFIXES:
            raise BadData(f"{name}/{path.relative_to(root)} is no picture ({', '.join(_SUFFIXES)}): remove it")
        if labelled and len(path.relative_to(root).parts) < 2:
            raise BadData(f"{name}/{path.name} lies in no folder of a class: move it into one")
        files.append(path)
    if not files:
        raise BadData(f"{name} has no pictures: check that the whole folder was uploaded")
    return files


def _picture(file: Path, *, shown: str, data: Data) -> NDArray[Any]:
    """(channels, height, width) float32, 0 to 255."""
    import numpy

    try:
        from PIL import Image
    except ImportError as error:
        raise BadSpec("the format Images needs Pillow: install the extra 'data'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as opened:
                picture = opened.convert("L" if data.image.channels == "Gray" else "RGB")
                wanted = (data.image.width or picture.width, data.image.height or picture.height)
                if picture.size != wanted:
                    picture = picture.resize(wanted, Image.Resampling.BILINEAR)
                values = numpy.asarray(picture, dtype="float32")
    except (*_UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        detail = " ".join(str(error).split())[:200].replace(str(file), shown)
        raise BadData(f"{shown} is no readable picture ({detail}): replace it or remove it") from error
    return values[None] if values.ndim == 2 else numpy.moveaxis(values, -1, 0)
