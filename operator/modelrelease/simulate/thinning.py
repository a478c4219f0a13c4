"""Taking a share of counts at random, as a gateway does that sends a share of the requests.

Each request is kept or not, once, whatever is counted of it. A count is therefore never
thinned by itself: all partitions of the same requests (failed or not, by latency, by class)
keep the same number, and no more failures remain than requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Whole = NDArray[np.int64]


def keep(rng: np.random.Generator, total: ArrayLike, share: ArrayLike) -> Whole:
    """Return how many of `total` requests are kept, each with the probability `share`; shapes broadcast."""
    return np.asarray(
        rng.binomial(np.asarray(total, dtype=np.int64), np.asarray(share, dtype=np.float64)), dtype=np.int64
    )


def split(rng: np.random.Generator, cells: Whole, kept: ArrayLike) -> Whole:
    """Return how many of each cell are among `kept` of all, drawn without replacement.

    `cells` (..., K) are disjoint and `kept` (...) is at most their sum; the answer has the shape of `cells`
    and sums to `kept`. One hypergeometric draw for each cell of what is left to draw.
    """
    left = np.asarray(kept, dtype=np.int64).copy()
    rest = cells.sum(axis=-1)
    drawn = np.empty_like(cells)
    for index in range(cells.shape[-1]):
        cell = cells[..., index]
        rest = rest - cell
        drawn[..., index] = rng.hypergeometric(cell, rest, left)
        left = left - drawn[..., index]
    return drawn


def split_cumulative(rng: np.random.Generator, cumulative: Whole, kept: ArrayLike) -> Whole:
    """Return `split` of a histogram whose counts are cumulative, the last one the total."""
    return np.cumsum(split(rng, np.diff(cumulative, axis=-1, prepend=0), kept), axis=-1)
