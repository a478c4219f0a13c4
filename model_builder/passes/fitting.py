"""The loop that fine-tuning, pruning and distillation share: it survives kills, bad rates and too little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from model_builder.errors import BadSpec, OutOfMemory
from model_builder.passes.base import Context
from model_builder.passes.objective import Objective
from model_builder.passes.settings import Settings
from model_builder.passes.training import DivergedError, Training

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Settings", "fit"]

#: Rows of a batch per process: the last batches of an epoch have half as many, and batch norms need two.
_LEAST_ROWS = 4


def fit(
    network: nn.Module,
    *,
    objective: Objective,
    settings: Settings,
    context: Context,
    label: str,
    prepare: Callable[[int], None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train in place. The network is in evaluation mode afterwards.

    Args:
        network: from raw rows to logits or values.
        objective: the loss of the rows that are learned from.
        settings: how.
        context: of the pass; gets notes.
        label: names the training in notes, and keeps the checkpoints of several trainings of a pass apart.
        prepare: called with the number of finished epochs before each epoch, in training mode: may freeze.
        after_step: called after each step of the optimizer: may put weights back to zero.

    Returns:
        Figures for `Context.record`: losses per epoch, the epoch that was taken, rate and batch in the end.

    Raises:
        BadSpec: the batch is too small for so many processes.
        GateFailed: the training diverged at every rate that was tried.
        OutOfMemory: not even one row fits.
    """
    if settings.epochs == 0:
        network.eval()
        return {}
    least = _LEAST_ROWS * context.group.size
    if context.group.size > 1 and settings.batch_size < least:
        raise BadSpec(
            f"{label}.batchSize is {settings.batch_size}; {context.group.size} processes share a batch of at least "
            f"{least} rows: raise it, or start fewer processes"
        )
    training = Training(network, objective=objective, settings=settings, context=context, label=label)
    training.begin()
    while not training.finished:
        network.train()
        if prepare is not None:
            prepare(training.epoch)
        try:
            with context.group.together(context.workspace):
                training.run_epoch(after_step=after_step)
        except DivergedError as error:
            training.lower_rate(str(error))
        except OutOfMemory:
            training.halve_batch()
    return training.conclude()
