"""Readers under fire: whatever bytes come, the answer is a data set or model, or one of the package's own errors."""

import contextlib
import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.numpy import save

from model_builder import data, sources
from model_builder.data import Data
from model_builder.errors import BuildError
from model_builder.remote import archive
from model_builder.remote.oci import Reference
from model_builder.remote.oci_layout import Layout
from model_builder.sources import Source, safety
from tests.model_builder.test_data import table

pytestmark = pytest.mark.deep
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def npz() -> bytes:
    buffer = io.BytesIO()
    numpy.savez(buffer, rows=numpy.arange(120.0).reshape(40, 3) ** 1.5, label=numpy.arange(40) % 2)
    return buffer.getvalue()


def columns() -> bytes:
    buffer = io.BytesIO()
    numbers = [float(i) ** 1.5 for i in range(40)]
    parquet.write_table(pyarrow.table({"a": numbers, "label": [i % 2 for i in range(40)]}), buffer)
    return buffer.getvalue()


def json_lines() -> bytes:
    rows = [{"text": f"word{i} film {'good' if i % 2 else 'bad'}", "label": "yn"[i % 2]} for i in range(40)]
    return "\n".join(json.dumps(row) for row in rows).encode()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for index in range(3):
            packed.writestr(f"a/{index}.png", bytes(range(200)))
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for index in range(3):
            entry = tarfile.TarInfo(f"a/{index}.png")
            entry.size = 200
            packed.addfile(entry, io.BytesIO(bytes(range(200))))
    return buffer.getvalue()


WHOLE = {
    "Arrays": npz(),
    "Csv": "\n".join(table(rows=40)).replace(",a,", ",1,").replace(",b,", ",2,").encode(),
    "Parquet": columns(),
    "JsonLines": json_lines(),
}


@st.composite
def corrupted(draw: st.DrawFn, raw: bytes) -> bytes:
    """Flipped, cut, doubled, or with something else written over it."""
    content = bytearray(raw)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if kind == "flip" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 400))]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=20))
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 200))]
    return bytes(content)


def survives(read: Callable[[], Any]) -> None:
    """Whatever is no error of ours reaches the test."""
    with contextlib.suppress(BuildError):
        read()


@pytest.mark.parametrize("name", list(WHOLE))
def test_corrupted_data_never_raise_anything_else(name: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        section = Data(name="own", format=name, uri=path.as_uri(), max_bytes=10**7)

        def load() -> Any:
            return data.load(section, workspace=Path(folder) / "work")

        path.write_bytes(WHOLE[name])
        assert load().num_classes in (2, 3)

        @MANY
        @given(st.one_of(corrupted(WHOLE[name]), st.binary(max_size=300)))
        def attack(content: bytes) -> None:
            path.write_bytes(content)
            survives(load)

        attack()


def tensors() -> bytes:
    return save({"weight": numpy.ones((3, 4), dtype="float32"), "bias": numpy.zeros(3, dtype="float32")})


@MANY
@given(st.one_of(corrupted(tensors()), st.binary(max_size=200)))
def test_corrupted_safetensors_never_raise_anything_else(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(content)
        survives(lambda: sources.load(Source(uri=path.as_uri()), seed=0, workspace=Path(folder) / "work"))


@MANY
@given(st.one_of(corrupted(zipped()), corrupted(tarred()), st.binary(max_size=300)))
def test_corrupted_archives_never_raise_anything_else_and_never_leave_their_folder(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.zip"
        path.write_bytes(content)
        survives(lambda: archive.unpack(path, to=Path(folder) / "to", name="x.zip", limit=10**5))
        outside = {entry.name for entry in Path(folder).iterdir()} - {"x.zip", "to"}
        assert outside == set()


@MANY
@given(st.one_of(corrupted(pickle.dumps({"a": [1, 2.5, "x"], "b": None}, protocol=2)), st.binary(max_size=200)))
def test_reading_the_opcodes_of_any_pickle_ends(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        path.write_bytes(content)
        survives(lambda: safety.check_pickle(path, name="x.pt"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("sha256:" + "a" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["digest", "size", "layers"]), inner),
    max_leaves=12,
)


@MANY
@given(st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=100)))
def test_any_manifest_of_an_image_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "layout")
        layout.tag(content, name="x")
        survives(lambda: Reference(layout, "x").manifest())
        (Path(folder) / "layout" / "index.json").write_bytes(content)
        survives(lambda: Reference(layout, "x").manifest())
