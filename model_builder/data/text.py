"""JSON lines of text: `{"text": ..., "label": ...}`, or `{"tokens": [...], "label": [...]}` with a label per token."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.contract import canonical_json
from model_builder.data.base import IGNORED_LABEL, Task
from model_builder.data.parameters import Data, Text
from model_builder.data.records import Records
from model_builder.decode import suggest
from model_builder.errors import BadData

if TYPE_CHECKING:
    from numpy.typing import NDArray

PADDING, UNKNOWN = "<padding>", "<unknown>"
NUMBER_OF_PADDING, NUMBER_OF_UNKNOWN = 0, 1
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenize(text: str) -> tuple[str, ...]:
    """Words, and each other sign alone."""
    return tuple(_TOKEN.findall(text))


@dataclass(frozen=True)
class Tokens:
    """Token <-> number. Learned from the training split only: other splits must not tell a model what to expect.

    Padding is 0, whatever is not known 1.
    """

    vocabulary: tuple[str, ...]
    parameters: Text

    @classmethod
    def learn(cls, rows: Iterable[Sequence[str]], *, parameters: Text) -> Tokens:
        """The most frequent tokens, ties by the alphabet."""
        counts = Counter(_form(token, parameters) for row in rows for token in row)
        ranked = sorted(counts.keys() - {PADDING, UNKNOWN}, key=lambda token: (-counts[token], token))
        return cls(vocabulary=(PADDING, UNKNOWN, *ranked[: parameters.vocabulary - 2]), parameters=parameters)

    @classmethod
    def read(cls, path: Path, *, name: str, parameters: Text) -> Tokens:
        """What `write` wrote for an earlier model, so that its weights meet the numbers that they have learned.

        Raises:
            BadData: it is no such file, or was made of another form of the words.
        """
        try:
            told = json.loads(path.read_bytes())
            tokens, lowercase = told["tokens"], told["lowercase"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadData(f"{name} is no vocabulary ({error!r}): give vocabulary.json of an artifact") from error
        if not _is_words(tokens) or tokens[:2] != [PADDING, UNKNOWN] or len(set(tokens)) < len(tokens):
            raise BadData(f"{name} must list different words, the first {PADDING} and {UNKNOWN}: correct its 'tokens'")
        if lowercase is not parameters.lowercase:
            raise BadData(f"{name} was made with lowercase: {lowercase}: set data.text.lowercase to the same")
        return cls(vocabulary=tuple(tokens), parameters=parameters)

    def write(self, *, task: Task) -> str:
        """What a client needs to make numbers of texts; `split` finds the tokens, where texts come whole."""
        whole = task is not Task.TOKEN_CLASSIFICATION
        return canonical_json(
            {
                "schemaVersion": 1,
                "length": self.parameters.length,
                "lowercase": self.parameters.lowercase,
                "split": _TOKEN.pattern if whole else None,
                "tokens": list(self.vocabulary),
            }
        )

    def encode(self, rows: Sequence[Sequence[str]]) -> NDArray[Any]:
        """(n, length) int64."""
        import numpy

        numbers = {token: index for index, token in enumerate(self.vocabulary) if token not in (PADDING, UNKNOWN)}
        encoded = numpy.full((len(rows), self.parameters.length), NUMBER_OF_PADDING, dtype="int64")
        for row, tokens in zip(encoded, rows, strict=True):
            kept = tokens[: self.parameters.length]
            row[: len(kept)] = [numbers.get(_form(token, self.parameters), NUMBER_OF_UNKNOWN) for token in kept]
        return encoded

    def encode_labels(self, labels: Sequence[Sequence[int]]) -> NDArray[Any]:
        """(n, length) int64, padding ignored."""
        import numpy

        encoded = numpy.full((len(labels), self.parameters.length), IGNORED_LABEL, dtype="int64")
        for row, numbers in zip(encoded, labels, strict=True):
            row[: len(numbers)] = numbers[: self.parameters.length]
        return encoded


def _form(token: str, parameters: Text) -> str:
    return token.lower() if parameters.lowercase else token


def read(path: Path, *, name: str, data: Data, labelled: bool) -> Records:
    """A file of JSON lines; empty lines are skipped."""
    import numpy

    found: list[_Line] = []
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    found.append(_parse(line, number=number, name=name, data=data, labelled=labelled))
    except UnicodeDecodeError as error:
        raise BadData(f"{name} is no UTF-8 text ({error}): save it as UTF-8") from error
    if not found:
        raise BadData(f"{name} has no lines: check that the whole file was uploaded")
    rows = numpy.empty(len(found), dtype=object)
    rows[:] = [line.tokens for line in found]
    labels: NDArray[Any] | None = None
    if labelled and data.kind is Task.TOKEN_CLASSIFICATION:
        labels = numpy.empty(len(found), dtype=object)
        labels[:] = [line.label for line in found]
    elif labelled:
        labels = numpy.array([line.label for line in found], dtype=str)
    numbers = numpy.array([line.number for line in found], dtype="int64")
    return Records(
        rows=rows,
        labels=labels,
        files=(name,),
        places=numpy.stack([numpy.zeros_like(numbers), numbers], axis=1),
        counted="line",
        groups={
            group: numpy.array([line.groups[index] for line in found], dtype=str)
            for index, group in enumerate(data.groups if labelled else ())
        },
        texts=tuple(line.text for line in found),
    )


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    tokens: tuple[str, ...]
    label: object
    groups: tuple[str, ...]


def _parse(line: str, *, number: int, name: str, data: Data, labelled: bool) -> _Line:
    where = f"{name}, line {number}"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{where} is no JSON object ({str(error)[:100]}): write one object per line") from error
    if not isinstance(entry, dict):
        raise BadData(f"{where} is {str(entry)[:60]!r}: write one object per line")
    per_token = data.kind is Task.TOKEN_CLASSIFICATION
    wanted = data.columns[0] if data.columns else ("tokens" if per_token else "text")
    for key in (wanted, *((data.label, *data.groups) if labelled else ())):
        if key not in entry:
            raise BadData(f"{where} has no field {key!r}; {suggest(key, map(str, entry))}")
    value, label = entry[wanted], entry.get(data.label)
    right = _is_words(value) if per_token else isinstance(value, str)
    if not right or not value or (isinstance(value, str) and not value.strip()):
        kind = "a list of strings" if per_token else "a string"
        raise BadData(f"{where}: {wanted!r} is {str(value)[:60]!r}; it must be {kind} that is not empty")
    text = " ".join(value) if per_token else value
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise BadData(f"{where}: {wanted!r} has half of a character (a lone surrogate): write the text as UTF-8")
    if labelled:
        label = _label(label, count=len(value), per_token=per_token, where=f"{where}: {data.label!r}")
    return _Line(
        number=number,
        text=text,
        tokens=tuple(value) if per_token else tokenize(value),
        label=label,
        groups=tuple(str(entry[group]) for group in data.groups) if labelled else (),
    )


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def _label(label: object, *, count: int, per_token: bool, where: str) -> object:
    if per_token:
        if not isinstance(label, list) or len(label) != count or not all(isinstance(x, str | int) for x in label):
            raise BadData(
                f"{where} is {str(label)[:60]!r}; it must be a list of labels, one for each of {count} tokens"
            )
        return tuple(str(x) for x in label)
    if not isinstance(label, str | int) or label == "":
        raise BadData(f"{where} is {str(label)[:60]!r}; it must be a string or a whole number")
    return str(label)
