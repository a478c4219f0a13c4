"""Two tests of every lane as portfolios of cash and bets, folded over blocks.

All mixtures of valid bets are valid bets, and so are bets that start late with money kept as cash
(statistics of the project, section 2.4; cf. e-detectors, Shin, Ramdas and Rinaldo, arXiv 2203.03532).
By Ville's inequality the chance that wealth ever reaches 1/alpha under the null is at most alpha.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from modelrelease.domain.analysis import kernel
from modelrelease.domain.analysis.kernel import Array, Counts, Guess, Line
from modelrelease.domain.analysis.lanes import FAIL_BETS, Lanes, Memory

# Guesses of FAIL: stable's average, times so many odds on the FAIL line, and the stake; None is the
# candidate's own average, the short one or the long one. Many small stakes cost little: a bet that is
# right wins all but the logarithm of its stake.
FAIL_GUESSES = (
    ("long", 1.12, 0.18),
    ("long", 1.3, 0.15),
    ("long", 1.8, 0.12),
    ("long", 3.0, 0.11),
    ("long", 8.0, 0.10),
    ("long", 30.0, 0.04),
    ("short", 1.3, 0.05),
    ("short", 3.0, 0.05),
    ("short", 8.0, 0.03),
    ("short", None, 0.06),
    ("long", None, 0.11),
)
# Guesses of PASS: stable's average, how far from there to the PASS line, and the stake.
PASS_GUESSES = (("long", 0.0, 0.5), ("short", 0.0, 0.3), ("short", None, 0.2))
STABLE_HALF_LIFE, OWN_HALF_LIVES = 24, (8, 64)  # blocks, of the short and long averages
START_FAIL, START_PASS = 0.7, 1.0  # invested in the first block; the rest is for late onsets
HAZARD = 1.0 / 60.0  # of the remaining cash, invested in each later block
HEDGE = 0.9  # one block can lose at most ln 10: a shared outage burns little
LEAST_BLOCKS = 3  # no single scrape decides
NOISY, LEAST_NOISY_BLOCKS = 2.0, 6  # phi from which one burst of noise may span several blocks; against only
WINNING = 0.75
CAUTION = 1.2  # times the noise, against only: episodes are no normal variates, and a rollback is an alarm
MOST_WEALTH = 1e30  # far beyond every threshold; keeps sums finite
_PRIOR = (0.5, 50.0)  # bad and all requests of the base ratio before anything is known: 1 %
_LEAST = 1e-6  # no guess is below
_DECAY = numpy.array(
    [0.5 ** (1.0 / blocks) for blocks in (numpy.inf, STABLE_HALF_LIFE, *OWN_HALF_LIVES) for _ in range(2)]
)
_FAIL_STAKES, _PASS_STAKES = (numpy.array([bet[2] for bet in bets]) for bets in (FAIL_GUESSES, PASS_GUESSES))


class Trace(NamedTuple):
    """The e-values after each block, (T, ..., lanes)."""

    fail_e: Array
    pass_e: Array


class Played(NamedTuple):
    """The blocks that are bet on, (T, ..., lanes), and both arms' averages before each by name."""

    counts: Counts
    stable: Mapping[str, Array]
    own: Mapping[str, Array]


def fold(
    lanes: Lanes, memory: Memory, blocks: Counts, *, settled: NDArray[numpy.bool_] | None = None
) -> tuple[Memory, Trace]:
    """Play all blocks in order. Counts have shape (T, ..., lanes), memory (..., lanes).

    Blocks without requests (gaps, arms without traffic) leave all wealth as it is. Blocks that are
    not `settled` (broadcasts with the counts; all are if None) are no evidence for the candidate.
    """
    memory, played = _replay(memory, blocks)
    growth = _growth(lanes, memory, played)
    ready = played.counts.n_c > 0.0
    trace: list[tuple[Array, Array]] = []
    accepted = ready if settled is None else ready & settled
    for growth_now, ready_now, accepted_now in zip(growth, ready, accepted, strict=True):
        memory = _invest(memory, growth_now, ready_now, accepted_now)
        trace.append((memory.fail_e, memory.pass_e))
    shape = blocks.n_c.shape
    fail_e, pass_e = (numpy.array([pair[i] for pair in trace]).reshape(shape) for i in (0, 1))
    return memory, Trace(fail_e, pass_e)


def _replay(memory: Memory, blocks: Counts) -> tuple[Memory, Played]:
    """Hold counts until both arms have a request, and note the averages before each block."""
    held, averages = memory.held, memory.averages
    rows: list[Array] = []
    for arrived in numpy.stack(blocks, axis=-1):
        held = held + arrived
        ready = (held[..., 1] >= 1.0) & (held[..., 3] >= 1.0)
        now = numpy.where(ready[..., None], held, 0.0)
        held = held - now
        rows.append(numpy.concatenate((now, averages), axis=-1))
        added = now[..., [0, 1, 0, 1, 2, 3, 2, 3]]
        averages = numpy.where(ready[..., None], _DECAY, 1.0) * averages + added
    table = numpy.array(rows).reshape((*blocks.n_c.shape, 12))
    long = _ratio(table[..., 4], table[..., 5])
    short = _ratio(table[..., 6], table[..., 7], like=long)
    own_short, own_long = (_ratio(table[..., i], table[..., i + 1], like=short) for i in (8, 10))
    counts = Counts(*(table[..., i] for i in range(4)))
    played = Played(counts, {"long": long, "short": short}, {"long": own_long, "short": own_short})
    return replace(memory, held=held, averages=averages), played


