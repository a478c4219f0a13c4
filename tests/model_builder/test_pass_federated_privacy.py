import math
import sys

import numpy
import pytest
import torch
from hypothesis import given, strategies
from scipy import stats

from model_builder.errors import BadSpec, GateFailed
from model_builder.passes.federated import privacy, vectors
from model_builder.passes.federated.masks import Keys


def mironov(noise: float, *, rounds: int, delta: float) -> float:
    """The bound by Renyi divergences, at the best of many orders (2017, propositions 1, 3 and 7)."""
    orders = 1 + numpy.logspace(-3, 5, 4000)
    return float((orders * rounds / (2 * noise**2) + math.log(1 / delta) / (orders - 1)).min())


@pytest.mark.parametrize(
    ("epsilon", "noise", "rounds", "delta"),
    [
        # Published with the accounting of Google's differential privacy library; nine rounds triple the sensitivity.
        (1, 1, 1, 0.12693674),
        (1, 2, 4, 0.12693674),
        (1, 1, 9, 0.78760074),
        (2, 1, 1, 0.02092364),
        (0, 1, 1, 0.38292492),
    ],
)
def test_delta_is_what_was_published(epsilon: float, noise: float, rounds: int, delta: float) -> None:
    assert privacy.delta_of(epsilon, noise=noise, rounds=rounds) == pytest.approx(delta, abs=5e-9)


def test_epsilon_is_what_was_published() -> None:
    assert privacy.epsilon_of(noise=1, rounds=1, delta=0.12693674) == pytest.approx(1, abs=1e-6)
    assert privacy.epsilon_of(noise=0.344, rounds=1, delta=1e-5) == pytest.approx(16, abs=0.06)  # of three digits
    assert privacy.epsilon_of(noise=1, rounds=1, delta=0.4) == 0


@given(
    noise=strategies.floats(0.05, 100),
    rounds=strategies.integers(1, 1000),
    delta=strategies.floats(1e-10, 0.01),
)
def test_epsilon_grows_with_rounds_falls_with_noise_and_is_below_mironovs_bound(
    noise: float, rounds: int, delta: float
) -> None:
    epsilon = privacy.epsilon_of(noise=noise, rounds=rounds, delta=delta)
    assert epsilon <= mironov(noise, rounds=rounds, delta=delta)
    assert privacy.epsilon_of(noise=noise, rounds=rounds + 1, delta=delta) >= epsilon
    assert privacy.epsilon_of(noise=noise * 1.01, rounds=rounds, delta=delta) <= epsilon
    assert privacy.epsilon_of(noise=noise, rounds=rounds, delta=delta * 2) <= epsilon
    if epsilon:
        assert privacy.delta_of(epsilon, noise=noise, rounds=rounds) <= delta
        assert privacy.delta_of(epsilon * (1 - 1e-6), noise=noise, rounds=rounds) > delta


def test_the_noise_of_all_sites_together_is_as_large_as_promised() -> None:
    shares = [
        privacy.share_of_noise(size=20_000, noise=1.5, clip=0.2, sites=9, chance=numpy.random.default_rng(site))
        for site in range(9)
    ]
    assert float(sum(shares).std()) == pytest.approx(0.3, rel=0.03)
    assert float(shares[0].std()) == pytest.approx(0.1, rel=0.03)


@given(strategies.lists(strategies.floats(-1e3, 1e3, width=32), min_size=1, max_size=20), strategies.floats(1e-3, 1e3))
def test_clipping_keeps_direction_and_bounds_the_length(values: list[float], bound: float) -> None:
    update = torch.tensor(values, dtype=torch.float64)
    cut = privacy.clipped(update, bound=bound)
    assert float(cut.norm()) <= bound * (1 + 1e-9)
    if float(update.norm()) <= bound:
        assert torch.equal(cut, update)
    else:
        assert torch.allclose(cut * update.norm(), update * bound, rtol=1e-6)


