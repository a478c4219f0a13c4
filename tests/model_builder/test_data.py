"""Own data: what comes out of each format, and one sentence for everything that can be wrong with it."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_builder import data
from model_builder.data import Data
from model_builder.data.base import Dataset, Task
from model_builder.data.parameters import Cleaning, Splits
from model_builder.data.records import near_keys
from model_builder.data.split import HELD_OUT, divide
from model_builder.decode import decode
from model_builder.errors import BadData, BadSpec

ROWS = 60


def table(*, rows: int = ROWS, seed: int = 0) -> list[str]:
    """Lines of a CSV file: two features, a sensitive column and one of three labels."""
    chance = random.Random(seed)
    body = [
        f"{chance.gauss(5, 2):.5f},{chance.gauss(100, 30):.3f},{'ab'[index % 2]},{'xyz'[index % 3]}"
        for index in range(rows)
    ]
    return ["length,width,city,label", *body]


def read(tmp_path: Path, lines: list[str], *, name: str = "x.csv", **changes: Any) -> Dataset:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    section = Data(name="own", **{"format": "Csv", "uri": path.as_uri(), "columns": ("length", "width"), **changes})
    data.check(section)
    return data.load(section, workspace=tmp_path / "work")


# --- tables ---


def test_a_table_is_split_by_class_and_described(tmp_path: Path) -> None:
    dataset = read(tmp_path, table(), groups=("city",))
    assert [len(part.rows) for part in dataset.splits.values()] == [42, 9, 9]
    assert dataset.classes == ("x", "y", "z")
    assert dataset.balance == {
        "train": {"x": 14, "y": 14, "z": 14},
        "validation": {"x": 3, "y": 3, "z": 3},
        "test": {"x": 3, "y": 3, "z": 3},
    }
    assert dataset.schema.dtype == "float32"
    assert [column.name for column in dataset.schema.columns] == ["length", "width"]
    assert dataset.schema.columns[1].maximum == dataset.train.rows[:, 1].max()
    assert {str(value) for value in dataset.test.groups["city"]} == {"a", "b"}
    assert len(dataset.test.groups["city"]) == len(dataset.test.rows)
    assert numpy.isfinite(dataset.extremes).all()


def rows_of(dataset: Dataset) -> dict[str, set[bytes]]:
    return {name: {row.tobytes() for row in part.rows} for name, part in dataset.splits.items()}


def test_neither_the_order_of_rows_nor_that_of_files_matters(tmp_path: Path) -> None:
    header, *body = table()
    first = read(tmp_path, [header, *body])
    again = read(tmp_path, [header, *reversed(body)])
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, part in (("2.csv", body[:20]), ("1.csv", body[20:])):
        (folder / name).write_text("\n".join([header, *part]))
    third = data.load(
        Data(name="own", format="Csv", uri=folder.as_uri(), columns=("length", "width")), workspace=tmp_path / "w"
    )
    for other in (again, third):
        assert other.digest == first.digest
        assert all((a.rows == b.rows).all() for a, b in zip(first.splits.values(), other.splits.values(), strict=True))
    changed = read(tmp_path, [header, *body[:-1], body[-1].replace("z", "x")])
    assert changed.digest != first.digest


def test_the_seed_decides_the_split_but_not_the_digest(tmp_path: Path) -> None:
    first, second = (read(tmp_path, table(), seed=seed) for seed in (0, 1))
    assert first.digest == second.digest
    assert rows_of(first)["test"] != rows_of(second)["test"]


def test_copies_of_a_row_stay_in_one_split_even_if_they_were_rounded(tmp_path: Path) -> None:
    header, *body = table()
    copies = [line.replace(line.split(",")[0], f"{float(line.split(',')[0]) + 2e-6:.6f}") for line in body]
    dataset = read(tmp_path, [header, *body, *body, *copies])
    rounded = {name: {tuple(numpy.round(row, 3)) for row in part.rows} for name, part in dataset.splits.items()}
    assert not rounded["train"] & rounded["test"]
    assert not rounded["validation"] & (rounded["train"] | rounded["test"])
    assert sum(len(part.rows) for part in dataset.splits.values()) == 3 * ROWS


@given(st.integers(-1000, 1000))
def test_rows_on_both_sides_of_a_border_of_the_grid_still_count_as_one(cell: int) -> None:
    border = cell * 1e-4
    rows = numpy.array([[border - 1e-9], [border + 1e-9], [border + 3e-4]])
    below, above, other = near_keys(rows, spread=numpy.ones(1))
    assert set(below) & set(above)
    assert not set(below) & set(other)


def corrupted(row: int, column: int, value: str) -> list[str]:
    lines = table()
    cells = lines[row].split(",")
    cells[column] = value
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


BAD_TABLES: list[tuple[list[str], dict[str, Any], str]] = [
    ([], {}, "has no rows below its header"),
    (["length,width,label"], {}, "has no rows below its header"),
    (corrupted(7, 0, "long"), {}, r"x\.csv, row 8, column 'length' is 'long', which is no number"),
    (corrupted(7, 1, "inf"), {}, r"x\.csv, row 8, column 'width' is inf: values must be finite"),
    (corrupted(7, 1, "1e60"), {}, r"row 8, column 'width' is 1e60: values must be finite"),
    (
        corrupted(7, 0, ""),
        {},
        r"row 8, column 'length' is empty or NaN \(1 rows have gaps\): fill it, or set data\.c",
    ),
    (corrupted(7, 0, "NaN"), {}, r"row 8, column 'length' is empty or NaN"),
    (corrupted(7, 3, ""), {}, r"row 8, column 'label' is empty: give the row its label"),
    (corrupted(7, 3, "w"), {"classes": ("x", "y", "z")}, r"row 8: the label 'w' is no class.*known: x, y, z"),
    (corrupted(7, 3, "w"), {}, r"has 1 different rows of the class 'w', which is too few to be split: give 8"),
    ([line.replace(",y", ",x").replace(",z", ",x") for line in table()], {}, "has one class only .x.: a classifier"),
    ([*table()[:5], "1,2,3", *table()[5:]], {}, r"row 6 has 3 cells, the header has 4"),
    (["length,width,length,label", *table()[1:]], {}, "has the column 'length' twice"),
    (table(), {"columns": ("lenght",)}, "has no column 'lenght'; did you mean 'length'"),
    (table(), {"label": "class"}, "has no column 'class'"),
    (table(rows=9), {}, "too few to be split"),
    (table(), {"max_bytes": 100}, "allowed are 100"),
    ([table()[0], *["1,2,a,x", "2,3,a,y", "3,4,a,z"] * 10], {}, "too few to be split"),
]


@pytest.mark.parametrize(("lines", "changes", "sentence"), BAD_TABLES)
def test_bad_tables_are_named_by_file_row_and_column(
    lines: list[str], changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(BadData, match=sentence) as caught:
        read(tmp_path, lines, **changes)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage\n", b'a,b\n"unclosed,1\n', b"PK\x03\x04" * 30])
def test_what_is_no_csv_is_bad_data(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    section = Data(name="own", format="Csv", uri=(tmp_path / "x.csv").as_uri())
    with pytest.raises(BadData, match=r"x\.csv"):
        data.load(section, workspace=tmp_path / "work")


def test_rows_with_gaps_are_dropped_and_told(tmp_path: Path) -> None:
    dataset = read(tmp_path, corrupted(7, 0, "n/a"), cleaning=Cleaning(missing="Drop"))
    assert sum(len(part.rows) for part in dataset.splits.values()) == ROWS - 1
    assert dataset.notes == ("1 of 60 rows of 'all' were dropped because they have gaps",)


def test_gaps_are_filled_with_what_the_training_rows_say(tmp_path: Path) -> None:
    lines = table()
    for row in range(1, 40):
        lines[row] = "," + lines[row].split(",", 1)[1] if row % 2 else lines[row]
    dataset = read(tmp_path, lines, cleaning=Cleaning(missing="Median"))
    cells = [line.split(",") for line in lines[1:]]
    gaps = {numpy.float32(width) for length, width, *_ in cells if not length}
    train = [length for length, width in dataset.train.rows if width not in gaps]
    filled = {length for part in dataset.splits.values() for length, width in part.rows if width in gaps}
    assert (len(gaps), filled) == (20, {numpy.median(numpy.array(train))})
    assert any("filled with the median of the training rows" in note for note in dataset.notes)
    assert all(numpy.isfinite(part.rows).all() for part in dataset.splits.values())


def test_a_regression_has_no_classes_and_finite_targets(tmp_path: Path) -> None:
    lines = ["a,b,price", *(f"{i},{i * i % 17},{i * 1.5}" for i in range(40))]
    dataset = read(tmp_path, lines, task="Regression", label="price", columns=("a", "b"))
    assert (dataset.task, dataset.classes, dataset.balance) == (Task.REGRESSION, (), {})
    assert dataset.train.labels.dtype == numpy.float32
    lines[5] = "3,4,high"
    with pytest.raises(BadData, match="row 6, column 'price' is 'high', which is no number"):
        read(tmp_path, lines, task="Regression", label="price", columns=("a", "b"))
    flat = ["a,b,price", *(f"{i},{i * i % 17},1" for i in range(40))]
    with pytest.raises(BadData, match=r"all targets of the .* are 1: nothing to learn"):
        read(tmp_path, flat, task="Regression", label="price", columns=("a", "b"))


@pytest.mark.parametrize("kind", ["Standard", "MinMax"])
def test_the_normalization_comes_from_training_rows_only_and_rows_stay_raw(kind: Any, tmp_path: Path) -> None:
    lines = [line + ",7" if index else line + ",constant" for index, line in enumerate(table())]
    dataset = read(tmp_path, lines, normalization=kind, columns=("length", "width", "constant"))
    raw = read(tmp_path, lines, columns=("length", "width", "constant"))
    assert (dataset.train.rows == raw.train.rows).all()
    assert dataset.normalization is not None
    assert dataset.normalization.mean.shape == (3,)
    scaled = (dataset.train.rows.astype("float64") - dataset.normalization.mean) / dataset.normalization.scale
    assert scaled[:, 2].tolist() == [0.0] * len(scaled)
    if kind == "Standard":
        assert scaled[:, :2].mean(axis=0) == pytest.approx(0, abs=1e-5)
        assert scaled[:, :2].std(axis=0) == pytest.approx(1, abs=1e-5)
    else:
        assert (scaled[:, :2].min(axis=0), scaled[:, :2].max(axis=0)) == (pytest.approx(0), pytest.approx(1))


# --- given splits ---


def given_splits(tmp_path: Path, parts: dict[str, list[str]], **changes: Any) -> Dataset:
    for name, lines in parts.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    uris = {name: (tmp_path / f"{name}.csv").as_uri() for name in parts}
    pool = uris.pop("unlabelled", None)
    section = Data(
        name="own", format="Csv", splits=Splits(**uris), unlabelled=pool, columns=("length", "width"), **changes
    )
    data.check(section)
    return data.load(section, workspace=tmp_path / "work")


def test_given_splits_are_kept_and_validation_is_taken_from_training(tmp_path: Path) -> None:
    dataset = given_splits(tmp_path, {"train": table(), "test": table(rows=12, seed=1)})
    assert [len(part.rows) for part in dataset.splits.values()] == [51, 9, 12]
    three = {"train": table(), "validation": table(rows=12, seed=1), "test": table(rows=15, seed=2)}
    assert [len(part.rows) for part in given_splits(tmp_path, three).splits.values()] == [60, 12, 15]


@pytest.mark.parametrize("change", ["exact", "rounded", "pool"])
def test_a_row_in_training_and_test_is_a_leak_and_named(change: str, tmp_path: Path) -> None:
    test = table(rows=12, seed=1)
    cells = table()[4].split(",")
    if change == "rounded":
        cells[0] = f"{float(cells[0]) + 1e-6:.6f}"
    parts = {"train": table(), "validation": table(rows=12, seed=2), "test": [*test, ",".join(cells)]}
    place = r"train\.csv, row 5 \(train\)"
    if change == "pool":
        parts = {**parts, "test": test, "unlabelled": ["length,width", ",".join(test[3].split(",")[:2])]}
        place = r"unlabelled\.csv, row 2 \(unlabelled\)"
    sentence = rf"1 rows stand in two parts: .*{place} is .*test\.csv, row \d+ \(test\)"
    with pytest.raises(BadData, match=sentence):
        given_splits(tmp_path, parts)
    dataset = given_splits(tmp_path, parts, cleaning=Cleaning(overlap="Drop"))
    assert len(dataset.test.rows) == len(parts["test"]) - 1
    assert any("because a held-out split has them" in note for note in dataset.notes)
    left = len(dataset.unlabelled) if dataset.unlabelled is not None else len(dataset.train.rows)
    assert left == (0 if change == "pool" else ROWS - 1)


def test_labels_that_training_does_not_know_are_out_of_range(tmp_path: Path) -> None:
    test = [line.replace(",z", ",zz") for line in table(rows=12, seed=1)]
    with pytest.raises(BadData, match=r"test\.csv, row \d+: the label 'zz' is no class of the training rows; did you"):
        given_splits(tmp_path, {"train": table(), "test": test})


def test_parts_with_other_columns_do_not_mix(tmp_path: Path) -> None:
    section = {"format": "Csv", "splits": {"train": "", "test": ""}}
    for name, lines in (("train", table()), ("test", ["width,length,city,label", *table(rows=12, seed=1)[1:]])):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
        section["splits"][name] = (tmp_path / f"{name}.csv").as_uri()  # type: ignore[index]
    loaded = decode(Data, {"name": "own", "groups": ["city"], **section}, where="data")
    with pytest.raises(BadData, match="the same columns in the same order"):
        data.load(loaded, workspace=tmp_path / "work")


# --- arrays ---


def arrays(tmp_path: Path, **changes: Any) -> Callable[..., Dataset]:
    def load(**content: Any) -> Dataset:
        numpy.savez(tmp_path / "x.npz", **content)
        section = Data(name="own", format="Arrays", uri=(tmp_path / "x.npz").as_uri(), **changes)
        data.check(section)
        return data.load(section, workspace=tmp_path / "work")

    return load


def numbers(*shape: int) -> Any:
    return numpy.random.default_rng(0).normal(size=shape)


def test_arrays_of_any_shape_are_rows(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, normalization="Standard")(rows=numbers(60, 3, 4, 5), label=numpy.arange(60) % 2)
    assert dataset.schema.shape == (3, 4, 5)
    assert dataset.normalization is not None
    assert dataset.normalization.mean.shape == (3, 1, 1)
    assert dataset.classes == ("0", "1")
    tokens = numpy.random.default_rng(0).integers(0, 50, (60, 7))
    labels = tokens % 3
    labels[:, -1] = -100
    dataset = arrays(tmp_path, task="TokenClassification")(rows=tokens, label=labels)
    assert dataset.train.rows.dtype == dataset.train.labels.dtype == numpy.int64
    assert (dataset.train.labels[:, -1] == -100).all()
    assert dataset.balance["test"]["0"] == (dataset.test.labels == 0).sum()


BAD_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"rows": numbers(40, 3)}, "has no array 'label'"),
    ({"rows": numbers(40), "label": numpy.arange(40)}, r"'rows' has shape \(40,\)"),
    ({"rows": numbers(0, 3), "label": numpy.arange(0)}, "'rows' has shape"),
    ({"rows": numbers(40, 3), "label": numpy.arange(39)}, "'label' has 39 entries, 'rows' has 40"),
    ({"rows": numbers(40, 3), "label": numbers(40)}, "does not fit the task Classification"),
    ({"rows": numpy.full((40, 3), numpy.inf), "label": numpy.arange(40) % 2}, r"row 1, position \(0,\) is inf"),
    ({"rows": numpy.full((40, 3), numpy.nan), "label": numpy.arange(40) % 2}, "row 1, position 0 is empty or NaN"),
    ({"rows": numpy.array([["a"]] * 40), "label": numpy.arange(40) % 2}, "and numbers"),
    ({"rows": numpy.array([[None]] * 40, dtype=object), "label": numpy.arange(40) % 2}, "Python objects"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD_ARRAYS)
def test_bad_arrays_are_explained(content: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=sentence):
        arrays(tmp_path)(**content)


def test_a_packed_array_larger_than_allowed_is_not_unpacked(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / "x.npz", rows=numpy.zeros((10_000, 100)), label=numpy.arange(10_000) % 2)
    section = Data(name="own", format="Arrays", uri=(tmp_path / "x.npz").as_uri(), max_bytes=1_000_000)
    assert (tmp_path / "x.npz").stat().st_size < 100_000
    with pytest.raises(BadData, match=r"unpacks to more than maxBytes \(1000000\)"):
        data.load(section, workspace=tmp_path / "work")


# --- the split itself ---


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(8, 60), min_size=2, max_size=5), st.integers(0, 2**31 - 1))
def test_every_class_is_divided_alike(counts: list[int], seed: int) -> None:
    from model_builder.data.records import Records

    labels = numpy.repeat(numpy.arange(len(counts)), counts).astype(str)
    rows = numpy.random.default_rng(0).permutation(len(labels)).reshape(-1, 1)
    places = numpy.stack([numpy.zeros(len(labels), dtype="int64"), numpy.arange(len(labels))], axis=1)
    records = Records(rows=rows, labels=labels, files=("x",), places=places, counted="row")
    parts = divide(records, seed=seed, task=Task.CLASSIFICATION, parts=("test", "validation"), where="x")
    found = sorted(int(value) for part in parts.values() for value in part.rows.ravel())
    assert found == list(range(len(labels)))  # nothing lost, nothing twice
    for part in ("test", "validation"):
        assert len(parts[part]) == round(len(labels) * HELD_OUT)
        held = parts[part].labels
        assert held is not None
        for index, count in enumerate(counts):
            assert abs((held == str(index)).sum() - count * HELD_OUT) <= 1.5


# --- the section of the spec ---


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"name": "digit"}, r"did you mean 'digits'\? known: .*\(own data need a format\)"),
        ({"name": "digits", "uri": "file:///x"}, "spec.data.uri has no effect on the built-in 'digits'"),
        ({"name": "digits", "cleaning": {"missing": "Drop"}}, "cleaning has no effect"),
        ({"name": "own", "format": "Csv"}, "needs exactly one of 'uri' .* and 'splits'"),
        ({"name": "own", "format": "Csv", "uri": "ftp://x"}, "spec.data.uri is 'ftp://x'; schemes"),
        ({"name": "own", "format": "Csv", "uri": "file:x.csv"}, "three slashes and an absolute path"),
        ({"name": "own", "format": "Csv", "uri": "file:///x", "task": "TokenClassification"}, "format Csv allows"),
        ({"name": "own", "format": "Csv", "uri": "file:///x", "image": {"width": 3}}, "image has no effect on"),
        ({"name": "own", "format": "Csv", "uri": "file:///x", "columns": ["label"]}, "columns names the label"),
        ({"name": "own", "format": "Csv", "uri": "file:///x", "augmentation": {"flip": True}}, "need images"),
        ({"name": "own", "format": "JsonLines", "uri": "file:///x", "normalization": "Standard"}, "no effect on texts"),
        ({"name": "own", "format": "Arrow", "uri": "file:///x"}, "known: Arrays, Builtin, Csv"),
        ({"name": "o/../n", "format": "Csv", "uri": "file:///x"}, "1 to 64 letters"),
        ({"name": "own", "format": "Csv", "splits": {"train": "file:///x"}}, "the key 'test' is missing"),
    ],
)
def test_a_section_that_can_not_be_meant_is_refused(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadSpec, match=sentence):
        data.check(decode(Data, section, where="spec.data"))


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_the_built_in_sets_split_without_a_leak(name: str) -> None:
    section = Data(name=name, seed=3)
    data.check(section)
    dataset = data.load(section, workspace=Path())
    rows = rows_of(dataset)
    assert not rows["train"] & rows["test"]
    assert not rows["validation"] & (rows["train"] | rows["test"])
    total = sum(len(part.rows) for part in dataset.splits.values())
    assert len(dataset.test.rows) == pytest.approx(total * HELD_OUT, abs=1.5)
    assert dataclasses.replace(dataset, name="x").schema == dataset.schema
