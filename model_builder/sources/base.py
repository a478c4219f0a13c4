"""What a spec says about a source, and what a source hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from model_builder.architectures.base import Architecture, Ends
from model_builder.decode import Pattern, Range

Parameters = Mapping[str, object]
NO_PARAMETERS: Parameters = MappingProxyType({})
#: What the data asks of the network; a call, since most sources never need the data for it.
WantedEnds = Callable[[], Ends]
#: Makes the network that a file of weights belongs to.
Fresh = Callable[[], Architecture]


@dataclass(frozen=True)
class Code:
    """A user's own code that makes the network. Naming it here allows it to run in the build.

    The factory takes the parameters as keywords and returns a torch module. It is a function of an installed package,
    or, with `path`, of a Python file in the source.
    """

    factory: Annotated[
        str, Pattern(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "PACKAGE.MODULE:FUNCTION, or MODULE:FUNCTION of the file at path")
    ]
    path: Annotated[str | None, Pattern(r"(?!/)(?!.*(^|/)\.\.(/|$)).+\.py", "the path of a .py file in the source")] = (
        None
    )
    parameters: Mapping[str, object] = field(default_factory=dict)
    input_name: Annotated[str, Pattern(r"[A-Za-z_]\w{0,63}", "a name of letters, digits and '_'")] = "input"
    output_name: Annotated[str, Pattern(r"[A-Za-z_]\w{0,63}", "a name of letters, digits and '_'")] = "output"


@dataclass(frozen=True)
class Source:
    """Where the model comes from.

    Attributes:
        uri: `builtin://NAME` or a file or folder that `remote` can fetch.
        architecture: the built-in network that a file of weights belongs to, where no `code` makes one.
        parameters: the size of a built-in network that has several.
        file: which file of a folder, repository, model version or image holds the model; needed if there are several.
        code: the user's own network.
        head: what becomes of the last layer of weights from a file: a new task needs a fresh one.
        max_bytes: largest size of what is fetched.
    """

    uri: str
    architecture: str = "digits-cnn"
    parameters: Mapping[str, object] = field(default_factory=dict)
    file: Annotated[
        str | None, Pattern(r"(?!/)(?!.*(^|/)\.\.(/|$)).+", "a relative path that does not leave the source")
    ] = None
    code: Code | None = None
    head: Literal["Keep", "Fresh"] = "Keep"
    max_bytes: Annotated[int, Range(1, 2**50)] = 64 * 2**30


@dataclass(frozen=True)
class SourceModel:
    """A network with its weights, or a graph that came as ONNX and has none.

    Attributes:
        architecture: the network; None for ONNX.
        digest: sha256 of what was fetched; None where there is no file of weights.
        graph: the ONNX file; None for a network.
    """

    architecture: Architecture | None
    digest: str | None
    graph: Path | None = None
