"""What a pass is. A pass lives in one file of this package and exports one `PASS`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_builder.data.base import Dataset
    from model_builder.progress import Reporter


class Stage(enum.Enum):
    """What a pass transforms: the torch network, or the ONNX graph that was exported from it."""

    NETWORK = "Network"
    GRAPH = "Graph"


@dataclass(frozen=True)
class Context:
    """What every pass is given beside its parameters."""

    data: Dataset
    seed: int
    reporter: Reporter
    workspace: Path


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
