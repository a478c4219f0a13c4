"""Trials of a search: one is a training of a copy of the network, and what it found outlives a killed build."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import checkpoint
from model_builder.errors import BuildError, GateFailed, OutOfMemory, StorageError
from model_builder.passes.base import Context
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.objective import supervised
from model_builder.passes.tune_search import Candidate, Outcome, State
from model_builder.progress import SilentReporter

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Largest L2 norm of a step's gradient, that of `finetune`: a search meets rates that are too high.
_CLIP = 1.0


class _PrunedError(Exception):
    """The trial is worse than others were by then."""


class _Watch(SilentReporter):
    """Hears of every epoch of a training, and ends it where it is hopeless."""

    def __init__(self, candidate: Candidate, *, folder: Path) -> None:
        self.losses: list[float] = []
        self._candidate, self._folder = candidate, folder

    def step(self, *, done: int, total: int, **figures: float) -> None:
        """Judge the trial after its epoch `done`. `_PrunedError` where it is hopeless.

        The losses are read from the checkpoint of that epoch: a killed training that goes on from there hears the same.
        """
        del total, figures
        found = checkpoint.load(self._folder)
        if found is None:
            raise _full(self._folder)
        losses = found["validation"][:done]
        for count in range(len(self.losses) + 1, done + 1):
            self.losses = losses[:count]
            if self._candidate.hopeless(self.losses):
                raise _PrunedError

    def catch_up(self) -> None:
        """Judge the epochs that a killed build has left behind."""
        found = checkpoint.load(self._folder) if self._folder.exists() else None
        if found is not None:
            self.step(done=found["epoch"], total=found["epoch"])


@dataclass(frozen=True)
class Trials:
    """The trials of one step.

    Attributes:
        network: what every trial starts from; it stays as it is.
        epochs: the longest training.
        context: of the pass.
    """

    network: nn.Module
    epochs: int
    context: Context

    def run(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Run a round: one trial in this process, several in processes of their own, side by side.

        Raises:
            OutOfMemory: a process was ended, or said so itself.
        """
        waiting = [candidate for candidate in candidates if self._known(candidate.number) is None]
        if len(candidates) == 1:
            for candidate in waiting:
                self._finish(candidate)
        else:
            self._side_by_side(waiting)
        return [Outcome(**self._found(candidate.number)["outcome"]) for candidate in candidates]

    def weights(self, number: int) -> Mapping[str, torch.Tensor]:
        """The weights of a finished trial that was not forgotten: those of its epoch with the lowest loss."""
        weights: Mapping[str, torch.Tensor] = self._found(number)["weights"]
        return weights

    def forget(self, number: int) -> None:
        """Drop the weights of a trial, and keep its outcome."""
        found = self._found(number)
        if found["weights"]:
            checkpoint.save(self._folder(number), number=1, state={**found, "weights": {}})

    def _side_by_side(self, waiting: Sequence[Candidate]) -> None:
        """By fork: a network of somebody's own code can't be sent to another process, but it can be inherited."""
        fork = multiprocessing.get_context("fork")
        started = [fork.Process(target=self._finish_or_tell, args=(candidate,)) for candidate in waiting]
        try:
            for process in started:
                process.start()
            for process in started:
                process.join()
        finally:
            for process in started:
                if process.is_alive():
                    process.kill()
                    process.join()
        for candidate, process in zip(waiting, started, strict=True):
            code = process.exitcode
            if code in (-9, OutOfMemory.exit_code):
                raise OutOfMemory(
                    f"trial {candidate.number} of tune ran out of memory beside the others: lower tune.workers, or "
                    "raise the memory limit"
                )
            if code != 0:
                raise BuildError(f"trial {candidate.number} of tune ended with {code}: its own lines say why")

    def _finish_or_tell(self, candidate: Candidate) -> None:
        import torch

        # A process that was forked has none of the threads that torch would wait for.
        torch.set_num_threads(1)
        try:
            self._finish(candidate)
        except BuildError as error:
            sys.stderr.write(f"trial {candidate.number}: {error}\n")
            sys.exit(error.exit_code)

    def _finish(self, candidate: Candidate) -> None:
        outcome, weights = self._train(candidate)
        plain = {**dataclasses.asdict(outcome), "losses": list(outcome.losses)}
        folder = self._folder(candidate.number)
        checkpoint.save(folder, number=0, state={"outcome": plain, "weights": weights})
        shutil.rmtree(self.context.checkpoints / _label(candidate.number), ignore_errors=True)

    def _train(self, candidate: Candidate) -> tuple[Outcome, Mapping[str, torch.Tensor]]:
        import torch

        chosen, label = candidate.parameters, _label(candidate.number)
        network, watch = copy.deepcopy(self.network), _Watch(candidate, folder=self.context.checkpoints / label)
        for layer in _dropouts(network) if "dropout" in chosen else ():
            layer.p = chosen["dropout"]
        settings = Settings(
            epochs=self.epochs,
            learning_rate=chosen["learningRate"],
            batch_size=chosen["batchSize"],
            optimizer=chosen["optimizer"],
            schedule=chosen["schedule"],
            weight_decay=chosen["weightDecay"],
            clip=_CLIP,
            patience=self.epochs,
        )
        own = dataclasses.replace(self.context, reporter=watch, notes=[], record={})
        objective = supervised(self.context.data)
        torch.manual_seed(self.context.seed)  # the same chance for all: they differ in their parameters alone
        state: State = "Complete"
        training: dict[str, Any] = {}
        try:
            watch.catch_up()
            training = fit(network, objective=objective, settings=settings, context=own, label=label)
        except _PrunedError:
            state = "Pruned"
        except GateFailed:
            state = "Failed"
        weights = network.state_dict() if state == "Complete" else {}
        return Outcome(candidate.number, chosen, state, watch.losses, training), weights

    def _found(self, number: int) -> dict[str, Any]:
        found = self._known(number)
        if found is None:
            raise _full(self._folder(number))
        return found

    def _known(self, number: int) -> dict[str, Any] | None:
        return checkpoint.load(self._folder(number))

    def _folder(self, number: int) -> Path:
        folder = self.context.checkpoints / f"outcome {number}"
        folder.mkdir(exist_ok=True)
        return folder


def _full(place: Path) -> StorageError:
    return StorageError(f"tune can't keep its trials in {place}: free space, or enlarge the volume", reason="DiskFull")


def _label(number: int) -> str:
    return f"trial {number}"


def has_dropout(network: nn.Module) -> bool:
    """Whether there is a rate to be searched."""
    return bool(_dropouts(network))


def _dropouts(network: nn.Module) -> list[Any]:
    from torch import nn

    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return [module for module in network.modules() if isinstance(module, kinds)]
