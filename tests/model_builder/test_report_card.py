import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from model_builder.finished import Finished, read
from model_builder.report import card
from tests.model_builder import told

HOSTILE = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "a | b\n\n# c",
    "`` ` *x* __y__ www.example.org a@example.org",
    "- 1. x",
    "1. x",
    "---",
    "&lt;b&gt;",
)


def html(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


def rendered(folder: Path, text: str = "plain", **changes: Any) -> str:
    return card.render(read(told.artifact(folder, text, **changes)))


def shape(text: str) -> list[str]:
    """The tags of the card as a reader sees it."""
    return re.findall(r"</?[a-z0-9]+", html(text))


def test_the_card_says_what_the_model_is_and_can(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a")
    for fact in (
        read(tmp_path / "a").digest,
        "0.606 to 0.994",
        "| `sizeBytes` | 2 KiB |  | 8 KiB |",
        "Pass: accuracy is 0.9; the gate asks for 0.5",
        "**No gate blocks it (1 held).**",
        "On 15 test rows",
    ):
        assert fact in found
    assert html(found).count("<table>") == 2


def test_what_no_build_can_know_is_left_open(tmp_path: Path) -> None:
    found = rendered(tmp_path / "a", audits={}, gates=[told.BLOCKED])
    assert "## Intended use\n\nNot stated" in found
    assert "fairness, robustness and privacy are not known" in found
    assert "**Kept back by its gates:** accuracy fell by more than 0.03." in found


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return read(told.artifact(tmp_path_factory.mktemp("known") / "a"))


@settings(max_examples=15, deadline=None)
@given(text=st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=12))
def test_nothing_of_a_manifest_is_markup(known: Finished, text: str) -> None:
    assume(text not in told.CLASSES)
    assert shape(card.render(told.retold(known, text))) == shape(card.render(known))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_means_something_in_markdown_means_nothing_in_a_card(known: Finished, text: str) -> None:
    assert shape(card.render(told.retold(known, text))) == shape(card.render(known))


@given(text=st.text(max_size=20))
def test_text_is_read_as_it_was_written(text: str) -> None:
    shown = html(f"- x {card.text(text)}")
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", html_of_plain(text))


def html_of_plain(text: str) -> str:
    from model_builder.report.markup import plain

    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return f"<ul><li>x {escaped}</li></ul>"


@given(text=st.text(alphabet="`a |\\", max_size=12))
def test_a_span_of_code_ends_where_it_should(text: str) -> None:
    shown = html(f"x {card.code(text or 'y')} z")
    assert shown.startswith("<p>x <code>") and shown.endswith("</code> z</p>\n") and shown.count("<code>") == 1


def test_addresses_are_no_links() -> None:
    shown = card.text("see https://example.org, www.example.org or a@example.org")
    assert "://" not in shown and "www." not in shown and "@" not in shown
