"""The state of a training between its epochs, and the ways back from a bad rate or too little memory.

Where several processes train together, each computes the gradients of its share of every batch, and all make the same
step with their sum: weights, losses and decisions are the same in all of them. Batch norms see the share of their own
process, and their running means are averaged after each epoch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from model_builder import checkpoint
from model_builder.errors import GateFailed, OutOfMemory
from model_builder.passes.base import Context
from model_builder.passes.objective import Objective, error_and_loss
from model_builder.passes.settings import Settings, make_optimizer, rate_factor

if TYPE_CHECKING:
    import torch
    from torch import nn

#: How often a training may go back before its rate, by then 1/32, is not what is wrong.
_RETREATS = 5
#: A training whose loss is so many times that of one constant answer is lost, even if it is still a number.
_LOST = 10.0


class DivergedError(Exception):
    """The loss left the realm of sense."""


class Training:
    """A training between two epochs: all that the next one depends on is in `_state`."""

    def __init__(
        self, network: nn.Module, *, objective: Objective, settings: Settings, context: Context, label: str
    ) -> None:
        import torch

        self.epoch = 0
        self._network, self._objective, self._settings, self._context = network, objective, settings, context
        self._label = label
        self._folder = context.checkpoints / label
        self._folder.mkdir(exist_ok=True)
        self._scale, self._retreats, self._batch = 1.0, 0, settings.batch_size
        self._group = context.group
        self._order = torch.Generator().manual_seed(context.seed)
        #: Of dropout (torch's own generator) and augmentation: each process drops and changes other numbers.
        self._noise = torch.Generator().manual_seed(context.seed + self._group.rank)
        if self._group.rank:
            torch.manual_seed(torch.initial_seed() + self._group.rank)
        self._optimizer = make_optimizer(network, settings=settings)
        self._losses: list[float] = []
        self._validation: list[float] = []
        self._notes: list[str] = []
        self._best: dict[str, torch.Tensor] = {}

    @property
    def finished(self) -> bool:
        """All epochs are over, or nothing was gained for too long."""
        waited = self.epoch - self._best_epoch
        return self.epoch >= self._settings.epochs or 0 < self._settings.patience <= waited

    @property
    def _best_epoch(self) -> int:
        """Counted from one; zero before the first."""
        return 1 + self._validation.index(min(self._validation)) if self._validation else 0

    def begin(self) -> None:
        """Go on where a killed build was, or leave a place to come back to."""
        found = self._found()
        if found is None:
            self._save()
            return
        self._restore(found)
        if self.epoch and not self.finished:
            self._context.notes.append(f"{self._label} was interrupted, and went on after epoch {self.epoch}")

    def run_epoch(self, *, after_step: Callable[[], None] | None) -> None:
        """See every row once, then save. `DivergedError` if the loss is lost."""
        import torch

        size = self._settings.batch_size * self._settings.accumulation
        steps = _parts(torch.randperm(self._objective.rows, generator=self._order), size=size)
        total = weight = 0.0
        for index, rows in enumerate(steps):
            done = (self.epoch + (index + 1) / (len(steps) + 1)) / self._settings.epochs
            loss, counted = self._step(rows, done=done)
            total, weight = total + loss, weight + counted
            if after_step is not None:
                after_step()
        mean = total / max(weight, 1.0)
        if mean > _LOST * self._objective.constant_loss:
            raise DivergedError(f"a mean loss of {mean:.3g}")
        self._average_norms()
        self._network.eval()
        validation = self._group.number(
            lambda: error_and_loss(self._network, data=self._context.data)[1], place=self._context.workspace
        )
        if not math.isfinite(validation):
            raise DivergedError(f"a validation loss of {validation}")
        self.epoch += 1
        self._losses.append(round(mean, 6))
        self._validation.append(validation)
        if self._settings.patience and self._best_epoch == self.epoch:
            self._best = copy.deepcopy(self._network.state_dict())
        self._save()
        figures = {"loss": round(mean, 5), "validationLoss": round(validation, 5)}
        self._context.reporter.step(done=self.epoch, total=self._settings.epochs, **figures)

    def _step(self, rows: torch.Tensor, *, done: float) -> tuple[float, float]:
        """One step of the optimizer over all `rows`; the sum of their losses, and what it is to be divided by."""
        import torch

        settings = self._settings
        self._optimizer.zero_grad()
        weight, own = self._objective.weight(rows), 0.0
        with self._group.together(self._context.workspace):
            for batch in _parts(rows, size=self._batch):
                share = torch.tensor_split(batch, self._group.size)[self._group.rank]
                if len(share):
                    loss = self._objective.loss(self._network, share, self._noise)
                    (loss / max(weight, 1.0)).backward()  # type: ignore[no-untyped-call]
                    own += float(loss.detach())
        total = self._group.add(torch.tensor([own], dtype=torch.float64)).item()
        if not math.isfinite(total):
            raise DivergedError(f"a loss of {total}")
        self._group.add_gradients(self._network.parameters(), place=self._context.workspace)
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), settings.clip)
        factor = rate_factor(done, warmup=settings.warmup, schedule=settings.schedule)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._scale * factor
        self._optimizer.step()
        return total, weight

    def _average_norms(self) -> None:
        """One running mean and variance for all processes."""
        if self._group.size > 1:
            for name, buffer in self._network.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    self._group.add(buffer).div_(self._group.size)

    def lower_rate(self, why: str) -> None:
        """Back to the last checkpoint, with half the rate."""
        rate, epoch = self._settings.learning_rate * self._scale, self.epoch + 1
        found = self._found()
        if found is None or self._retreats == _RETREATS:
            raise GateFailed(
                f"{self._label} diverged in epoch {epoch} ({why}), at last with a learning rate of {rate:g}: "
                "lower learningRate, or look for values in the data that are far out"
            )
        self._restore(found)
        self._scale, self._retreats = self._scale / 2, self._retreats + 1
        self._notes.append(
            f"{self._label} diverged in epoch {epoch} ({why}) with a learning rate of {rate:g}: "
            f"it went back to epoch {self.epoch}, and on with {rate / 2:g}"
        )
        self._save()

    def halve_batch(self) -> None:
        """Back to the last checkpoint, with half the rows at once; a step still covers as many."""
        found = self._found()
        if found is None or self._batch == 1:
            raise OutOfMemory(
                f"{self._label} ran out of memory with {self._batch} rows at once: raise the memory limit"
            )
        self._restore(found)
        self._batch //= 2
        self._notes.append(
            f"{self._label} ran out of memory with {self._batch * 2} rows at once: it went back to epoch {self.epoch}, "
            f"and on with {self._batch}, whose gradients are added up to the same steps"
        )
        self._save()

    def conclude(self) -> dict[str, Any]:
        """Take the best weights, where there is a best, and tell how it went."""
        if self._best:
            self._network.load_state_dict(self._best)
        self._network.eval()
        self._context.notes.extend(self._notes)
        taken = self._best_epoch if self._settings.patience else self.epoch
        if taken < self.epoch:
            self._context.notes.append(
                f"{self._label}: the weights are those of epoch {taken} of {self.epoch}, "
                "which had the lowest validation loss"
            )
        rate = self._settings.learning_rate * self._scale
        losses = {"loss": self._losses, "validationLoss": [round(value, 6) for value in self._validation]}
        told = {"learningRate": rate, "rowsAtOnce": self._batch, "processes": self._group.size}
        return {**losses, "epoch": taken, **told}

    def _found(self) -> dict[str, Any] | None:
        """The last checkpoint, which the first process has."""
        return self._group.state(lambda: checkpoint.load(self._folder))

    def _save(self) -> None:
        state = self._state()
        if self._group.first:
            checkpoint.save(self._folder, number=self.epoch, state=state)

    def _state(self) -> dict[str, Any]:
        """What the epochs so far have left behind, chance included."""
        import torch

        return {
            "epoch": self.epoch,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "order": self._order.get_state(),
            "chance": self._group.gathered(torch.get_rng_state()),
            "noise": self._group.gathered(self._noise.get_state()),
            "scale": self._scale,
            "retreats": self._retreats,
            "batch": self._batch,
            "losses": self._losses,
            "validation": self._validation,
            "notes": self._notes,
            "best": self._best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        import torch

        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._order.set_state(state["order"])
        torch.set_rng_state(state["chance"][self._group.rank])
        self._noise.set_state(state["noise"][self._group.rank])
        self.epoch, self._scale, self._retreats = state["epoch"], state["scale"], state["retreats"]
        self._batch, self._best, self._notes = state["batch"], state["best"], state["notes"]
        self._losses, self._validation = state["losses"], state["validation"]


def _parts(rows: torch.Tensor, *, size: int) -> tuple[torch.Tensor, ...]:
    """Parts of at most `size`, all alike: a last one of a single row would be an error to a batch norm."""
    import torch

    return tuple(torch.tensor_split(rows, math.ceil(len(rows) / size)))
