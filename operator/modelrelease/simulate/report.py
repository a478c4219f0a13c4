"""Simulated releases told to programs: the JSON of one run, and of many with what they have in common."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from modelrelease.domain import codec
from modelrelease.simulate.interval import interval
from modelrelease.simulate.play import Ending, Look, Run

Json = dict[str, Any]


def one(run: Run) -> Json:
    """Return the JSON of a run: times in seconds, weights in percent, verdicts as they stood when the release moved."""
    return {**_brief(run), "verdicts": [verdict for look in run.looks if look.moved for verdict in _verdicts(look)]}


def many(runs: Sequence[Run], *, seed: int) -> Json:
    """Return the JSON of several runs: how they ended, with exact 95 % intervals of the shares, and each in brief."""
    return {
        "seed": seed,
        "replications": len(runs),
        "outcomes": {ending.value: share(runs, ending) for ending in Ending},
        "reasons": dict(Counter(run.reason for run in runs).most_common()),
        "promotedAt": quantiles([run.promoted_at for run in runs if run.ending is Ending.PROMOTED]),
        "rolledBackAt": quantiles([run.decided_at for run in runs if run.ending is Ending.ROLLED_BACK]),
        "badRequestsServed": quantiles([run.bad_requests_served for run in runs]),
        "notes": list(runs[0].notes) if runs else [],
        "runs": [_brief(run) for run in runs],
    }


def share(runs: Sequence[Run], ending: Ending) -> Json:
    """Return how many runs ended so, as a share and with its interval."""
    hits = sum(run.ending is ending for run in runs)
    low, high = interval(hits, len(runs))
    return {"runs": hits, "share": hits / len(runs), "interval": [round(low, 6), round(high, 6)]}


def quantiles(values: Sequence[float | None]) -> Json | None:
    """Return median and 95th percentile (nearest rank), None without values."""
    found = sorted(value for value in values if value is not None)
    if not found:
        return None
    rank = -(-95 * len(found) // 100) - 1
    return {"median": number(statistics.median(found)), "p95": number(found[rank])}


def number(value: float | None) -> float | int | None:
    """Return a number as people write it: whole where it is."""
    return int(value) if value is not None and value == int(value) else value


def _brief(run: Run) -> Json:
    return {
        "outcome": run.ending.value,
        "reason": run.reason,
        "metric": run.metric,
        "message": run.message,
        "decidedAt": number(run.decided_at),
        "promotedAt": number(run.promoted_at),
        "endedAt": number(run.ended_at),
        "badRequestsServed": run.bad_requests_served,
        "candidateRequests": run.candidate_requests,
        "weights": [[number(t), number(weight)] for t, weight in run.weights],
        "notes": list(run.notes),
    }


def _verdicts(look: Look) -> list[Json]:
    known = {"t": number(look.t), "stage": look.stage.value, "weight": look.weight}
    return [{**known, **codec.encode(verdict)} for verdict in look.verdicts]
