"""What was promised, and whether the results keep it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.decisions.cells import Group
from benchmarks.decisions.rules import OURS, UNTUNED

Results = Mapping[str, Mapping[str, Any]]
_MOST_FALSE_OF_A_PEER = 0.05
_MOST_OF_RUNS = 0.95
_BURSTY = (
    ("bursty healthy service promoted within 2 h, its pods told apart", "healthy: bursts cv 0.5 per pod, 50 rps"),
    ("the same, its pods not told apart", "healthy: bursts cv 0.5, 50 rps"),
)
_UP, _BACK = "minutes_promoted", "minutes_rolled_back"


@dataclass(frozen=True)
class Check:
    """One promise: what, how much at most or at least, what was found; None where it was not run."""

    what: str
    target: str
    found: str
    met: bool | None


# Key of the cell, field, limit in minutes, what it is.
_MINUTES = (
    ("healthy: 1 %, 50 rps", _UP, 40.0, "time to promote, 50 rps, base 1 %"),
    ("with a full mirror: 1 %, 50 rps", _UP, 8.0, "the same with a full mirror"),
    ("slower: tail, 50 rps", _BACK, 20.0, "tail-only slowness found, 50 rps"),
    ("with a full mirror: tail, 50 rps", _BACK, 5.0, "the same with a full mirror"),
    ("fault in the bake: bake, +5 pp, 50 rps", _BACK, 5.0, "a fault in the bake found"),
    ("low traffic: 0.1 %, 1 rps", _UP, 60.0, "1 rps, base 0.1 %, mirrored: promoted"),
    ("low traffic: 0.1 % +5 pp, 1 rps", _BACK, 15.0, "the same, +5 pp: stopped"),
)


def targets(results: Results) -> list[Check]:
    """Return all promises, in the order of the page."""
    return [
        _false_rollbacks(results),
        *_missed(results),
        *_bad_requests(results),
        *(_minutes(results, *row) for row in _MINUTES),
        *(_bursty(results, *row) for row in _BURSTY),
        *_noise(results),
    ]


def _ours(results: Results, key: str) -> Mapping[str, Any] | None:
    found = results.get(key)
    return found["rules"][OURS] if found else None


def _of(results: Results, group: Group) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in results.values():
        if entry["group"] == str(group):
            yield entry["name"], entry["rules"][OURS]


def _worst(pairs: Iterable[tuple[str, float]], *, limit: float, what: str, target: str) -> Check:
    found = sorted(pairs, key=lambda pair: -pair[1])
    if not found:
        return Check(what, target, "not run", None)
    name, value = found[0]
    return Check(what, target, f"{_percent(value)} at most ({name})", value <= limit)


def _false_rollbacks(results: Results) -> Check:
    pairs = ((name, ours["rolled_back_upper"]) for name, ours in _of(results, Group.NULL))
    return _worst(pairs, limit=0.01, what="false rollback, upper 95 % bound, all healthy cells", target="<= 1 %")


def _missed(results: Results) -> Iterator[Check]:
    steady = [
        (name, ours)
        for name, ours in _of(results, Group.ERRORS)
        if name.startswith(("0.1 %", "1 %", "5 %")) and ("+1 pp" in name or "+5 pp" in name)
    ]
    missed = ((name, ours["promoted"]) for name, ours in steady)
    undecided = ((name, ours["undecided"]) for name, ours in steady)
    yield _worst(missed, limit=0.01, what="+1 pp and +5 pp missed at 50 and 1 000 rps", target="<= 1 %")
    yield _worst(undecided, limit=0.08, what="the same, undecided at 2 h", target="<= 8 %")


def _bad_requests(results: Results) -> Iterator[Check]:
    for rps in ("50", "1000"):
        for base in ("0.1 %", "1 %", "5 %"):
            fault = results.get(f"more errors: {base} +5 pp, {rps} rps")
            null = results.get(f"healthy: {base}, {rps} rps")
            what, target = f"bad requests of +5 pp, base {base}, {rps} rps", "<= 1/4 of the best untuned peer"
            if not fault or not null:
                yield Check(what, target, "not run", None)
                continue
            fair = [rule for rule in UNTUNED if null["rules"][rule]["rolled_back"] <= _MOST_FALSE_OF_A_PEER]
            best = min((fault["rules"][rule]["bad_median"], rule) for rule in fair) if fair else None
            mine = fault["rules"][OURS]["bad_median"]
            said = f"{mine:.0f} against {best[0]:.0f} of {best[1]}" if best else f"{mine:.0f}; no peer is left"
            yield Check(what, target, said, mine <= best[0] / 4 if best else True)


def _noise(results: Results) -> Iterator[Check]:
    for minutes, limit in (("2.5", 0.02), ("10", 0.10)):
        rows = [(name, ours) for name, ours in _of(results, Group.NOISE) if f", {minutes} min" in name]
        null = [(name, ours["rolled_back"]) for name, ours in rows if "pp" not in name]
        fault = [(name, ours) for name, ours in rows if "pp" in name]
        what = f"noise of one version, episodes of {minutes} min"
        yield _worst(null, limit=limit, what=f"{what}: false rollback", target=f"<= {_percent(limit)}")
        yield _worst(((n, o["promoted"]) for n, o in fault), limit=0.01, what=f"{what}: +5 pp missed", target="<= 1 %")
        slow = [(o["minutes_rolled_back"], n) for n, o in fault if o["minutes_rolled_back"] is not None]
        said = f"{max(slow)[0]:.1f} min ({max(slow)[1]})" if slow else "not run"
        yield Check(f"{what}: +5 pp found, median", "<= 15 min", said, max(slow)[0] <= 15.0 if slow else None)


def _minutes(results: Results, key: str, field: str, limit: float, what: str) -> Check:
    ours, target = _ours(results, key), f"<= {limit:g} min, median"
    if ours is None:
        return Check(what, target, "not run", None)
    value, needed = ours[field], "promoted" if field == _UP else "rolled_back"
    if value is None or ours[needed] < 0.5:
        return Check(what, target, f"{_percent(ours[needed])} only", met=False)
    return Check(what, target, f"{value:.1f} min ({_percent(ours[needed])} of runs)", value <= limit)


def _bursty(results: Results, what: str, key: str) -> Check:
    ours, target = _ours(results, key), ">= 95 %"
    if ours is None:
        return Check(what, target, "not run", None)
    return Check(what, target, _percent(ours["promoted"]), ours["promoted"] >= _MOST_OF_RUNS)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"
