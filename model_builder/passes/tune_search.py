"""Which parameters the next trials of a search get: Optuna's sampler, asked so that a killed search can repeat it.

A study lives in memory and is made anew for every round from the outcomes so far. What a trial is given follows from
them, from its number and from the seed alone: not from what a sampler drew before, nor from which trial of a round was
finished first.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from model_builder.errors import BadSpec

if TYPE_CHECKING:
    import optuna

#: Trials of chance, before the others follow what they found.
_BY_CHANCE = 5
#: Finished trials that a median needs, and the first epoch that is judged by it.
_COMPARED, _JUDGED = 3, 2

State = Literal["Complete", "Pruned", "Failed"]


@dataclass(frozen=True)
class Space:
    """What may be chosen.

    Attributes:
        ranges: name -> lower and upper limit; on a log scale where the lower is above zero.
        choices: name -> values.
        first: the parameters of trial 0.
    """

    ranges: Mapping[str, tuple[float, float]]
    choices: Mapping[str, Sequence[str | int]]
    first: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Attributes:
        losses: on the validation split, after each epoch.
        training: figures of `fit`; none where the trial did not come to its end.
    """

    number: int
    parameters: Mapping[str, Any]
    state: State
    losses: Sequence[float]
    training: Mapping[str, Any]

    @property
    def loss(self) -> float:
        """The lowest of its losses; infinite without any."""
        return min(self.losses, default=float("inf"))


@dataclass(frozen=True)
class Candidate:
    """A trial that is to be run."""

    number: int
    parameters: Mapping[str, Any]
    _trial: optuna.Trial

    def hopeless(self, losses: Sequence[float]) -> bool:
        """Whether the lowest of these losses is above the median of what finished trials had by then."""
        self._trial.report(losses[-1], step=len(losses))
        return bool(self._trial.should_prune())


def check() -> None:
    """Fail where Optuna is missing, before anything is trained."""
    try:
        import optuna  # noqa: F401 - asked for only to see whether it is there
    except ImportError as error:
        raise BadSpec("the pass tune needs Optuna: install the extra 'tune'") from error


def ask(finished: Sequence[Outcome], *, count: int, space: Space, seed: int, prune: bool) -> list[Candidate]:
    """The next round of trials.

    Args:
        finished: outcomes of all rounds before, in the order of their numbers.
        count: how many are to be run side by side.
        space: what may be chosen.
        seed: decides all chance.
        prune: whether a trial is ended early where the median of the others says so.
    """
    import optuna

    with _quiet():
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_COMPARED, n_warmup_steps=_JUDGED)
        study = optuna.create_study(direction="minimize", pruner=pruner if prune else optuna.pruners.NopPruner())
        distributions = _distributions(space)
        if not finished:
            study.enqueue_trial(dict(space.first))
        for outcome in finished:
            study.add_trial(_told(outcome, distributions=distributions))
        found = []
        for number in range(len(finished), len(finished) + count):
            digest = hashlib.sha256(f"{seed}/tune/{number}".encode()).digest()
            # Other trials of the round count as bad ones, so that this one goes elsewhere.
            study.sampler = optuna.samplers.TPESampler(
                seed=int.from_bytes(digest[:4]), n_startup_trials=_BY_CHANCE, constant_liar=True
            )
            trial = study.ask(fixed_distributions=distributions)
            found.append(Candidate(number=number, parameters=dict(trial.params), _trial=trial))
        return found


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    made: dict[str, BaseDistribution] = {
        name: FloatDistribution(low, high, log=low > 0) for name, (low, high) in space.ranges.items()
    }
    return made | {name: CategoricalDistribution(tuple(values)) for name, values in space.choices.items()}


def _told(
    outcome: Outcome, *, distributions: Mapping[str, optuna.distributions.BaseDistribution]
) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {"Complete": TrialState.COMPLETE, "Pruned": TrialState.PRUNED, "Failed": TrialState.FAIL}
    return create_trial(
        state=states[outcome.state],
        value=outcome.loss if outcome.state == "Complete" else None,
        params=dict(outcome.parameters),
        distributions=dict(distributions),
        intermediate_values=dict(enumerate(outcome.losses, start=1)),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells every study on standard error, where only our own lines belong."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
