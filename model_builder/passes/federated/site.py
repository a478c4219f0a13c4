"""One site: the only place where its rows are read. What it says is an `Answer`."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import checkpoint
from model_builder.data.base import Dataset, Task
from model_builder.errors import BadData, BadSpec
from model_builder.passes.base import Cache, Context
from model_builder.passes.federated.masks import Keys
from model_builder.passes.federated.messages import Answer, Joined, Order, Told
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.privacy import clipped, share_of_noise
from model_builder.passes.federated.vectors import encode, fill, flatten, layout
from model_builder.passes.fitting import Settings, fit
from model_builder.passes.objective import error_and_loss, supervised
from model_builder.progress import SilentReporter

if TYPE_CHECKING:
    import torch
    from torch import nn


class Site:
    """Trains on its own rows.

    Attributes:
        number: of the site, from zero.
        sites: how many there are.
        seed: of the training, its noise included; None takes the noise from the operating system.
        folder: of the site's own, for the head that it keeps; it outlives a killed training.
    """

    def __init__(
        self,
        *,
        number: int,
        sites: int,
        data: Dataset,
        network: nn.Module,
        parameters: Parameters,
        seed: int,
        noise_seed: int | None,
        folder: Path,
        cache: Cache,
    ) -> None:
        self._number, self._sites, self._data, self._parameters = number, sites, data, parameters
        self._network = network
        self._layout = layout(network, personal=parameters.head == "Personal")
        self._seed, self._noise_seed = seed, noise_seed
        self._folder, self._cache = folder, cache
        folder.mkdir(parents=True, exist_ok=True)
        self._keys: Keys | None = None
        self._answered = 0
        self._heads: dict[int, torch.Tensor] = {0: flatten(network, names=self._layout.head)}

    def join(self, *, private: bytes | None = None, answered: int = 0) -> Joined:
        """Make a fresh key, if there are to be masks; or go on with a key that served for so many rounds."""
        self._keys = Keys(private) if self._parameters.aggregation == "Masked" else None
        self._answered = answered
        rows = 0 if self._parameters.private else len(self._data.train.rows)
        return Joined(rows=rows, key=self._keys.public if self._keys else b"")

    def answer(self, order: Order) -> Answer:
        """Train for one round, or tell the head.

        Raises:
            BadData: the head of the round before is lost.
            BadSpec: the vector is that of another network, the keys are wrong, or the round was asked for before: one
                mask on two updates would tell their difference.
            GateFailed: the training diverged.
            OutOfMemory: not even one row at once fits.
        """
        import torch

        if order.round <= self._answered:
            raise BadSpec(
                f"federated: site {self._number} was asked for round {order.round} again: start a new training"
            )
        self._answered = order.round
        network = copy.deepcopy(self._network)
        before = torch.from_numpy(order.vector.copy())
        head = self._head(after=order.round - 1 if self._layout.head else 0)
        if order.part == "Head":
            fill(head, network=network, names=self._layout.head)
            return self._answer(order, update=head.double() - before.double(), told=None)
        fill(before, network=network, names=self._layout.body)
        fill(head, network=network, names=self._layout.head)
        figures, notes = self._train(network, moment=order.round)
        self._keep_head(flatten(network, names=self._layout.head), after=order.round)
        after = flatten(network, names=self._layout.body)
        error, _ = error_and_loss(network, data=self._data)
        told = Told(
            loss=figures["loss"][-1],
            error=error,
            validation_rows=len(self._data.validation.rows),
            notes=tuple(notes),
        )
        return self._answer(order, update=after.double() - before.double(), told=told)

    def _train(self, network: nn.Module, *, moment: int) -> tuple[dict[str, Any], list[str]]:
        """In place; chance depends on seed, site and round, and not on what was done before in this process."""
        import torch

        parameters = self._parameters
        seed = int.from_bytes(hashlib.sha256(f"{self._seed}/{self._number}/{moment}".encode()).digest()[:4])
        torch.manual_seed(seed)
        settings = Settings(
            epochs=parameters.epochs,
            learning_rate=parameters.learning_rate,
            batch_size=parameters.batch_size,
            optimizer=parameters.optimizer,
            schedule="Constant",
            warmup=0.0,
            weight_decay=parameters.weight_decay,
        )
        objective = supervised(self._data)
        if self._data.task is Task.CLASSIFICATION:
            # A site may have one class only, and a network that does not know it yet is not lost for that.
            uniform = math.log(max(2, self._data.num_classes))
            objective = dataclasses.replace(objective, constant_loss=max(objective.constant_loss, uniform))
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="training-") as scratch:
            context = Context(
                data=self._data,
                seed=seed,
                reporter=SilentReporter(),
                workspace=Path(scratch),
                cache=self._cache,
                checkpoints=Path(scratch),
            )
            label = f"site {self._number} in round {moment}"
            figures = fit(
                network,
                objective=objective,
                settings=settings,
                context=context,
                label=label,
                prepare=lambda _: _still(network),
            )
            return figures, context.notes

    def _answer(self, order: Order, *, update: torch.Tensor, told: Told | None) -> Answer:
        """Bounded and noisy if asked for; then weighted, in whole numbers; then masked if asked for."""
        import numpy

        parameters, values = self._parameters, update
        if parameters.private:
            known = None if self._noise_seed is None else [self._noise_seed, self._number, order.round]
            values = clipped(update, bound=parameters.clip) + share_of_noise(
                size=len(update),
                noise=parameters.noise,
                clip=parameters.clip,
                sites=self._sites,
                chance=numpy.random.default_rng(known),
            )
        encoded = encode(values.numpy() * order.share)
        if self._keys is not None:
            encoded = encoded + self._keys.mask(
                number=self._number, keys=order.keys, moment=order.round, size=len(encoded)
            )
        return Answer(values=encoded, told=None if parameters.private else told)

    def _head(self, *, after: int) -> torch.Tensor:
        """The site's own head after so many rounds, from a training that was killed if need be."""
        if after in self._heads:
            return self._heads[after]
        found = checkpoint.load(self._place(after))
        if found is None or found["round"] != after:
            raise BadData(
                f"federated: site {self._number} has lost its head of round {after}: give its folder back, or start a "
                "new training"
            )
        self._heads = {after: found["head"]}
        return self._heads[after]

    def _keep_head(self, head: torch.Tensor, *, after: int) -> None:
        """The last one stays as well: a server that was killed in between asks for the same round again."""
        if self._layout.head:
            self._heads = {after - 1: self._heads[after - 1], after: head}
            checkpoint.save(self._place(after), number=after, state={"round": after, "head": head})

    def _place(self, after: int) -> Path:
        place = self._folder / f"head-{after % 2}"
        place.mkdir(exist_ok=True)
        return place


def _still(network: nn.Module) -> None:
    """Running means of norms stay as they are: they are no parameters, so they are not averaged."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
