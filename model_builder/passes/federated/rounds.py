"""The server of a federated training: it averages what the sites tell, and sees none of their rows.

Federated averaging as of McMahan et al. 2017 (arXiv 1602.05629), with all sites in every round: the shared parameters
move by the mean of the updates, weighted by rows. With noise all sites weigh the same, since a bound on an update is
none on what it does once it is multiplied with a number that only the site knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_builder import checkpoint
from model_builder.errors import GateFailed
from model_builder.passes.base import Context
from model_builder.passes.federated.messages import Answer, Joined, Order, Transport
from model_builder.passes.federated.parameters import Parameters
from model_builder.passes.federated.privacy import epsilon_of
from model_builder.passes.federated.vectors import fill, flatten, layout, total
from model_builder.passes.objective import error_and_loss

if TYPE_CHECKING:
    import torch
    from torch import nn


class Server:
    """Between two rounds all that the next one depends on is in the checkpoint, and in the heads that sites keep."""

    def __init__(self, network: nn.Module, *, transport: Transport, parameters: Parameters, context: Context) -> None:
        self._network, self._transport, self._parameters = network, transport, parameters
        self._context, self._folder = context, context.checkpoints / "server"
        self._folder.mkdir(exist_ok=True)
        self._layout = layout(network, personal=parameters.head == "Personal")
        self._vector = flatten(network, names=self._layout.body)
        self._history: list[dict[str, Any]] = []
        self._sites: list[Joined] = []

    def run(self) -> None:
        """All rounds, and with personal heads one more for their average. The network is changed in place.

        Raises:
            GateFailed: a training diverged, at a site or as a whole.
        """
        found = checkpoint.load(self._folder)
        if found is not None:
            self._vector, self._history = found["vector"], found["history"]
            self._context.notes.append(f"federated was interrupted, and went on after round {len(self._history)}")
        self._sites = self._transport.join()
        while len(self._history) < self._parameters.rounds:
            self._round(len(self._history) + 1)
        fill(self._vector, network=self._network, names=self._layout.body)
        if self._layout.head:
            head = flatten(self._network, names=self._layout.head)
            answers = self._ask(self._parameters.rounds + 1, part="Head", vector=head)
            fill(_moved(head, answers=answers), network=self._network, names=self._layout.head)
        self._network.eval()
        self._tell()

    def _round(self, number: int) -> None:
        answers = self._ask(number, part="Body", vector=self._vector)
        self._vector = _moved(self._vector, answers=answers)
        figures = {"round": number, **_told(answers), **self._judged(number)}
        self._history.append(figures)
        for answer in answers:
            self._context.notes.extend(answer.told.notes if answer.told else ())
        state = {"vector": self._vector, "history": self._history}
        checkpoint.save(self._folder, number=number, state=state)
        told = {name: round(value, 5) for name, value in figures.items() if name.startswith("validation")}
        self._context.reporter.step(done=number, total=self._parameters.rounds, **told)

    def _ask(self, number: int, *, part: Any, vector: torch.Tensor) -> list[Answer]:
        """One order for every site; the weights add up to one."""
        rows = [1 if self._parameters.private else site.rows for site in self._sites]
        keys = {site: joined.key for site, joined in enumerate(self._sites) if joined.key}
        orders = [
            Order(round=number, part=part, vector=vector.numpy(), share=count / sum(rows), keys=keys) for count in rows
        ]
        return self._transport.ask(orders)

    def _judged(self, number: int) -> dict[str, float]:
        """On the server's validation split; nothing while every site has a head of its own."""
        if self._layout.head:
            return {}
        fill(self._vector, network=self._network, names=self._layout.body)
        self._network.eval()
        error, loss = error_and_loss(self._network, data=self._context.data)
        if not loss < float("inf"):
            raise GateFailed(
                f"federated diverged in round {number}: the validation loss is {loss}; lower learningRate or noise"
            )
        return {"validationError": error, "validationLoss": loss}

    def _tell(self) -> None:
        """Figures and sentences for the report."""
        parameters, names = self._parameters, self._transport.names
        error, loss = error_and_loss(self._network, data=self._context.data)
        sites: list[dict[str, Any]] = [{"name": name} for name in names]
        if not parameters.private:
            sites = [{"name": name, "rows": site.rows} for name, site in zip(names, self._sites, strict=True)]
        self._context.record.update({"sites": sites, "rounds": self._history, "aggregation": parameters.aggregation})
        self._context.record.update({"validationError": error, "validationLoss": loss, "head": parameters.head})
        if self._layout.head:
            own = self._history[-1].get("ownError")
            compared = f": their own networks have an error of {own:.4g} on their rows" if own is not None else ""
            self._context.notes.append(
                "federated: every site keeps a last layer of its own; what is served has the average of them, with an "
                f"error of {error:.4g} on the validation rows{compared}"
            )
        if parameters.private:
            self._tell_privacy()

    def _tell_privacy(self) -> None:
        parameters = self._parameters
        releases = parameters.rounds + (1 if self._layout.head else 0)
        epsilon = epsilon_of(noise=parameters.noise, rounds=releases, delta=parameters.delta)
        against = "Server" if parameters.aggregation == "Masked" else "Model"
        figures = {"epsilon": epsilon, "delta": parameters.delta, "noise": parameters.noise, "clip": parameters.clip}
        self._context.record["privacy"] = {**figures, "releases": releases, "unit": "Site", "against": against}
        seen = "the server, which sees sums only" if against == "Server" else "who sees the model, but not the server"
        self._context.notes.append(
            f"federated: epsilon {epsilon:.4g} at delta {parameters.delta:g} for each site, towards {seen}; "
            "losses and counts of rows of the sites are withheld"
        )
        if self._transport.simulated:
            self._context.notes.append(
                "federated: this was a simulation, and its noise follows the seed: it protects nobody"
            )


def _moved(vector: torch.Tensor, *, answers: list[Answer]) -> torch.Tensor:
    """The vector after the weighted mean of the updates."""
    import torch

    return (vector.double() + torch.from_numpy(total(answer.values for answer in answers))).float()


def _told(answers: list[Answer]) -> dict[str, Any]:
    """What the sites said about themselves; the error is over the validation rows of all of them."""
    told = [answer.told for answer in answers if answer.told]
    if not told:
        return {}
    rows = sum(each.validation_rows for each in told)
    own = sum(each.error * each.validation_rows for each in told) / max(rows, 1)
    return {"losses": [each.loss for each in told], "ownError": own}
