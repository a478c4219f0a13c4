"""The build spec: what it may say, read from JSON or YAML, and resolved against the registries."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model_builder import data, gates, passes, sources, tracking
from model_builder.decode import Pattern, Range, decode, suggest
from model_builder.errors import BadSpec
from model_builder.gates import Gate
from model_builder.passes.base import Pass, Stage
from model_builder.reading import read
from model_builder.triton import MODEL_NAME, Serving

if TYPE_CHECKING:
    from model_builder.audit.base import Audit


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
class AuditStep:
    """One audit to run."""

    audit: str
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """What the served graph holds beside the network, and in which formats it comes.

    Attributes:
        runtime: the oldest ONNX Runtime that is to serve the artifact.
        class_names: answer with the name of the most probable class as well, as a string.
        formats: what the artifact holds beside the ONNX graph, for other backends.
        serving: what config.pbtxt of the artifact says; whoever pulls it may say otherwise.
    """

    runtime: Literal["1.14", "1.15", "1.17", "1.18"] = "1.18"
    class_names: bool = False
    formats: Annotated[tuple[Literal["TorchScript"], ...], Range(0, 1)] = ()
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
    #: Absent: those that hold for every build (`gates.DEFAULTS`). An empty list: none.
    gates: Annotated[tuple[Gate, ...] | None, Range(0, 64)] = None
    audit: Annotated[tuple[AuditStep, ...], Range(0, 32)] = ()
    export: Export = field(default_factory=Export)
    #: Where people watch the build; nothing of it changes what is built.
    log: tracking.Log = field(default_factory=tracking.Log)


@dataclass(frozen=True)
class ResolvedPass:
    """A pass of the registry with its checked parameters."""

    implementation: Pass
    parameters: Any


@dataclass(frozen=True)
class ResolvedAudit:
    """An audit of the registry with its checked parameters."""

    implementation: Audit
    parameters: Any


@dataclass(frozen=True)
class Plan:
    """A spec that is known to be buildable as far as its words go."""

    spec: Spec
    passes: tuple[ResolvedPass, ...]
    audits: tuple[ResolvedAudit, ...] = ()

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
    tracking.check(spec.log)
    for index, gate in enumerate(spec.gates or ()):
        gates.check(gate, where=f"spec.gates[{index}]")
    audits = tuple(_resolve_audit(step, where=f"spec.audit[{i}]") for i, step in enumerate(spec.audit))
    resolved = tuple(_resolve_pass(step, where=f"spec.recipe[{i}]") for i, step in enumerate(spec.recipe))
    for index, (before, after) in enumerate(itertools.pairwise(resolved)):
        if before.implementation.stage is Stage.GRAPH and after.implementation.stage is Stage.NETWORK:
            raise BadSpec(
                f"spec.recipe[{index + 1}]: {after.implementation.name!r} works on the network and can't follow "
                f"{before.implementation.name!r}, which works on the exported graph: swap them"
            )
    plan = Plan(spec=spec, passes=resolved, audits=audits)
    _check_formats(plan)
    return plan


def _check_formats(plan: Plan) -> None:
    """A further format is the network itself: nothing that only the graph has can be in it."""
    export, last = plan.spec.export, [step.implementation.name for step in plan.of_stage(Stage.GRAPH)]
    if export.formats and last:
        raise BadSpec(f"spec.export.formats has TorchScript, which nothing of {last[0]!r} is in: leave one of them out")
    if export.formats and export.class_names:
        raise BadSpec("spec.export.formats has TorchScript, which answers with no strings: drop it, or classNames")


def _resolve_pass(step: Step, *, where: str) -> ResolvedPass:
    if step.pass_ not in passes.REGISTRY:
        raise BadSpec(f"{where}.pass is {step.pass_!r}; {suggest(step.pass_, passes.REGISTRY)}")
    implementation = passes.REGISTRY[step.pass_]
    parameters = decode(implementation.parameters, step.parameters, where=f"{where}.parameters")
    return ResolvedPass(implementation=implementation, parameters=parameters)


def _resolve_audit(step: AuditStep, *, where: str) -> ResolvedAudit:
    from model_builder import audit  # with numpy and scipy: only for who asks for one

    if step.audit not in audit.REGISTRY:
        raise BadSpec(f"{where}.audit is {step.audit!r}; {suggest(step.audit, audit.REGISTRY)}")
    implementation = audit.REGISTRY[step.audit]
    parameters = decode(implementation.parameters, step.parameters, where=f"{where}.parameters")
    return ResolvedAudit(implementation=implementation, parameters=parameters)
