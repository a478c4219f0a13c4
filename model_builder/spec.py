"""The build spec: what it may say, read from JSON or YAML, and resolved against the registries."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from model_builder import data, passes, sources
from model_builder.decode import Pattern, Range, decode, suggest
from model_builder.errors import BadSpec
from model_builder.metrics import METRICS, SOURCE_SUFFIX
from model_builder.passes.base import Pass, Stage
from model_builder.reading import read
from model_builder.triton import MODEL_NAME, Serving


@dataclass(frozen=True)
class Model:
    """What the model is called: by Triton, and by people."""

    name: Annotated[str, MODEL_NAME]
    version: Annotated[str, Pattern(r".{1,128}", "1 to 128 characters")]


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
class Export:
    """What the served graph holds beside the network, and in which formats it comes.

    Attributes:
        runtime: the oldest ONNX Runtime that is to serve the artifact.
        class_names: answer with the name of the most probable class as well, as a string.
        formats: further formats beside ONNX, each with a configuration of its own for Triton.
        serving: what config.pbtxt of the artifact says; whoever pulls it may say otherwise.
    """

    runtime: Literal["1.14", "1.15", "1.17", "1.18"] = "1.18"
    class_names: bool = False
    formats: Annotated[tuple[Literal["TorchScript", "Pt2", "TensorRt"], ...], Range(0, 3)] = ()
    serving: Serving = field(default_factory=Serving)

    def graph_options(self) -> list[object]:
        """What of it changes the graph."""
        return [self.runtime, self.class_names]


@dataclass(frozen=True)
class Spec:
    """A whole build."""

    model: Model
    source: sources.Source
    data: data.Data
    recipe: Annotated[tuple[Step, ...], Range(0, 32)] = ()
    gates: Annotated[tuple[Gate, ...], Range(0, 64)] = ()
    export: Export = field(default_factory=Export)


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
    return resolve(decode(Spec, read(source), where="spec"))


def resolve(spec: Spec) -> Plan:
    """Checks what the types can't: names of passes, data, sources and metrics, and the order of the recipe."""
    sources.check(spec.source)
    data.check(spec.data)
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
