"""One bet on one block: an exact e-value of four counts against a line of null hypotheses.

The line is `p_c = a + r * p_s`. Against "the candidate is at or below it" (FAIL) and against "at or
above it" (PASS) the bet is the same formula; which of the two it speaks against follows from the
side on which the guess lies.

Validity (statistics of the project, section 2.2; `a = 0, r = 1` is Turner, Ly and Gruenwald,
arXiv 2106.02693, `r = 1` Turner and Gruenwald, arXiv 2203.09785): by the inequality of arithmetic and
geometric means E[E] <= (1 + n_c * L * ((p_c - v) - r * (p_s - u)) / n)^n <= 1 for every pair on the
null's side, with the ratios free to vary within the block: only their averages count. `Ls` follows
from `L`, so that this holds even where the projection or the guess is poor: that costs power alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

Array = NDArray[numpy.float64]

EDGE = 1e-9  # ratios are kept this far from 0 and 1
_STEPS = 8  # of a bracketed Newton iteration: its error is below rounding but for wild guesses, where it costs power


class Line(NamedTuple):
    """The null's border `p_c = a + r * p_s`; `r = 0` is an absolute ratio. Arrays that broadcast."""

    a: Array
    r: Array

    def at(self, ratio: Array) -> Array:
        """Return the candidate's ratio on the line where stable has `ratio`."""
        return self.a + self.r * ratio


class Guess(NamedTuple):
    """Both arms' ratios as guessed from the past. Arrays that broadcast with the counts."""

    stable: Array
    candidate: Array


class Counts(NamedTuple):
    """Bad and all requests of both arms in one block. Arrays of one shape."""

    x_s: Array
    n_s: Array
    x_c: Array
    n_c: Array


def project(*, n_s: Array, n_c: Array, guess: Guess, line: Line) -> Array:
    """Return stable's ratio `u` at the point of the line that is nearest to the guess.

    Nearest is `n_s * kl(t_s, u) + n_c * kl(t_c, a + r * u)`; its derivative times the two variances
    is a cubic with one root between `t_s` and the `u` where the line has `t_c`.
    """
    a, r = line
    t_s, t_c = guess
    top = numpy.minimum(1.0 - EDGE, (1.0 - EDGE - a) / numpy.maximum(r, EDGE))
    crossing = numpy.clip((t_c - a) / numpy.maximum(r, EDGE), EDGE, top)
    start = numpy.clip(t_s, EDGE, top)
    low, high = numpy.minimum(start, crossing), numpy.maximum(start, crossing)
    # n_s (u - t_s) v (1 - v) + r n_c (v - t_c) u (1 - u) with v = a + r u, in powers of u
    flat, slope, bend = a * (1.0 - a), r * (1.0 - 2.0 * a), -r * r
    weight, offset = r * n_c, a - t_c
    c0 = -n_s * t_s * flat
    c1 = n_s * (flat - t_s * slope) + weight * offset
    c2 = n_s * (slope - t_s * bend) + weight * (r - offset)
    c3 = n_s * bend - weight * r
    known_s, known_c = n_s / (start * (1.0 - start)), r * r * n_c / (t_c * (1.0 - t_c))
    u = (known_s * start + known_c * crossing) / (known_s + known_c)
    for _ in range(_STEPS):
        value = ((c3 * u + c2) * u + c1) * u + c0
        rising = value > 0.0
        high, low = numpy.where(rising, u, high), numpy.where(rising, low, u)
        gradient = (3.0 * c3 * u + 2.0 * c2) * u + c1
        step = u - value / numpy.where(gradient == 0.0, 1.0, gradient)
        u = numpy.where((step >= low) & (step <= high), step, numpy.sqrt(low * high))
    return u


def log_e(*, counts: Counts, guess: Guess, line: Line) -> Array:
    """Return the logarithm of the e-value of a block, elementwise; 0 where an arm that is needed has no request.

    A guess on the null's own side must be masked by the caller: it bets on the other hypothesis.
    """
    x_s, n_s, x_c, n_c = counts
    one_sample = line.r == 0.0
    played = (n_c > 0.0) & (one_sample | (n_s > 0.0))
    safe_s, safe_c = numpy.where(n_s > 0.0, n_s, 1.0), numpy.where(n_c > 0.0, n_c, 1.0)
    u = project(n_s=safe_s, n_c=safe_c, guess=guess, line=line)
    v = numpy.clip(line.at(u), EDGE, 1.0 - EDGE)
    t_c = numpy.clip(guess.candidate, EDGE, 1.0 - EDGE)
    bet = (t_c - v) / (v * (1.0 - v))
    ratio = line.r * safe_c / safe_s
    # The hedge on stable must not lose more than everything, whatever the projection's rounding.
    most = (1.0 - EDGE) / numpy.maximum(numpy.where(bet > 0.0, ratio * (1.0 - u) * bet, -ratio * u * bet), 1e-300)
    bet = bet * numpy.minimum(1.0, most)
    hedge = -ratio * bet
    gain = x_c * numpy.log1p(bet * (1.0 - v)) + (n_c - x_c) * numpy.log1p(-bet * v)
    gain = gain + x_s * numpy.log1p(hedge * (1.0 - u)) + (n_s - x_s) * numpy.log1p(-hedge * u)
    return numpy.where(played, gain, 0.0)
