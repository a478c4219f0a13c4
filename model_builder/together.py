"""Steps that all processes of a build do together: process 0 summons, the others follow until it says the end.

Process 0 sends what the steps before left: their weights and figures, as the cache keeps them. Source and data the
others read themselves, from the same spec.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder.errors import BuildError
from model_builder.trouble import translated

if TYPE_CHECKING:
    from model_builder.pipeline import Pipeline
    from model_builder.ranks import Group
    from model_builder.spec import Plan

#: Key of the last order: the exit code of the build.
_END = "end"


@dataclass(frozen=True)
class Finished:
    """A step that is over: its figures, and the folder of its files."""

    figures: Mapping[str, Any]
    files: Path


def summon(group: Group, *, before: Sequence[Finished]) -> None:
    """Call the others to the step after the given ones; returns when all are ready for it.

    Raises:
        BuildError: one of them could not get ready, for instance since it can't read the data.
    """
    if group.first and group.size > 1:
        files = [sorted(path for path in step.files.rglob("*") if path.is_file()) for step in before]
        names = [
            [path.relative_to(step.files).as_posix() for path in paths]
            for step, paths in zip(before, files, strict=True)
        ]
        group.told({"figures": [dict(step.figures) for step in before], "files": names})
        for paths in files:
            for path in paths:
                group.shared(path.read_bytes())
    group.agree(None)


def dismiss(group: Group, *, exit_code: int) -> None:
    """The build is over, and its result is told: the other processes end with the same exit code."""
    if group.first and group.size > 1:
        with contextlib.suppress(BuildError):  # who is gone needs no telling
            group.told({_END: exit_code})


def follow(group: Group, *, read: Callable[[], tuple[Plan, Mapping[str, str]]]) -> int:
    """Be one of the others.

    Args:
        group: of this process.
        read: reads the plan of the build, and the choices that it is to make again.

    Returns:
        The exit code of the build.

    Raises:
        BuildError: process 0 is gone, or something failed that it does not hear of: ending ends it, too.
    """
    made: Pipeline | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while True:
            order = group.told(None)
            if _END in order:
                return int(order[_END])
            before = _received(group, order=order, folder=folder)
            try:
                made = _ready(group, made=made, read=read, before=before, folder=folder)
                made.network_after(len(before) + 1)
            except BuildError as error:
                if not group.agreed(error):
                    raise
                # Process 0 fails with the same, says so, and then tells the end.


def _ready(
    group: Group,
    *,
    made: Pipeline | None,
    read: Callable[[], tuple[Plan, Mapping[str, str]]],
    before: Sequence[Finished],
    folder: Path,
) -> Pipeline:
    """The build as it is before the step; what goes wrong until then is agreed upon, since process 0 waits for it."""
    try:
        with translated(folder):
            made = made or _pipeline(group, *read(), folder=folder)
            made.take(before)
    except BuildError as error:
        group.agree(error)
        raise
    return made


def _pipeline(group: Group, plan: Plan, replayed: Mapping[str, str], *, folder: Path) -> Pipeline:
    """The steps of the build, in a folder of this process's own."""
    from model_builder.cache import Cache
    from model_builder.inputs import Inputs
    from model_builder.pipeline import Pipeline
    from model_builder.progress import SilentReporter

    reporter = SilentReporter()
    cache = Cache.open(folder / "cache", tell=reporter.note)
    return Pipeline(
        plan=plan,
        inputs=Inputs(spec=plan.spec, reporter=reporter, workspace=folder, cache=cache),
        cache=cache,
        reporter=reporter,
        workspace=folder,
        replayed=replayed,
        group=group,
    )


def _received(group: Group, *, order: Mapping[str, Any], folder: Path) -> list[Finished]:
    """The other half of `summon`."""
    place = Path(tempfile.mkdtemp(dir=folder))
    finished = []
    for index, (figures, names) in enumerate(zip(order["figures"], order["files"], strict=True)):
        files = place / str(index)
        files.mkdir()
        for name in names:
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            (files / name).write_bytes(group.shared(None))
        finished.append(Finished(figures=figures, files=files))
    return finished