def masks(sites: int, *, moment: int = 1, size: int = 1000) -> list[numpy.ndarray]:
    pairs = [Keys() for _ in range(sites)]
    keys = {number: pair.public for number, pair in enumerate(pairs)}
    return [pair.mask(number=number, keys=keys, moment=moment, size=size) for number, pair in enumerate(pairs)]


@given(
    values=strategies.lists(
        strategies.lists(strategies.floats(-vectors.LIMIT, vectors.LIMIT), min_size=3, max_size=3),
        min_size=2,
        max_size=5,
    )
)
def test_masks_cancel_to_the_last_bit(values: list[list[float]]) -> None:
    plain = [vectors.encode(numpy.array(row)) for row in values]
    hidden = [part + mask for part, mask in zip(plain, masks(len(values), size=3), strict=True)]
    assert (vectors.total(hidden) == vectors.total(plain)).all()
    exact = numpy.array([math.fsum(column) for column in zip(*values, strict=True)])
    assert numpy.abs(vectors.total(plain) - exact).max() <= len(values) * vectors.STEP


def test_a_masked_update_says_nothing_about_the_update() -> None:
    """Bytes and bits of it are those of noise, also next to the update, and next to the mask of another round."""
    pairs = [Keys() for _ in range(3)]
    keys = {number: pair.public for number, pair in enumerate(pairs)}
    first, second = (pairs[0].mask(number=0, keys=keys, moment=moment, size=20_000) for moment in (1, 2))
    update = vectors.encode(numpy.random.default_rng(0).normal(size=20_000))
    for seen in (update + first, (update + first) - (update + second)):
        counts = numpy.bincount(seen.view(numpy.uint8), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-9
        scaled = seen.astype(numpy.float64) / 2.0**64
        assert stats.kstest(scaled, "uniform").pvalue > 1e-9
        assert abs(numpy.corrcoef(scaled, update.view(numpy.int64))[0, 1]) < 0.05
    assert stats.chisquare(numpy.bincount(update.view(numpy.uint8), minlength=256)).pvalue < 1e-9  # would be seen


def test_two_of_three_sites_do_not_uncover_the_third() -> None:
    hidden = masks(3, size=20_000)
    assert stats.chisquare(numpy.bincount((hidden[0] + hidden[1]).view(numpy.uint8), minlength=256)).pvalue > 1e-9
    assert not (hidden[0] + hidden[1] + hidden[2]).any()


def test_a_site_does_not_mask_for_keys_that_are_not_what_they_should_be() -> None:
    own, other = Keys(), Keys()
    for keys in ({0: own.public}, {0: other.public, 1: own.public}, {0: own.public, 1: own.public}):
        with pytest.raises(BadSpec, match="keys for site 0 are not those of two or more different sites"):
            own.mask(number=0, keys=keys, moment=1, size=1)
    kept = Keys(own.private)
    keys = {0: own.public, 1: other.public}
    assert (kept.mask(number=0, keys=keys, moment=1, size=9) == own.mask(number=0, keys=keys, moment=1, size=9)).all()


def test_masks_without_the_library_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.x25519", None)
    with pytest.raises(BadSpec, match="install the extra 'federated'"):
        Keys()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.01 * vectors.LIMIT])
def test_values_that_would_wrap_around_are_refused(value: float) -> None:
    with pytest.raises(GateFailed, match="not finite or above a million"):
        vectors.encode(numpy.array([0.0, value]))


def test_a_vector_of_another_network_is_refused() -> None:
    network = torch.nn.Linear(3, 2)
    names = vectors.layout(network, personal=False).body
    vectors.fill(torch.arange(8.0), network=network, names=names)
    assert vectors.flatten(network, names=names).tolist() == list(range(8))
    with pytest.raises(BadSpec, match="has 9 values, and the network 8 parameters"):
        vectors.fill(torch.zeros(9), network=network, names=names)
