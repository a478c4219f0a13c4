"""What several processes do together, for `test_torchrun`: each scenario's outcome goes into a file per process."""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model_builder import ranks, together
from model_builder.cache import Cache
from model_builder.data.base import Dataset
from model_builder.decode import decode
from model_builder.errors import BadData, BuildError, OutOfMemory, StorageError
from model_builder.inputs import Inputs
from model_builder.passes import finetune
from model_builder.passes.base import Context
from model_builder.pipeline import Pipeline
from model_builder.progress import SilentReporter
from model_builder.ranks import Group
from model_builder.spec import Plan, Spec, resolve
from tests.model_builder.conftest import spec
from tests.model_builder.networks import context, dataset


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


class KillAfter(SilentReporter):
    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def step(self, *, done: int, total: int, **figures: float) -> None:
        if done == self._epochs:
            raise Killed


class Scarce(nn.Module):
    """Has memory for a few rows in process 1, and for any number elsewhere."""

    def __init__(self, network: nn.Module, *, rank: int) -> None:
        super().__init__()
        self.network, self.rank = network, rank

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training and self.rank == 1 and len(rows) > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return self.network(rows)


def net(*, dropout: float = 0.0, norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    between = nn.BatchNorm1d(16) if norm else nn.Tanh()
    return nn.Sequential(nn.Linear(6, 16), between, nn.Dropout(dropout), nn.Linear(16, 2))


def tuned(
    folder: Path, network: nn.Module, *, group: Group, data: Dataset | None = None, kill: int = -1, **raw: Any
) -> Context:
    made = context(folder, data or dataset(), reporter=KillAfter(kill))
    torch.manual_seed(1)
    given = {"epochs": 3, "batchSize": 16, "learningRate": 0.01, **raw}
    parameters = decode(finetune.Parameters, given, where="finetune")
    finetune.apply(network=network, parameters=parameters, context=dataclasses.replace(made, group=group))
    return made


def told(network: nn.Module, made: Context) -> dict[str, Any]:
    weights = {name: tensor.tolist() for name, tensor in network.state_dict().items()}
    kept = [path.name for path in made.checkpoints.rglob("*.pt")]
    return {"weights": weights, "training": made.record["training"], "notes": made.notes, "checkpoints": len(kept)}


def scenarios(folder: Path, group: Group) -> dict[str, Any]:
    def plain(name: str, *, data: Dataset | None = None, **options: Any) -> dict[str, Any]:
        network = net()
        return told(network, tuned(folder / name, network, group=group, data=data, **options))

    def dropped(name: str, *, kill: int = -1) -> dict[str, Any]:
        network = net(dropout=0.3, norm=True)
        return told(network, tuned(folder / name, network, group=group, kill=kill))

    outcome = {"plain": plain("plain"), "again": plain("again"), "odd": plain("odd", data=dataset(rows=37))}
    outcome["dropout"] = dropped("dropout")
    with contextlib.suppress(Killed):
        dropped("killed", kill=2)
    outcome["resumed"] = dropped("killed")
    return outcome


def failures(folder: Path, group: Group) -> dict[str, Any]:
    scarce = Scarce(net(), rank=group.rank)
    outcome = {"scarce": told(scarce, tuned(folder / "scarce", scarce, group=group))}
    # Outside of what is computed together: the others hear of it at their next step.
    network, step, left = net(), torch.optim.AdamW.step, [1 if group.rank == 1 else 0]

    def scarce_step(*given: Any, **named: Any) -> Any:
        if left.pop() if left else 0:
            raise MemoryError
        return step(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", scarce_step)
        outcome["step"] = told(network, tuned(folder / "step", network, group=group))
    for kind in ("memory", "disk"):
        try:
            with group.together(folder):
                if group.rank == 1:
                    raise OutOfMemory("too little") if kind == "memory" else StorageError("no room", reason="DiskFull")
        except BuildError as error:
            outcome[kind] = {"type": type(error).__name__, "reason": error.reason, "text": str(error)}
    return outcome


def built(folder: Path, group: Group) -> dict[str, Any]:
    """Two steps of a build; at first process 1 can't read its data."""
    tries = iter([BadData("no such file"), None])

    def read() -> tuple[Plan, dict[str, str]]:
        failure = next(tries)
        if failure is not None:
            raise failure
        return plan(), {}

    if not group.first:
        return {"exit": together.follow(group, read=read)}
    outcome: dict[str, Any] = {}
    try:
        weights(folder / "first", group)
    except BadData as error:
        outcome["failure"] = str(error)
    outcome["weights"], outcome["keys"] = weights(folder / "second", group)
    together.dismiss(group, exit_code=5)
    return outcome


def plan() -> Plan:
    step = {"pass": "finetune", "parameters": {"epochs": 1, "batchSize": 128, "learningRate": 0.002}}
    return resolve(decode(Spec, spec(step, step), where="spec"))


def weights(folder: Path, group: Group) -> tuple[list[float], list[str]]:
    """Of the digits' network after both steps, and the names of what was done."""
    folder.mkdir(parents=True)
    reporter = SilentReporter()
    cache = Cache.open(folder / "cache", tell=reporter.note)
    inputs = Inputs(spec=plan().spec, reporter=reporter, workspace=folder, cache=cache)
    pipeline = Pipeline(
        plan=plan(), inputs=inputs, cache=cache, reporter=reporter, workspace=folder, replayed={}, group=group
    )
    network = pipeline.network()
    assert network is not None
    return torch.cat([p.detach().flatten() for p in network.parameters()]).tolist(), [
        step["key"] for step in pipeline.report()[:2]
    ]


def left_alone(group: Group) -> str:
    """What process 0 is told when process 1 ends without a word."""
    if group.rank == 1:
        os._exit(0)
    try:
        group.agree(None)
    except BuildError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    group = ranks.join()
    own = folder / str(group.rank)
    outcome: dict[str, Any] = {**failures(own, group), **scenarios(own, group), "built": built(own, group)}
    (folder / f"{group.rank}.json").write_text(json.dumps(outcome))
    (folder / "alone.json").write_text(json.dumps(left_alone(group)))
    ranks.leave(group)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
