"""How answers to the same requests differ: from what was expected, and from each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelrelease.adapters.triton.answers import Answer
from modelrelease.adapters.triton.rules import Rules, apart
from modelrelease.domain.counts import GoldenComparison


def wrong(answer: Answer, expected: Answer, *, rules: Rules) -> str | None:
    """Return how an answer differs from the expected one by more than is allowed, None where it does not.

    Where no rule is declared numbers may be off by the set's tolerance, absolutely; anything else is the
    same or wrong. Both have the same outputs, of the same shapes.
    """
    for name, wanted in expected.items():
        found = answer[name]
        if (rule := rules.declared.get(name)) is not None:
            rows, said = apart(rule, found, wanted)
            if rows.any():
                return f"output {name} {said} (in {np.count_nonzero(rows)} of {rows.size} rows)"
            continue
        if not _numeric(wanted):
            if (count := int(np.count_nonzero(found != wanted))) > 0:
                return f"{count} of the {wanted.size} values of output {name} are not the expected ones"
            continue
        off = _largest(found, wanted)
        if off > rules.tolerance:
            return f"output {name} is off by {off:.3g}, and {rules.tolerance:.3g} is allowed"
    return None


def compare(
    pairs: Sequence[tuple[Answer, Answer]],
    *,
    rules: Rules,
    signs: tuple[int, ...],
    candidate: str,
    stable: str,
    rows: int,
    at: datetime,
) -> GoldenComparison:
    """Return how the candidate's answers differ from stable's; each pair is theirs to the same request, never none."""
    both = [(mine[name], theirs[name]) for mine, theirs in pairs for name in mine]
    numbers = [(mine, theirs) for mine, theirs in both if _numeric(mine)]
    count = sum(mine.size for mine, _ in numbers)
    largest = max((_largest(mine, theirs) for mine, theirs in numbers), default=0.0)
    total = sum(float(np.abs(_floats(mine) - _floats(theirs)).sum()) for mine, theirs in numbers)
    chosen = [found for mine, theirs in pairs for name in mine for found in _changed(name, mine, theirs, rules)]
    choices, changed = sum(one.size for one in chosen), sum(int(one.sum()) for one in chosen)
    mean = total / count if count else 0.0
    said = f"candidate and stable, asked the same {rows} golden rows, "
    if numbers:
        said += f"differ by {largest:.3g} at most and {mean:.3g} on average"
    if choices:
        otherwise = "do not agree" if rules.declared else "choose another value"
        said += f"{', and ' if numbers else ''}{otherwise} {changed} of {choices} times"
    if signs:
        worse, better = signs.count(1), signs.count(-1)
        said += f"; of {len(signs)} labelled inputs the candidate answers {worse} worse and {better} better"
    return GoldenComparison(
        candidate=candidate,
        stable=stable,
        at=at,
        rows=rows,
        largest=largest,
        mean=mean,
        choices=choices,
        changed=changed,
        signs=signs,
        message=said,
    )


def _changed(name: str, mine: Answer, theirs: Answer, rules: Rules) -> list[NDArray[Any]]:
    """Return in which rows an output does not agree as declared, else chooses otherwise; nothing of other outputs."""
    if (rule := rules.declared.get(name)) is not None:
        return [apart(rule, mine[name], theirs[name])[0]]
    return [_choices(mine[name]) != _choices(theirs[name])] if _chooses(mine[name]) else []


def _numeric(value: NDArray[Any]) -> bool:
    return value.dtype.kind in "iuf"


def _chooses(value: NDArray[Any]) -> bool:
    """Tell whether an output chooses: the largest of several numbers in a row, or a word or a yes."""
    return not _numeric(value) or (value.ndim > 1 and value.shape[-1] > 1)


def _choices(value: NDArray[Any]) -> NDArray[Any]:
    return value.argmax(axis=-1) if _numeric(value) else value


def _largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(_floats(one) - _floats(other)).max(initial=0.0))


def _floats(value: NDArray[Any]) -> NDArray[np.float64]:
    return value.astype(np.float64)
