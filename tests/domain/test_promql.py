"""Queries that people write: names go into them safely, and what is no plain counter is told."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.domain import promql
from modelrelease.domain.promql import Matcher, QueryError

NAMES = {"slot": "digits-stable", "revision": "ab12", "namespace": "a.b", "name": 'x"y\\'}


@pytest.mark.parametrize(
    ("query", "filled"),
    [
        ('x{a="$slot",b="$revision"}', 'x{a="digits-stable",b="ab12"}'),
        ('x{a=~"$namespace-.*|z$"}', 'x{a=~"a\\\\.b-.*|z$"}'),
        ('x{a!~ "$namespace"}', 'x{a!~ "a\\\\.b"}'),
        ("x{a=~`$namespace`}", "x{a=~`a\\.b`}"),
        ('x{a="$namespace"}', 'x{a="a.b"}'),
        ("x{a='$name'}", "x{a='x\"y\\\\'}"),
        ('x{a="$name"}', 'x{a="x\\"y\\\\"}'),
        ("sum(rate(x[5m])) # $slot is a comment\n > 1", "sum(rate(x[5m])) # $slot is a comment\n > 1"),
        ('label_replace(x, "a", "$1", "b", "(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
    ],
)
def test_placeholders_are_escaped_for_where_they_stand(query: str, filled: str) -> None:
    assert promql.fill(query, NAMES) == filled


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("x{a=$slot}", "outside of quotes"),
        ('x{a="$slto"}', "the unknown placeholder $slto: there are $slot, $revision, $namespace, $name"),
        ('x{a="${slot}"}', "without braces"),
        ("x{a=`$name`}", None),
    ],
)
def test_placeholders_that_can_not_be_filled(query: str, said: str | None) -> None:
    names = NAMES if said else {"name": "a`b"}
    with pytest.raises(QueryError, match=re.escape(said or "use double quotes")):
        promql.fill(query, names)


@given(name=st.text(max_size=12), pattern=st.booleans())
def test_no_name_ends_its_string_or_means_more_than_itself(name: str, pattern: bool) -> None:
    operator = "=~" if pattern else "="
    filled = promql.fill(f'x{{a{operator}"$name",b="c"}}', {"name": name})
    assert "".join(token.text for token in promql.tokens(filled)) == filled
    first, second = promql.selector(filled).matchers
    assert second == Matcher(label="b", operator="=", value="c")
    unquoted = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], first.value)
    assert (re.fullmatch(unquoted, name) is not None) if pattern else unquoted == name


@given(st.text(alphabet="x{}=\"~!,$'`\\ a[]()0:#\n", max_size=40))
def test_any_text_is_a_query_or_an_error(text: str) -> None:
    with contextlib.suppress(QueryError):
        promql.fill(text, NAMES)
    with contextlib.suppress(QueryError):
        promql.selector(text)
    assert "".join(token.text for token in promql.tokens(text)) == text


def test_the_parts_of_a_selector() -> None:
    found = promql.selector('requests_total{code!~"2..", service="a", }')
    assert found.name == "requests_total"
    assert found.matchers == (
        Matcher(label="code", operator="!~", value="2.."),
        Matcher(label="service", operator="=", value="a"),
    )
    assert promql.selector("ns:requests:total").matchers == ()
    assert promql.selector('{__name__=~"a|b"}').name == ""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "is empty: write a selector such as"),
        ("rate(x[5m])", "calls rate(): write the bare counter"),
        ("sum by (pod) (x)", "calls sum()"),
        ("x[5m]", "has a range in brackets: leave it out"),
        ("x offset 5m", "has offset: leave it out"),
        ("x @ 17", "has @: leave it out"),
        ("x / y", 'counters that belong together are named as {__name__=~"ONE|OTHER"}'),
        ('{code="500"}', "names no metric"),
        ("x{code=500}", "has 'code=500' in its braces"),
        ('x{code="500"', 'lacks a comma or a closing brace after "500"'),
        ('x{a="b" c="d"}', "lacks a comma"),
        ('x{a="b",', "lacks a closing brace"),
        ("5", "begins with '5'"),
    ],
)
def test_what_is_no_counter_selector(query: str, said: str) -> None:
    with pytest.raises(QueryError, match=re.escape(said)):
        promql.selector(query)
