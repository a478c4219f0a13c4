"""A demo that never was: moments and requests as a good run leaves them."""

import random

from localcluster.demo.checks import Check
from localcluster.demo.records import HTTP, Moment, Request, Span
from localcluster.demo.settings import Settings
from localcluster.demo.summary import Told

START = 1_700_000_000.0
END = START + 405.0
NAMES = {"r1": "v1", "r2": "v2", "r3": "v3", "r4": "v4"}
_STORY = (
    (60, "v1", "Building", 0, "v1", ""),
    (110, "v1", "Ready", 0, "", "v1"),
    (115, "v2", "Building", 0, "v2", "v1"),
    (170, "v2", "Progressing", 10, "v2", "v1"),
    (186, "v2", "Progressing", 25, "v2", "v1"),
    (202, "v2", "Progressing", 50, "v2", "v1"),
    (218, "v2", "Baking", 100, "v2", "v1"),
    (240, "v2", "Ready", 0, "", "v2"),
    (255, "v3", "Building", 0, "v3", "v2"),
    (285, "v3", "RolledBack", 0, "", "v2"),
    (287, "v4", "Building", 0, "v4", "v2"),
    (365, "v4", "Progressing", 10, "v4", "v2"),
    (381, "v4", "RollingBack", 0, "v4", "v2"),
    (382, "v4", "RolledBack", 0, "", "v2"),
    (395, "revert", "Ready", 0, "", "v2"),
)
_SPANS = (
    ("cluster", 0, 45),
    ("operator", 45, 60),
    ("v1", 60, 113),
    ("v2", 113, 255),
    ("v3", 255, 286),
    ("v4", 286, 394),
    ("revert", 394, 404),
)
FAILED = "HTTP 500: index out of bounds"


def request(*, at: float, revision: str = "r1", ok: bool = True, latency_ms: float = 3.0, error: str = "") -> Request:
    return Request(
        at=START + at,
        protocol=HTTP,
        ok=ok,
        latency_ms=latency_ms,
        revision=revision,
        error=error or ("" if ok else FAILED),
    )


def moments() -> list[Moment]:
    return [
        Moment(
            at=START + at,
            act=act,
            phase=phase,
            step="",
            desired=weight,
            accepted=weight,
            candidate=candidate,
            stable=stable,
        )
        for at, act, phase, weight, candidate, stable in _STORY
    ]


def requests() -> list[Request]:
    dice = random.Random(2)
    revisions = {version: revision for revision, version in NAMES.items()}
    found, at = [], 112.0
    while at < 404:
        at += dice.expovariate(60)
        shares = [moment for moment in moments() if moment.at <= START + at][-1].shares()
        version = dice.choices(list(shares), list(shares.values()))[0]
        ok = version != "v4" or dice.random() > 0.12
        slow = 150.0 if version == "v4" else 3.0
        found.append(request(at=at, revision=revisions[version], ok=ok, latency_ms=slow * dice.lognormvariate(0, 0.3)))
    return found


def told(*, extra: tuple[Request, ...] = ()) -> Told:
    return Told(
        settings=Settings(),
        started=START,
        ended=END,
        spans=[Span(act=act, title=f"act {act}", start=START + a, end=START + b) for act, a, b in _SPANS],
        checks={act: [Check(text="as told", ok=True)] for act, _, _ in _SPANS},
        moments=moments(),
        requests=[*requests(), *extra],
        names=NAMES,
        acts=len(_SPANS),
    )
