"""What the tests of sources share: a network with known answers, and a planted call that must never run."""

from pathlib import Path
from typing import Any

import numpy
import torch

from model_builder import sources
from model_builder.architectures import REGISTRY
from model_builder.sources import Source

MARK = "MODEL_BUILDER_TEST_WAS_EXECUTED"


class Evil:
    """What it is unpickled to is the answer of a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"import os; os.environ[{MARK!r}] = 'yes'",)


def load(path: Path, tmp_path: Path, **changes: Any) -> sources.SourceModel:
    source = Source(uri=path.as_uri(), **changes)
    sources.check(source)
    return sources.load(source, seed=0, workspace=tmp_path / "work")


def state() -> dict[str, Any]:
    torch.manual_seed(7)
    return dict(REGISTRY["digits-cnn"]().network.state_dict())


def rows() -> torch.Tensor:
    return torch.from_numpy(numpy.random.default_rng(0).integers(0, 17, (3, 8, 8)).astype("float32"))


def answers(network: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(rows())  # type: ignore[no-any-return]


def expected() -> torch.Tensor:
    network = REGISTRY["digits-cnn"]().network
    network.load_state_dict(state())
    return answers(network.eval())
