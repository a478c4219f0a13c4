"""What a pass is. A pass lives in one file of this package and exports one `PASS`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from model_builder.choices import Choices
from model_builder.ranks import ALONE, Group

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_builder.data.base import Dataset
    from model_builder.progress import Reporter


class Cache(Protocol):
    """Files and figures under content-addressed names, kept between builds; `cache.Cache` is the real one."""

    def fetch(self, key: str, *, to: Path) -> Mapping[str, Any] | None:
        """Copy an entry's files into `to`, a folder of its own, and return its figures; None without an entry."""

    def store(self, key: str, *, files: Path, figures: Mapping[str, Any]) -> None:
        """Keep all files of a folder, and plain figures (JSON) beside them."""


class Stage(enum.Enum):
    """What a pass transforms: the torch network, or the ONNX graph that was exported from it."""

    NETWORK = "Network"
    GRAPH = "Graph"


@dataclass(frozen=True)
class Context:
    """What every pass is given beside its parameters.

    A pass is run with torch on one thread and with torch's global generator seeded, so that it may use `torch.rand`.
    A killed build starts its unfinished pass again with the same `checkpoints`: what the pass finds there must lead to
    the result that it would have had without the interruption (`checkpoint.save` and `checkpoint.load` do the files).
    """

    data: Dataset
    seed: int
    reporter: Reporter
    #: An empty folder for files, deleted after the build.
    workspace: Path
    #: For intermediate results that later builds could use as well; passes themselves are cached without their help.
    cache: Cache
    #: A folder of this very step (its source, data, seed, code, parameters): it outlives a killed build.
    checkpoints: Path
    #: What a pass decides by measuring time goes through here, so that a rebuild can repeat it.
    choices: Choices = field(default_factory=Choices)
    #: The processes that run this pass together, see `Pass.parallel`.
    group: Group = ALONE
    #: Sentences for the report: what a person should know about how the pass went.
    notes: list[str] = field(default_factory=list)
    #: Plain figures (JSON) for the manifest and the report: a search, a history, the layers that stayed in float.
    #: They are all that `Pass.restore` knows of what the pass did to the structure of the network.
    record: dict[str, Any] = field(default_factory=dict)


def load_weights(*, network: nn.Module, state: Mapping[str, Tensor], record: Mapping[str, Any]) -> nn.Module:
    """Put weights into a network whose structure the pass did not change."""
    del record
    network.load_state_dict(state, strict=True)
    return network.eval()


@dataclass(frozen=True)
class Pass:
    """One entry of the registry."""

    name: str
    stage: Stage
    summary: str
    parameters: type[Any]
    #: NETWORK: (network, parameters, context) -> network. GRAPH: (graph, parameters, context) -> path of the new graph,
    #: which lies in the context's workspace, while the given file stays as it is. All by keyword.
    apply: Callable[..., Any]
    #: Largest difference of an output from the golden one that still counts as the same answer on another machine.
    tolerance: float = 0.0
    #: NETWORK only: (network as the pass got it, its weights afterwards, the pass's record) -> network as the pass left
    #: it. A pass that changes the structure gives its own, or None: it is then run again where its network is needed.
    restore: Callable[..., nn.Module] | None = load_weights
    #: Trades quality for size or speed: the model before the first such pass is the source that losses are measured
    #: against. Passes on the graph always come after it.
    lossy: bool = False
    #: NETWORK only: all processes that torchrun started run it, each of them with the same network, and its trainings
    #: share their rows. Without it, only the first process runs it.
    parallel: bool = False
