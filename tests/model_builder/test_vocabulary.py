"""The vocabulary that an artifact carries, and that the next build can go on with."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_builder import data
from model_builder.data import Data
from model_builder.data.base import Task
from model_builder.data.parameters import Text
from model_builder.data.text import PADDING, UNKNOWN, Tokens
from model_builder.errors import BadData, BadSpec

WORDS = (PADDING, UNKNOWN, "good", "bad", "né")


def texts(folder: Path, **text: Any) -> Data:
    kinds = ("good", "bad")
    lines = [json.dumps({"text": f"{kinds[n % 2]} n{n}", "label": kinds[n % 2]}) for n in range(40)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    uri = (folder / "texts.jsonl").as_uri()
    return Data(name="texts", format="JsonLines", uri=uri, text=Text(length=4, **text))


def vocabulary(folder: Path, content: Any) -> str:
    path = folder / "vocabulary.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path.as_uri()


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
def test_what_was_written_is_read(task: Task, tmp_path: Path) -> None:
    tokens = Tokens(vocabulary=WORDS, parameters=Text(length=4))
    path = tmp_path / "vocabulary.json"
    path.write_text(tokens.write(task=task))
    assert Tokens.read(path, name="x", parameters=tokens.parameters) == tokens
    assert (json.loads(path.read_text())["split"] is None) == (task is Task.TOKEN_CLASSIFICATION)


def test_rows_get_the_numbers_of_a_vocabulary_that_is_given(tmp_path: Path) -> None:
    uri = vocabulary(tmp_path, Tokens(vocabulary=WORDS, parameters=Text()).write(task=Task.CLASSIFICATION))
    learned, given = texts(tmp_path), texts(tmp_path, vocabulary_uri=uri)
    data.check(given)
    found, other = (data.load(section, workspace=tmp_path / "work") for section in (given, learned))
    assert found.vocabulary == WORDS
    assert {tuple(row) for row in found.test.rows.tolist()} == {(2, 1, 0, 0), (3, 1, 0, 0)}
    assert found.digest != other.digest
    assert len(other.vocabulary) > len(WORDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"is no vocabulary .*: give vocabulary.json of an artifact"),
        ("[]", r"is no vocabulary"),
        ({"tokens": list(WORDS)}, r"is no vocabulary \(KeyError\('lowercase'\)\)"),
        ({"tokens": ["a", "b", "c"], "lowercase": True}, r"must list different words, the first <padding> and"),
        ({"tokens": [*WORDS, "good"], "lowercase": True}, r"must list different words"),
        ({"tokens": [PADDING, UNKNOWN, 3], "lowercase": True}, r"must list different words"),
        ({"tokens": "<padding>", "lowercase": True}, r"must list different words"),
        ({"tokens": list(WORDS), "lowercase": False}, r"made with lowercase: False: set data.text.lowercase"),
    ],
)
def test_a_vocabulary_that_can_not_be_meant_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    section = texts(tmp_path, vocabulary_uri=vocabulary(tmp_path, content))
    with pytest.raises(BadData, match=rf"vocabulary\.json.*{message}"):
        data.load(section, workspace=tmp_path / "work")


def test_a_size_for_a_vocabulary_that_is_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=r"text\.vocabulary has no effect on a vocabulary that is given"):
        data.check(texts(tmp_path, vocabulary_uri="file:///v.json", vocabulary=9))
    with pytest.raises(BadSpec, match=r"spec\.data\.text\.vocabularyUri is 'ftp://x'"):
        data.check(texts(tmp_path, vocabulary_uri="ftp://x"))


def test_words_that_look_like_marks_are_unknown(tmp_path: Path) -> None:
    tokens = Tokens.learn([["a", PADDING, UNKNOWN]], parameters=Text(length=3))
    assert tokens.vocabulary == (PADDING, UNKNOWN, "a")
    assert tokens.encode([[PADDING, "a", UNKNOWN]]).tolist() == [[1, 2, 1]]
