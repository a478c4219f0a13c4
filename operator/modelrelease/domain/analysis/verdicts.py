"""How verdicts combine, and the sentences that people read."""

from __future__ import annotations

from collections.abc import Iterable

from modelrelease.domain.status import Verdict, VerdictValue

_WORST_FIRST = (VerdictValue.FAIL, VerdictValue.ERROR, VerdictValue.INCONCLUSIVE)


def overall(verdicts: Iterable[Verdict]) -> VerdictValue:
    """Return what the verdicts say together: the worst of them; no verdict at all passes nothing.

    A failure is proven by its own metric and stands even where another could not be read.
    Advisory verdicts are for people alone.
    """
    values = {verdict.verdict for verdict in verdicts if not verdict.advisory}
    if not values:
        return VerdictValue.INCONCLUSIVE
    return next((value for value in _WORST_FIRST if value in values), VerdictValue.PASS)


def percent(ratio: float) -> str:
    """Return a share as people read it: `0.12 %`, `12.3 %`."""
    points = 100.0 * ratio
    digits = 2 if abs(points) < 10 else 1
    text = f"{points:.{digits}f}"
    if points and not float(text):
        text = f"{points:.1g}"
    return f"{text} %"


def number(value: float) -> str:
    """Return a count as people read it: whole, with thin groups of thousands."""
    return f"{value:,.0f}".replace(",", " ")
