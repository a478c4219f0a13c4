"""A user's own network: a factory of an installed package, or of a Python file in the source; the spec opts into it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from model_builder.architectures.base import Architecture
from model_builder.errors import BadData, BadSpec
from model_builder.sources.base import Code


def make(code: Code, *, folder: Path) -> Architecture:
    """Call the factory. Its code runs with all rights of the build: whoever names it in the spec vouches for it."""
    from torch import nn

    where, _, attribute = code.factory.partition(":")
    module = _installed(where) if code.path is None else _file(code.path, folder=folder, name=where)
    factory: Any = getattr(module, attribute, None)
    if not callable(factory):
        raise BadSpec(f"spec.source.code.factory is {code.factory!r}, but {where} has no function {attribute!r}")
    try:
        network = factory(**code.parameters)
    except Exception as error:  # a user's function may raise anything
        raise BadData(
            f"{code.factory} failed: {type(error).__name__}: {error}; correct it or its parameters"
        ) from error
    if not isinstance(network, nn.Module):
        raise BadData(f"{code.factory} gave a {type(network).__name__}, not a torch.nn.Module: correct it")
    return Architecture(network=network, input_name=code.input_name, output_name=code.output_name)


def _installed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # importing runs a user's code, which may raise anything
        raise BadSpec(
            f"spec.source.code.factory: {name!r} can't be imported ({type(error).__name__}: {error}): install it "
            "into the image of the build, or give the file with spec.source.code.path"
        ) from error


def _file(path: str, *, folder: Path, name: str) -> ModuleType:
    """A file that came with the source, under a name that hides no installed module."""
    file = folder / path
    if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        raise BadData(f"the source has no file {path!r}: correct spec.source.code.path")
    spec = importlib.util.spec_from_file_location(f"model_builder_source_{name.replace('.', '_')}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and the like look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # as above
        del sys.modules[spec.name]
        raise BadData(
            f"{path} of the source can't be imported ({type(error).__name__}: {error}): correct it"
        ) from error
    return module
