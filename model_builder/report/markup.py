"""HTML and SVG in which nothing that came from outside can be anything but text."""

from __future__ import annotations

import html
import re

#: Control characters, halves of surrogate pairs, and marks that let text read in another order than it is written.
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_VOID = ("meta", "br")

Child = object


class Markup(str):
    """Markup that `element` or `joined` made; any other string is text."""

    __slots__ = ()


def plain(value: object) -> str:
    """Text without what can't be seen or read backwards."""
    return _UNSEEN.sub("\ufffd", str(value))


def escape(value: object) -> Markup:
    """Text as markup, in elements and in attributes."""
    return value if isinstance(value, Markup) else Markup(html.escape(plain(value)))


def joined(*children: Child) -> Markup:
    """Children one after another; None is nothing."""
    return Markup("".join(escape(child) for child in children if child is not None))


def element(name: str, /, *children: Child, **attributes: object) -> Markup:
    """One element. `class_` and `stroke_width` are attributes as Python can spell them; None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")
