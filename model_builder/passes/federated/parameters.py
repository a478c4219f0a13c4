"""What a recipe may say about a federated training, and what can be wrong with it before anybody trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from model_builder.data.base import Dataset, Task
from model_builder.decode import Range, suggest
from model_builder.errors import BadSpec


@dataclass(frozen=True)
class Parameters:
    """Who trains, how often they meet, and what they hide from each other."""

    split: Annotated[
        Literal["Even", "Dirichlet", "Column", "Nodes"],
        "the sites: training rows parted evenly, by skewed shares of classes or by a column of data.groups; or the "
        "nodes of the Flower run that the build is part of",
    ] = "Even"
    sites: Annotated[int, Range(2, 1000), "how many; a Column split has as many as the column has values"] = 4
    concentration: Annotated[float, Range(0.01, 1000), "of a Dirichlet split: the lower, the more skewed"] = 0.5
    column: Annotated[str, "the column that names the site of each row; for a Column split"] = ""
    rounds: Annotated[int, Range(1, 1000), "how often the updates of all sites are averaged"] = 10
    epochs: Annotated[int, Range(1, 100), "passes of a site over its rows in each round"] = 1
    learning_rate: Annotated[float, Range(1e-7, 10), "learning rate of a site"] = 0.001
    optimizer: Annotated[Literal["AdamW", "Sgd"], "of a site: AdamW, or SGD with Nesterov's momentum of 0.9"] = "AdamW"
    weight_decay: Annotated[float, Range(0, 1), "weight decay of matrices and filters"] = 0.01
    batch_size: Annotated[int, Range(1, 8192), "rows per step"] = 32
    aggregation: Annotated[
        Literal["Plain", "Masked"], "Masked: updates carry masks that cancel in their sum, all that can be read"
    ] = "Plain"
    noise: Annotated[
        float, Range(0, 1000), "standard deviation of the noise on the sum of the updates, in units of clip; 0: none"
    ] = 0.0
    clip: Annotated[float, Range(1e-6, 1e6), "largest L2 norm of a site's update, where there is noise"] = 1.0
    delta: Annotated[float, Range(1e-12, 0.1), "for which the epsilon of the noise is told"] = 1e-5
    head: Annotated[
        Literal["Shared", "Personal"], "Personal: each site keeps a last layer of its own; their average is served"
    ] = "Shared"

    @property
    def private(self) -> bool:
        """Whether noise hides each site."""
        return self.noise > 0


def check(parameters: Parameters, *, data: Dataset) -> None:
    """Refuse what this data set can't give."""
    if parameters.split == "Column":
        known = data.train.groups
        if parameters.column not in known:
            named = suggest(parameters.column, known) if known else "known: none, name columns in data.groups"
            raise BadSpec(f"federated.column is {parameters.column!r}; {named}")
    elif parameters.column:
        raise BadSpec(f"federated.column has no effect on a split that is {parameters.split}: set split to Column")
    if parameters.split == "Dirichlet" and data.task is not Task.CLASSIFICATION:
        raise BadSpec(f"federated.split is Dirichlet, which needs classes, and the task is {data.task}: use Even")
