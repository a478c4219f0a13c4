"""The little that has to be known of PromQL to fill in a query that somebody wrote, without a parser for all of it.

The names that are filled in stand for a release's own: they are escaped for the string literal
they stand in, and in a pattern for the pattern as well, so that no name can widen a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

PLACEHOLDERS = ("slot", "revision", "namespace", "name")

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<word>[a-zA-Z_:][\w:]*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^=<>(){}\[\],@.:])
    |(?P<other>.)""",
    re.VERBOSE,
)
_PLACEHOLDER = re.compile(r"\$(\{?)([A-Za-z_]\w*)")
_PATTERN_SIGNS = frozenset(r".+*?()|[]{}^$\\")
_OPERATORS = ("=", "!=", "=~", "!~")


class QueryError(ValueError):
    """A query that can't be used: the message says what is wrong and how to write it."""


@dataclass(frozen=True)
class Token:
    """A piece of a query; `kind` is space, string, word, number, sign or other."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """One condition on a label; `value` is without its quotes."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A selector and nothing else: a metric's name (empty if it is among the matchers) and its matchers."""

    name: str
    matchers: tuple[Matcher, ...]


def tokens(query: str) -> Iterator[Token]:
    """Yield the pieces of a query; together they are the query."""
    for found in _TOKEN.finditer(query):
        yield Token(found.lastgroup or "other", found.group())


def placeholders(query: str) -> frozenset[str]:
    """Return the placeholders that a query uses, known or not."""
    return frozenset(found.group(2) for found in _PLACEHOLDER.finditer(query))


def fill(query: str, values: Mapping[str, str]) -> str:
    """Return a query with names for its placeholders.

    Raises:
        QueryError: a placeholder is not known, or stands outside of a string.

    """
    done, pattern = [], False
    for token in tokens(query):
        if token.kind == "string":
            done.append(_filled(token.text, values, pattern=pattern))
        elif token.text == "$":
            raise QueryError('has a placeholder outside of quotes: write it as the value of a label, "$slot"')
        else:
            done.append(token.text)
        if token.kind != "space":
            pattern = token.text in ("=~", "!~")
    return "".join(done)


def _filled(literal: str, values: Mapping[str, str], *, pattern: bool) -> str:
    quote = literal[0]

    def value(found: re.Match[str]) -> str:
        brace, name = found.groups()
        if brace or name not in values:
            there_are = ", ".join(f"${known}" for known in values)
            raise QueryError(f"has the unknown placeholder {found.group()}: there are {there_are}, without braces")
        text = "".join("\\" + c if c in _PATTERN_SIGNS else c for c in values[name]) if pattern else values[name]
        if quote == "`":
            if quote in text:
                raise QueryError(f"can't hold {text} in back quotes: use double quotes")
            return text
        return text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n")

    return quote + _PLACEHOLDER.sub(value, literal[1:-1]) + quote


def selector(query: str) -> Plain:
    """Return the parts of a counter selector.

    Raises:
        QueryError: it is not a plain selector; the message says what to leave out.

    """
    left = [token for token in tokens(query) if token.kind != "space"]
    if not left:
        raise QueryError('is empty: write a selector such as requests_total{service="$slot"}')
    name = left.pop(0).text if left[0].kind == "word" else ""
    if left and left[0].text in ("(", "by", "without"):
        raise QueryError(
            f"calls {name}(): write the bare counter with its labels, the operator reads its samples and counts itself"
        )
    matchers: list[Matcher] = []
    if left and left[0].text == "{":
        matchers, left = _matchers(left[1:])
    elif not name:
        raise QueryError(f'begins with {left[0].text!r}: write a selector such as requests_total{{service="$slot"}}')
    if left:
        raise QueryError(_superfluous(left[0].text))
    if not name and not any(m.label == "__name__" and m.operator in ("=", "=~") for m in matchers):
        raise QueryError('names no metric: write NAME{...} or {__name__=~"NAME|OTHER",...}')
    return Plain(name=name, matchers=tuple(matchers))


def _matchers(left: Sequence[Token]) -> tuple[list[Matcher], list[Token]]:
    """Return the matchers of a list that has been opened, and what comes after it."""
    found: list[Matcher] = []
    at = 0
    while at < len(left) and left[at].text != "}":
        label, operator, value, comma = [*left[at : at + 4], *[Token("other", "")] * 4][:4]
        if label.kind != "word" or operator.text not in _OPERATORS or value.kind != "string":
            raise QueryError(f'has {label.text + operator.text + value.text!r} in its braces: write LABEL="VALUE"')
        if comma.text not in (",", "}"):
            raise QueryError(f"lacks a comma or a closing brace after {value.text}")
        found.append(Matcher(label=label.text, operator=operator.text, value=value.text[1:-1]))
        at += 4 if comma.text == "," else 3
    if at >= len(left):
        raise QueryError("lacks a closing brace")
    return found, list(left[at + 1 :])


def _superfluous(text: str) -> str:
    if text == "[":
        return "has a range in brackets: leave it out, the operator reads every sample of the window itself"
    if text in ("offset", "@"):
        return f"has {text}: leave it out, the operator chooses the moment"
    return (
        f"goes on with {text!r} after the selector: write one selector; counters that belong together "
        'are named as {__name__=~"ONE|OTHER"}, and what is a result of arithmetic is a value with a threshold'
    )
