"""Runs the passes of a recipe, or finds what they did in the cache, by the keys of `steps`.

Steps are asked for from the end: a graph that is in the cache needs no network, and a network that is there no
training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import chance, checks, export, graph, passes, state_file
from model_builder.cache import Cache, key_of
from model_builder.choices import Choices
from model_builder.errors import BadSpec
from model_builder.inputs import Inputs
from model_builder.meter import give_back, measured
from model_builder.passes.base import Context, Stage
from model_builder.progress import Reporter
from model_builder.ranks import ALONE, Group
from model_builder.spec import Plan
from model_builder.steps import Recipe, Step
from model_builder.together import Finished, summon

if TYPE_CHECKING:
    from torch import nn

    from model_builder.architectures.base import Architecture

_WEIGHTS, _GRAPH = "weights.safetensors", "model.onnx"
#: Largest difference of an output of the exported network on another machine.
_FLOAT_TOLERANCE = 1e-3


@dataclass
class Pipeline:
    """The passes of one plan. Asking twice costs a look into the cache."""

    plan: Plan
    inputs: Inputs
    cache: Cache
    reporter: Reporter
    workspace: Path
    #: Choices of an earlier build that are to be made again: `place.pass.name` -> value.
    replayed: Mapping[str, str] = field(default_factory=dict)
    #: The processes that passes may share; this one builds, unless `take` tells it what to go on from.
    group: Group = ALONE
    _done: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _current: tuple[int, nn.Module] | None = None
    _architecture: Architecture | None = None
    _given: Path | None = None

    def __post_init__(self) -> None:
        recipe = Recipe(plan=self.plan, replayed=self.replayed, processes=self.group.size)
        start = self.inputs.origin
        self._network_steps = recipe.steps(Stage.NETWORK, start=start, first=0)
        before = [start, *(step.key for step in self._network_steps)]
        self._exports = [recipe.export(key) for key in before]
        self._graph_steps = recipe.steps(Stage.GRAPH, start=self._exports[-1].key, first=len(self._network_steps))

    @property
    def key(self) -> str:
        """The key of the final graph and of the one that it is compared with."""
        last = self._graph_steps[-1] if self._graph_steps else self._exports[-1]
        return key_of(last.key, self._exports[self._learned].key)

    @property
    def tolerance(self) -> float:
        """Largest difference from a golden answer that still counts as the same on another machine."""
        return max([_FLOAT_TOLERANCE, *(p.implementation.tolerance for p in self.plan.passes)])

    def network(self) -> nn.Module | None:
        """The network after its last pass, the torch twin of the float graph; None where the source is a graph."""
        if self._current is None and self._given is None:
            self._begin()
        return self.network_after(len(self._network_steps)) if self._given is None else None

    def take(self, finished: Sequence[Finished]) -> None:
        """Go on from steps that another process finished."""
        for step, known in zip(self._network_steps, finished, strict=False):
            self.cache.store(step.key, files=known.files, figures=known.figures)
        self.network_after(len(finished))

    def release(self) -> None:
        """Give the memory of the network back; whoever asks for it again gets it from the cache."""
        self._current = self._architecture = None
        give_back()

    def source_graph(self) -> Path:
        """The graph that losses are measured against: exported before the first pass that trades quality for size."""
        return self._exported(self._learned)

    def final_graph(self) -> Path:
        """The graph after the last pass."""
        return self._graph(len(self._graph_steps))

    def parity(self) -> Mapping[str, float]:
        """How the exported graph differs from the torch network, as measured when it was exported."""
        figures = self._figures(self._exports[-1])
        if "parity" not in figures:
            self._exported(len(self._network_steps))
            figures = self._figures(self._exports[-1])
        return dict(figures["parity"])

    def report(self) -> list[dict[str, Any]]:
        """What every step did and took, for the manifest."""
        steps = [*self._network_steps, self._exports[-1], *self._graph_steps]
        return [self._told(step) for step in steps]

    def choices(self) -> dict[str, str]:
        """What was decided by measurement, in this build or in the one that the cache remembers."""
        steps = [*self._network_steps, *self._graph_steps]
        made = {step.place: self._figures(step).get("choices", {}) for step in steps}
        return {f"{place}.{name}": value for place, chosen in made.items() for name, value in chosen.items()}

    @property
    def _learned(self) -> int:
        """How many network passes come before the first lossy one."""
        return next((i for i, step in enumerate(self._network_steps) if step.lossy), len(self._network_steps))

    # --- network ---

    def _begin(self) -> None:
        """Load the source: a network, or a graph that passes on networks can't work on."""
        chance.settle()
        source, data = self.inputs.source(), self.inputs.dataset
        if source.architecture is not None:
            self._architecture = source.architecture
            self._current = (0, export.normalized(source.architecture.network, data=data))
            return
        self._given = source.graph
        if self._network_steps:
            name = self._network_steps[0].name
            raise BadSpec(f"spec.recipe: {name!r} works on a network, and the source is an ONNX graph: leave it out")
        if data.normalization is not None:
            raise BadSpec("spec.data.normalization is for networks, and the source is an ONNX graph: set it to Off")

    def network_after(self, count: int) -> nn.Module:
        """The network after so many of its passes."""
        if self._current is None or self._current[0] > count:
            self._begin()
        assert self._current is not None
        position, network = self._current
        for index in range(position, count):
            network = self._advance(self._network_steps[index], network=network, index=index)
            self._current = (index + 1, network)
        return network.eval()

    def _advance(self, step: Step, *, network: nn.Module, index: int) -> nn.Module:
        assert step.resolved is not None
        implementation = step.resolved.implementation
        folder = self._folder(step)
        known = self.cache.fetch(step.key, to=folder)
        if known is not None and implementation.restore is not None:
            self._done[step.key] = {**known, "cached": True}
            state = state_file.load(folder / _WEIGHTS, aliases=known["aliases"])
            restored: nn.Module = implementation.restore(network=network, state=state, record=known["record"]).eval()
            return restored
        if self.group.size > 1 and not implementation.parallel:
            shared = ", ".join(name for name, known in passes.REGISTRY.items() if known.parallel)
            waiting = f"{step.name} computes in one process, and {self.group.size - 1} wait for it"
            self.reporter.note(f"{waiting}; passes that share their rows: {shared}")
        if implementation.parallel:
            before = self._network_steps[:index]
            summon(self.group, before=[Finished(self._done[done.key], self._folder(done)) for done in before])
        context = self._context(step)
        chance.begin(seed=self.plan.spec.data.seed, index=index)
        with measured() as usage, context.group.together(context.workspace):
            network = implementation.apply(network=network, parameters=step.resolved.parameters, context=context)
        network = network.eval()
        aliases = state_file.save(network, to=folder / _WEIGHTS) if implementation.restore is not None else {}
        self._finish(step, context=context, figures={**usage.to_json(), "aliases": aliases})
        return network

    def exported_graph(self) -> Path:
        """The graph of the whole network, before the passes on the graph."""
        return self._graph(0)

    def _exported(self, count: int) -> Path:
        step = self._exports[count]
        found = self._fetch_graph(step)
        if found is not None:
            return found
        if self._current is None and self._given is None:
            self._begin()
        network = self.network_after(count) if self._given is None else None
        path, data, options = self._folder(step) / _GRAPH, self.inputs.dataset, self.plan.spec.export
        self.reporter.phase("export")
        with measured() as usage:
            if network is None:
                assert self._given is not None
                export.adopt(self._given, data=data, options=options, to=path)
                parity = checks.SAME
            else:
                assert self._architecture is not None
                export.export(architecture=self._architecture, network=network, data=data, options=options, to=path)
                parity = checks.parity(network=network, exported=path, data=data)
        self._finish(step, context=None, figures={**usage.to_json(), "parity": parity})
        return path

    # --- graph ---

    def _graph(self, count: int) -> Path:
        if count == 0:
            return self._exported(len(self._network_steps))
        step = self._graph_steps[count - 1]
        found = self._fetch_graph(step)
        if found is not None:
            return found
        assert step.resolved is not None
        before = self._graph(count - 1)
        self.release()
        path = self._folder(step) / _GRAPH
        context = self._context(step)
        with measured() as usage:
            raw = step.resolved.implementation.apply(graph=before, parameters=step.resolved.parameters, context=context)
            graph.clean(raw, to=path, runtime=self.plan.spec.export.runtime)
        self._finish(step, context=context, figures=usage.to_json())
        return path

    def _fetch_graph(self, step: Step) -> Path | None:
        folder = self._folder(step)
        if step.key in self._done:
            return folder / _GRAPH
        known = self.cache.fetch(step.key, to=folder)
        if known is None:
            return None
        self._done[step.key] = {**known, "cached": True}
        return folder / _GRAPH

    # --- bookkeeping ---

    def _folder(self, step: Step) -> Path:
        """Where the files of a step lie in this build."""
        folder = self.workspace / step.key[:24]
        folder.mkdir(exist_ok=True)
        return folder

    def _context(self, step: Step) -> Context:
        self.reporter.phase(step.name)
        scratch = self.workspace / f"{step.key[:24]}-scratch"
        scratch.mkdir()
        return Context(
            data=self.inputs.dataset,
            seed=self.plan.spec.data.seed,
            reporter=self.reporter,
            workspace=scratch,
            cache=self.cache,
            checkpoints=self.cache.checkpoints(step.key),
            choices=Choices(given=step.given),
            group=self.group if step.resolved and step.resolved.implementation.parallel else ALONE,
        )

    def _finish(self, step: Step, *, context: Context | None, figures: dict[str, Any]) -> None:
        if context is not None:
            choices = context.choices.made
            figures = {**figures, "notes": context.notes, "record": context.record, "choices": choices}
        self.cache.store(step.key, files=self._folder(step), figures=figures)
        self._done[step.key] = {**figures, "cached": False}

    def _figures(self, step: Step) -> Mapping[str, Any]:
        known = self._done.get(step.key)
        if known is None:
            # A step that nobody had to run, since a later one was in the cache.
            known = {**(self.cache.figures(step.key) or {}), "cached": True}
            self._done[step.key] = known
        return known

    def _told(self, step: Step) -> dict[str, Any]:
        hidden = ("aliases", "choices")
        parameters = dataclasses.asdict(step.resolved.parameters) if step.resolved else {}
        figures = {name: value for name, value in self._figures(step).items() if name not in hidden}
        return {"pass": step.name, "parameters": parameters, "key": step.key, **figures}