def _ratio(x: Array, n: Array, *, like: Array | None = None) -> Array:
    """Return a ratio for a guess, pulled by a few requests towards 1 % or towards another ratio."""
    if like is None:
        return numpy.clip((x + _PRIOR[0]) / (n + _PRIOR[1]), _LEAST, 1.0 - _LEAST)
    return numpy.clip((x + 4.0 * like) / (n + 4.0), _LEAST, 1.0 - _LEAST)


def _growth(lanes: Lanes, memory: Memory, played: Played) -> Array:
    """Return the factor of every bet in every block, (T, ..., lanes, bets): tempered, hedged and capped."""
    stable, candidate, line, against = _guesses(lanes, played)
    counts = Counts(*(part[..., None] for part in played.counts))
    guess = Guess(stable, candidate)
    value = kernel.log_e(counts=counts, guess=guess, line=line)
    beyond = candidate > line.at(stable)
    value = numpy.where(beyond == against, value, 0.0)
    n_s, n_c = played.counts.n_s, played.counts.n_c
    phi = tempering(memory.noise, memory.floor, n_s=n_s, n_c=n_c)[..., None]
    phi = numpy.where(against, 1.0 + CAUTION * (phi - 1.0), phi)
    log_cap = numpy.where(against, *(numpy.log(cap)[..., None] for cap in caps(lanes)))
    log_cap = numpy.where((phi > NOISY) & against, log_cap * LEAST_BLOCKS / LEAST_NOISY_BLOCKS, log_cap)
    tempered = numpy.exp(numpy.minimum(value / phi, log_cap + 1.0))
    grown: Array = numpy.minimum((1.0 - HEDGE) + HEDGE * tempered, numpy.exp(log_cap))
    return grown


def tempering(noise: Array, floor: Array, *, n_s: Array, n_c: Array) -> Array:
    """Return phi: how many times more variance a block's contrast has than independent requests give it."""
    return numpy.maximum(floor, 1.0 + 2.0 * noise * n_s * n_c / numpy.maximum(n_s + n_c, 1.0))


def caps(lanes: Lanes) -> tuple[Array, Array]:
    """Return the most that one block may multiply a bet of FAIL and of PASS by, so that fewer blocks decide nothing.

    That many blocks do decide where bets with `WINNING` of the stakes win all they may.
    """
    fail = (1.0 / (lanes.alpha * lanes.weight * START_FAIL * WINNING)) ** (1.0 / LEAST_BLOCKS)
    accept = numpy.full_like(fail, (1.0 / (lanes.beta * START_PASS * WINNING)) ** (1.0 / LEAST_BLOCKS))
    return fail, accept


def _guesses(lanes: Lanes, played: Played) -> tuple[Array, Array, Line, NDArray[numpy.bool_]]:
    """Return, with bets as the last axis, both guessed ratios, the line, and whether the bet is against."""
    stable: list[Array] = []
    candidate: list[Array] = []
    for name, factor, _ in FAIL_GUESSES:
        base, own = played.stable[name], played.own[name]
        # The candidate's long average is held against stable's short one: both then see the time of day.
        stable.append(base if factor is not None else played.stable["short"])
        border = numpy.clip(lanes.fail.at(base), _LEAST, 1.0 - _LEAST)
        odds = (factor or 1.0) * border / (1.0 - border)
        candidate.append(own if factor is None else odds / (1.0 + odds))
    for name, place, _ in PASS_GUESSES:
        base, own = played.stable[name], played.own[name]
        stable.append(base)
        candidate.append(own if place is None else base + place * (lanes.accept.at(base) - base))
    against = numpy.arange(len(stable)) < FAIL_BETS
    a, r = (numpy.where(against, f[..., None], p[..., None]) for f, p in zip(lanes.fail, lanes.accept, strict=True))
    return numpy.stack(stable, axis=-1), numpy.stack(candidate, axis=-1), Line(a, r), against


def _invest(memory: Memory, growth: Array, ready: Array, accepted: Array) -> Memory:
    """Put cash into the bets, then let the block multiply them; `accepted` is `ready` for the bets on the candidate."""
    fail_in = numpy.where(memory.fail_played == 0.0, START_FAIL, HAZARD) * memory.fail_cash * ready
    pass_in = numpy.where(memory.pass_played == 0.0, START_PASS, HAZARD) * memory.pass_cash * accepted
    against = numpy.where(ready[..., None], growth[..., :FAIL_BETS], 1.0)
    favour = numpy.where(accepted[..., None], growth[..., FAIL_BETS:], 1.0)
    fail = against * (memory.fail_bets + fail_in[..., None] * _FAIL_STAKES)
    accept = favour * (memory.pass_bets + pass_in[..., None] * _PASS_STAKES)
    after = replace(
        memory,
        fail_cash=memory.fail_cash - fail_in,
        fail_bets=numpy.minimum(fail, MOST_WEALTH),
        fail_played=memory.fail_played + ready,
        pass_cash=memory.pass_cash - pass_in,
        pass_bets=numpy.minimum(accept, MOST_WEALTH),
        pass_played=memory.pass_played + accepted,
    )
    return replace(after, pass_best=numpy.maximum(memory.pass_best, after.pass_e))
