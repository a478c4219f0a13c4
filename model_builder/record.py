"""The metrics in the result of a build, for an operator that judges them later: as many as fit, the most useful first.

A metric is an object with `value` and `rows` and, in lists, since a termination message is short:

- `bounds`: lower and upper, one-sided at 95 %; of the final model also both at half of alpha. Null where none exists.
- `source`, `stable`: what `compared.evidence_of` says of the change against that model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model_builder.metrics import METRICS, SOURCE_SUFFIX, STABLE_SUFFIX, Role, base_name, kind_of
from model_builder.result import LIMIT

#: Room for the number of the metrics that did not fit.
_RESERVED = len(',"omittedMetrics":1000000')
_GROUPS = {Role.HEADLINE: 0, Role.MEASURED: 1, Role.TRIPWIRE: 2}
_PLACES = {name: place for place, name in enumerate(METRICS)}


def recorded(result: Mapping[str, Any], *, described: Mapping[str, Any]) -> dict[str, Any]:
    """The result with the metrics of a manifest, never longer than a termination message may be.

    `omittedMetrics` is the number of metrics that did not fit; they are in the manifest.
    """
    metrics, evidence = described["metrics"], described["evidence"]
    room = LIMIT - _RESERVED - _size({**result, "metrics": {}})
    kept = set[str]()
    for name in sorted(metrics, key=_rank):
        size = _size({name: _entry(name, metrics[name], evidence.get(name))}) - len("{}") + len(",")
        if size <= room:
            kept.add(name)
            room -= size
    entries = {name: _entry(name, metric, evidence.get(name)) for name, metric in metrics.items() if name in kept}
    omitted = len(metrics) - len(entries)
    return {**result, "metrics": entries, **({"omittedMetrics": omitted} if omitted else {})}


def _entry(name: str, metric: Mapping[str, Any], evidence: Mapping[str, Any] | None) -> dict[str, Any]:
    plain = {key: metric[key] for key in ("value", "rows") if key in metric}
    kind = kind_of(name)
    if kind is None or kind.role is Role.MEASURED:  # no bound is missing: none has a meaning
        return plain
    known, more = [metric.get("lower"), metric.get("upper")], evidence or {}
    changes = {other: more[other] for other in ("source", "stable") if other in more}
    return {**plain, "bounds": [*known, *more.get("half", ())], **changes}


def _rank(name: str) -> tuple[bool, int, int]:
    """What gates are on most comes first: quality with its comparisons, cost, audits; then others' cost; parts."""
    kind, other = kind_of(name), name.endswith((SOURCE_SUFFIX, STABLE_SUFFIX))
    place = _PLACES.get(base_name(name), len(_PLACES))
    if kind is None:
        return True, 0, place
    group = 3 if other and kind.role is not Role.HEADLINE else _GROUPS[kind.role]
    return ":" in name, group, place


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":"), allow_nan=False).encode())
