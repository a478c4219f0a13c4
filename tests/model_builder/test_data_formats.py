"""Pictures, texts and Parquet: what comes out, and what bad files of each are called."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
import torch
from PIL import Image as Pillow
from pyarrow import parquet

from model_builder import data
from model_builder.data import Data
from model_builder.data.augmentation import Augmentation
from model_builder.data.base import IGNORED_LABEL, Dataset
from model_builder.data.parameters import Image, Text
from model_builder.data.text import PADDING, UNKNOWN, Tokens
from model_builder.errors import BadData
from tests.model_builder.test_data import table


def load(path: Path, tmp_path: Path, **section: Any) -> Dataset:
    made = Data(name="own", uri=path.as_uri(), **section)
    data.check(made)
    return data.load(made, workspace=tmp_path / "work")


# --- Parquet ---


def test_parquet_is_the_same_data_as_csv(tmp_path: Path) -> None:
    lines = [line.split(",") for line in table()]
    columns: dict[str, Any] = dict(zip(lines[0], map(list, zip(*lines[1:], strict=True)), strict=True))
    for name in ("length", "width"):
        columns[name] = [float(value) for value in columns[name]]
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("\n".join(table()))
    section = {"columns": ("length", "width"), "groups": ("city",)}
    first = load(tmp_path / "x.parquet", tmp_path, format="Parquet", **section)
    second = load(tmp_path / "x.csv", tmp_path, format="Csv", **section)
    assert first.digest == second.digest
    assert (first.test.rows == second.test.rows).all()


def test_gaps_and_whole_numbers_of_parquet_are_read(tmp_path: Path) -> None:
    columns = {"a": [*range(29), None], "b": [0.5 * i for i in range(30)], "label": [i % 2 for i in range(30)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(BadData, match=r"x\.parquet, row 30, column 'a' is empty or NaN"):
        load(tmp_path / "x.parquet", tmp_path, format="Parquet")
    parquet.write_table(pyarrow.table(columns).slice(0, 28), tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet", tmp_path, format="Parquet").classes == ("0", "1")
    wide = pyarrow.table({"a": numpy.zeros(100_000), "label": numpy.zeros(100_000)})
    parquet.write_table(wide, tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 10_000
    with pytest.raises(BadData, match="unpacks to more than maxBytes"):
        load(tmp_path / "x.parquet", tmp_path, format="Parquet", max_bytes=1_000_000)


# --- pictures ---


def pictures(folder: Path, *, count: int = 24, size: tuple[int, int] = (6, 5)) -> Path:
    chance = numpy.random.default_rng(0)
    for index in range(count):
        path = folder / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(chance.integers(0, 256, (*size, 3), dtype="uint8")).save(path)
    return folder


def test_pictures_are_rows_of_raw_values_by_class_folder(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    dataset = load(folder, tmp_path, format="Images", normalization="Standard")
    assert dataset.classes == ("class0", "class1")
    assert dataset.schema.shape == (3, 6, 5)
    assert dataset.schema.columns[0].maximum > 200
    assert dataset.normalization is not None
    assert dataset.normalization.mean.shape == (3, 1, 1)
    original = numpy.asarray(Pillow.open(folder / "class0/0.png"))
    rows = numpy.concatenate([part.rows for part in dataset.splits.values()])
    assert (rows == numpy.moveaxis(original, -1, 0).astype("float32")).all(axis=(1, 2, 3)).sum() == 1
    small = load(folder, tmp_path, format="Images", image=Image(height=4, width=3, channels="Gray"))
    assert small.schema.shape == (1, 4, 3)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_pictures_come_in_an_archive_as_well(suffix: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    archive = tmp_path / f"x{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in files:
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if suffix == ".tar.gz" else "w") as tar:
            for file in files:
                tar.add(file, file.relative_to(folder))
    assert load(archive, tmp_path, format="Images").digest == load(folder, tmp_path, format="Images").digest


def traversal(archive: zipfile.ZipFile) -> None:
    archive.writestr("../escaped.png", b"x")


def absolute(archive: zipfile.ZipFile) -> None:
    archive.writestr("/escaped.png", b"x")


def backslash(archive: zipfile.ZipFile) -> None:
    archive.writestr("..\\escaped.png", b"x")


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("class0/link.png")
    entry.external_attr = 0o120777 << 16
    archive.writestr(entry, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("class0/bomb.png", bytes(5_000_000), zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        (traversal, "'../escaped.png', which leads out of the archive"),
        (absolute, "'/escaped.png', which leads out of the archive"),
        (backslash, "which leads out of the archive"),
        (link, "'class0/link.png', which is a link or a device"),
        (bomb, "unpacks to more than 1000000 bytes"),
    ],
)
def test_an_archive_that_does_harm_is_refused_and_leaves_nothing(
    attack: Callable[[zipfile.ZipFile], None], sentence: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("class0/a.png", b"x")
        attack(archive)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(BadData, match=sentence):
        load(tmp_path / "x.zip", tmp_path, format="Images", max_bytes=1_000_000)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    good = (folder / "class0/0.png").read_bytes()
    for content in (b"", b"no picture", good[: len(good) // 2]):
        (folder / "class0/0.png").write_bytes(content)
        with pytest.raises(BadData, match=r"pictures/class0/0\.png is no readable picture"):
            load(folder, tmp_path, format="Images")
    Pillow.new("RGB", (9, 9)).save(folder / "class0/0.png")
    with pytest.raises(BadData, match=r"has 5 x 6 pixels, others have 9 x 9: set data\.image\.height"):
        load(folder, tmp_path, format="Images")
    (folder / "class0/0.png").unlink()
    (folder / "class0/x.txt").write_text("hello")
    with pytest.raises(BadData, match=r"x\.txt is no picture"):
        load(folder, tmp_path, format="Images")
    (folder / "class0/x.txt").unlink()
    (folder / "class0/out.png").symlink_to("/etc/hostname")
    with pytest.raises(BadData, match=r"'class0/out\.png', which leads out of the folder"):
        load(folder, tmp_path, format="Images")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="has no pictures"):
        load(tmp_path / "empty", tmp_path, format="Images")


@pytest.mark.deep
def test_a_picture_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", count=2)
    buffer = io.BytesIO()
    Pillow.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    (folder / "class0/0.png").write_bytes(buffer.getvalue())
    with pytest.raises(BadData, match=r"0\.png is no readable picture .*decompression bomb"):
        load(folder, tmp_path, format="Images")


# --- texts ---

WORDS = ["good", "bad", "fine", "poor", "the", "film", "was", "Really"]


def lines(count: int = 40) -> list[dict[str, Any]]:
    chance = numpy.random.default_rng(1)
    return [
        {
            "text": " ".join(chance.choice(WORDS, 6)) + f" x{index}!",
            "label": ["no", "yes"][index % 2],
            "who": "ab"[index % 2],
        }
        for index in range(count)
    ]


def written(tmp_path: Path, entries: list[Any]) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return path


def test_texts_are_numbers_of_tokens_that_the_training_split_has(tmp_path: Path) -> None:
    dataset = load(written(tmp_path, lines()), tmp_path, format="JsonLines", text=Text(length=10), groups=("who",))
    assert dataset.vocabulary[:2] == (PADDING, UNKNOWN)
    assert "really" in dataset.vocabulary
    assert dataset.train.rows.shape == (28, 10)
    assert dataset.train.rows.dtype == numpy.int64
    assert dataset.classes == ("no", "yes")
    train = {word for row in dataset.train.rows for word in row}
    assert 1 not in train
    held_out = numpy.concatenate([dataset.validation.rows, dataset.test.rows])
    assert (held_out == 1).sum() == len(held_out)  # each has one word that no other text has
    assert (dataset.extremes < len(dataset.vocabulary)).all()
    assert len(dataset.texts) == 40


def test_every_token_has_its_label_and_padding_has_none(tmp_path: Path) -> None:
    entries = [
        {"tokens": ["Ann", "met", f"Bob{index}"], "label": ["person", "-100", "person" if index % 2 else "other"]}
        for index in range(40)
    ]
    dataset = load(
        written(tmp_path, entries), tmp_path, format="JsonLines", task="TokenClassification", text=Text(length=5)
    )
    assert dataset.classes == ("other", "person")
    assert dataset.train.labels.shape == dataset.train.rows.shape == (28, 5)
    assert (dataset.train.labels[:, [1, 3, 4]] == IGNORED_LABEL).all()
    assert (dataset.train.labels[:, 0] == 1).all()
    assert (dataset.train.rows[:, 3:] == 0).all()
    assert dataset.balance["train"]["person"] + dataset.balance["train"]["other"] == 2 * 28


def test_the_vocabulary_keeps_the_most_frequent_words() -> None:
    tokens = Tokens.learn([["b", "a"], ["a", "c"], ["c", "A"]], parameters=Text(length=3, vocabulary=4))
    assert tokens.vocabulary == (PADDING, UNKNOWN, "a", "c")
    assert tokens.encode([["A", "b", "c", "a"], []]).tolist() == [[2, 1, 3], [0, 0, 0]]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{", r"x\.jsonl, line 3 is no JSON object"),
        ("[1]", "line 3 is '.1.': write one object per line"),
        ({"text": "a"}, "line 3 has no field 'label'"),
        ({"text": 5, "label": "yes"}, "line 3: 'text' is '5'; it must be a string that is not empty"),
        ({"text": " ", "label": "yes"}, "line 3: 'text' is ' '; it must be"),
        ({"text": "a", "label": None}, "line 3: 'label' is 'None'; it must be a string or a whole number"),
        ({"text": "a", "label": 0.5}, "line 3: 'label' is '0.5'"),
        ('{"text": "\\ud800", "label": "yes"}', "line 3: 'text' has half of a character"),
        ("[" * 100_000, "line 3 is no JSON object"),
    ],
)
def test_a_bad_line_is_named(entry: Any, sentence: str, tmp_path: Path) -> None:
    known = lines()
    with pytest.raises(BadData, match=sentence):
        load(written(tmp_path, [*known[:2], entry, *known[2:]]), tmp_path, format="JsonLines")


def test_labels_must_be_as_many_as_tokens(tmp_path: Path) -> None:
    entries = [{"tokens": ["a", "b"], "label": ["x"]}]
    with pytest.raises(BadData, match=r"line 1: 'label' .* list of labels, one for each of 2 tokens"):
        load(written(tmp_path, entries), tmp_path, format="JsonLines", task="TokenClassification")


# --- augmentation ---


def test_augmentation_changes_rows_and_keeps_their_shape() -> None:
    rows = torch.arange(2 * 4 * 5, dtype=torch.float32).reshape(2, 4, 5)

    def apply(seed: int = 0, **changes: Any) -> torch.Tensor:
        return Augmentation(**changes).apply(rows, generator=torch.Generator().manual_seed(seed))

    assert apply() is rows
    flipped = {tuple(row.ravel().tolist()) for seed in range(9) for row in apply(seed, flip=True)}
    assert flipped == {tuple(row.ravel().tolist()) for row in (*rows, *rows.flip(-1))}
    moved = torch.stack([apply(seed, shift=1) for seed in range(30)])
    assert moved.shape[1:] == rows.shape
    assert moved[:, 0, 1:3, 1:4].unique().numel() > 6
    assert {float(value) for value in moved.unique()} <= {float(value) for value in rows.unique()}
    noisy = apply(noise=0.1) - rows
    assert 0 < noisy.std() < 0.3 * rows.std()
    assert torch.equal(apply(3, shift=2, noise=0.1), apply(3, shift=2, noise=0.1))
