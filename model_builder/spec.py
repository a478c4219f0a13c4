"""The build spec: what it may say, read from JSON or YAML, and resolved against the registries."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from model_builder import architectures, data, passes, sources
from model_builder.decode import Pattern, Range, decode, suggest
from model_builder.errors import BadSpec
from model_builder.metrics import METRICS, SOURCE_SUFFIX
from model_builder.passes.base import Pass, Stage
from model_builder.triton import MODEL_NAME

# How a build Job gets its spec, which needs no volume then.
_VARIABLE = "env:"


@dataclass(frozen=True)
class Model:
    """What the model is called: by Triton, and by people."""

    name: Annotated[str, MODEL_NAME]
    version: Annotated[str, Pattern(r".{1,128}", "1 to 128 characters")]


@dataclass(frozen=True)
class Source:
    """Where the model comes from. `architecture` is the network that a file of weights belongs to."""

    uri: str
    architecture: str = "digits-cnn"


@dataclass(frozen=True)
class Data:
    """The data set, and the seed of everything random: split, weights, order of rows, calibration sample."""

    name: str
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0


@dataclass(frozen=True)
class Step:
    """One entry of the recipe."""

    pass_: str
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """One condition on a metric: exactly one of `threshold` and `maxDegradation`."""

    metric: str
    threshold: float | None = None
    max_degradation: Annotated[float | None, Range(0, 1e12)] = None
    against: Literal["Source"] = "Source"


@dataclass(frozen=True)
class Spec:
    """A whole build."""

    model: Model
    source: Source
    data: Data
    recipe: Annotated[tuple[Step, ...], Range(0, 32)] = ()
    gates: Annotated[tuple[Gate, ...], Range(0, 64)] = ()


@dataclass(frozen=True)
class ResolvedPass:
    """A pass of the registry with its checked parameters."""

    implementation: Pass
    parameters: Any


@dataclass(frozen=True)
class Plan:
    """A spec that is known to be buildable as far as its words go."""

    spec: Spec
    passes: tuple[ResolvedPass, ...]

    def of_stage(self, stage: Stage) -> tuple[ResolvedPass, ...]:
        """The passes that work on the network, or those that work on the exported graph."""
        return tuple(p for p in self.passes if p.implementation.stage is stage)


def load(source: str) -> Plan:
    """The plan written in a spec file, or with `env:NAME` in a variable of the environment, as JSON."""
    return resolve(decode(Spec, _parse(_read(source), name=source), where="spec"))


def _read(source: str) -> str:
    if source.startswith(_VARIABLE):
        text = os.environ.get(source.removeprefix(_VARIABLE))
        if text is None:
            raise BadSpec(f"the spec can't be read: {source.removeprefix(_VARIABLE)} is not set in the environment")
        return text
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSpec(f"the spec {source} can't be read: {error}") from error


def _parse(text: str, *, name: str) -> object:
    if name.endswith(".json") or name.startswith(_VARIABLE):
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadSpec(f"the spec {name} is not valid JSON: {error}") from error
    import yaml  # not in the image that pulls

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadSpec(f"the spec {name} is not valid YAML: {' '.join(str(error).split())}") from error


def resolve(spec: Spec) -> Plan:
    """Checks what the types can't: names of passes, data, sources and metrics, and the order of the recipe."""
    sources.check(spec.source.uri)
    if spec.source.architecture not in architectures.REGISTRY:
        known = suggest(spec.source.architecture, architectures.REGISTRY)
        raise BadSpec(f"spec.source.architecture is {spec.source.architecture!r}; {known}")
    if spec.data.name not in data.REGISTRY:
        raise BadSpec(f"spec.data.name is {spec.data.name!r}; {suggest(spec.data.name, data.REGISTRY)}")
    for index, gate in enumerate(spec.gates):
        _check_gate(gate, where=f"spec.gates[{index}]")
    resolved = tuple(_resolve_pass(step, where=f"spec.recipe[{i}]") for i, step in enumerate(spec.recipe))
    for index, (before, after) in enumerate(itertools.pairwise(resolved)):
        if before.implementation.stage is Stage.GRAPH and after.implementation.stage is Stage.NETWORK:
            raise BadSpec(
                f"spec.recipe[{index + 1}]: {after.implementation.name!r} works on the network and can't follow "
                f"{before.implementation.name!r}, which works on the exported graph: swap them"
            )
    return Plan(spec=spec, passes=resolved)


def _resolve_pass(step: Step, *, where: str) -> ResolvedPass:
    if step.pass_ not in passes.REGISTRY:
        raise BadSpec(f"{where}.pass is {step.pass_!r}; {suggest(step.pass_, passes.REGISTRY)}")
    implementation = passes.REGISTRY[step.pass_]
    parameters = decode(implementation.parameters, step.parameters, where=f"{where}.parameters")
    return ResolvedPass(implementation=implementation, parameters=parameters)


def _check_gate(gate: Gate, *, where: str) -> None:
    if gate.metric.removesuffix(SOURCE_SUFFIX) not in METRICS:
        raise BadSpec(f"{where}.metric is {gate.metric!r}; {suggest(gate.metric, METRICS)}")
    if (gate.threshold is None) == (gate.max_degradation is None):
        raise BadSpec(f"{where} needs exactly one of 'threshold' and 'maxDegradation'")
