"""The rules of the API on what is built: its source, its data, its audits, its export. Pure, as `rules`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from modelrelease.domain import codec
from modelrelease.domain.data import Data, Format, Normalization, Task
from modelrelease.domain.spec import Audit, Code, Export, ExportFormat, Source, Spec

REPOSITORY = r"oci://[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_IMAGE = rf"{REPOSITORY}(:[A-Za-z0-9_][A-Za-z0-9_.-]*|(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?@sha256:[0-9a-f]{{64}})"
_REVISION = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}(/[^\s?#@]+)?"
_REGISTERED = rf"mlflow://[^/@?#\s]+/[0-9]+(/[^\s?#]+)?|{_IMAGE}"
_SOURCE = re.compile(rf"builtin://[^/\s]+|file:///\S+|(s3|gs|az)://[^/\s]+/\S+|hf://{_REVISION}|{_REGISTERED}")
_DATA = re.compile(rf"file:///[^\s?#]+|(s3|gs|az)://[^/\s]+/[^\s?#]+|hf://(datasets/)?{_REVISION}|{_REGISTERED}")
#: What the builder image brings.
_BROUGHT = ("builtin://", "file://")
_DATA_NAME = re.compile(r"[A-Za-z0-9._-]+")
_FACTORY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")
_TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = (".onnx", ".pt2")
#: What a built-in data set knows by itself.
_KNOWN = ("task", "uri", "splits", "unlabelled", "columns", "label", "groups", "classes", "cleaning", "image", "text")
#: What turns a file of weights into a network.
_OF_WEIGHTS = ("head", "architecture", "code")


def check(spec: Spec) -> Iterator[str]:
    """Yield every rule that a spec breaks about what is built."""
    yield from _source("spec.model.source", spec.model.source)
    yield from _data("spec.build.evaluation.data", spec.build.evaluation.data)
    yield from _audits("spec.build.audit", spec.build.audit)
    export = spec.build.export or Export()
    if export.class_names and export.formats:
        yield "spec.build.export: formats has TorchScript, which answers with no strings: drop it, or classNames"
    if spec.serving.triton.backend == "pytorch" and ExportFormat.TORCH_SCRIPT not in export.formats:
        yield (
            "spec.serving.triton.backend: pytorch runs a model.pt, which no build makes unasked: "
            "set build.export.formats to [TorchScript]"
        )


def _source(where: str, source: Source) -> Iterator[str]:
    if not _SOURCE.fullmatch(source.uri):
        yield (
            f"{where}.uri: {source.uri!r} is not supported: write builtin://NAME, file:///PATH, s3://BUCKET/KEY (gs, az"
            " likewise), hf://ORG/NAME@REVISION with 40 hexadecimal digits, mlflow://NAME/VERSION with a number, or "
            "oci://HOST/REPOSITORY@sha256:DIGEST"
        )
    if source.secret_ref is not None and source.uri.startswith(_BROUGHT):
        yield f"{where}.secretRef: has no effect on {source.uri}, which takes no credentials: remove it"
    if source.uri.startswith("builtin://"):
        for field in _said(source, ("file", *_OF_WEIGHTS)):
            yield f"{where}.{field}: has no effect on {source.uri}, which is a fresh network: remove it"
    if (source.file or source.uri).endswith(_WHOLE):
        for field in _said(source, ("parameters", *_OF_WEIGHTS)):
            yield f"{where}.{field}: has no effect on a file .onnx or .pt2, which is a whole model: remove it"
    if source.code is not None and source.architecture is not None:
        yield f"{where}.architecture: source.code makes the network as well: remove one"
    if source.code is not None and source.parameters is not None:
        yield f"{where}.parameters: is for built-in networks: move it to source.code.parameters"
    if source.file is not None and not _inside(source.file):
        yield f"{where}.file: {source.file!r} is no path inside the source: write it without a leading '/' and '..'"
    if source.code is not None:
        yield from _code(f"{where}.code", source.code)


def _code(where: str, code: Code) -> Iterator[str]:
    if not _FACTORY.fullmatch(code.factory):
        yield (
            f"{where}.factory: {code.factory!r} names no function: write PACKAGE.MODULE:FUNCTION, or MODULE:FUNCTION "
            "of the file at path"
        )
    if code.path is not None and not (_inside(code.path) and re.fullmatch(r".+\.py", code.path)):
        yield f"{where}.path: {code.path!r} is no .py file inside the source: write it without a leading '/' and '..'"
    for field, name in (("inputName", code.input_name), ("outputName", code.output_name)):
        if not _TENSOR.fullmatch(name):
            yield f"{where}.{field}: {name!r} is not a name: use letters, digits and '_', and start with no digit"


def _said(value: Source | Data, names: Iterable[str]) -> Iterator[str]:
    """Yield those of the fields that are set, as the API calls them."""
    keys = {field.name: codec.key(field) for field in dataclasses.fields(value)}
    yield from (keys[name] for name in names if getattr(value, name) is not None)


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _data(where: str, data: Data) -> Iterator[str]:
    if not _DATA_NAME.fullmatch(data.name):
        yield f"{where}.name: {data.name!r} must be letters, digits, '.', '_' and '-'"
    for field, uri in data.uris.items():
        if not _DATA.fullmatch(uri):
            yield (
                f"{where}.{field}: {uri!r} is not supported: write file:///PATH, s3://BUCKET/KEY (gs, az likewise), "
                "hf://datasets/ORG/NAME@REVISION with 40 hexadecimal digits, mlflow://NAME/VERSION with a number, or "
                "oci://HOST/REPOSITORY@sha256:DIGEST"
            )
    if data.secret_ref is not None and all(uri.startswith(_BROUGHT) for uri in data.uris.values()):
        yield f"{where}.secretRef: has no effect on what the builder image brings: remove it"
    if data.format in (None, Format.BUILTIN):
        for field in _said(data, (*_KNOWN, "max_bytes")):
            yield (
                f"{where}.{field}: has no effect on the built-in {data.name}: remove it, or say with format how your "
                "own data are kept"
            )
        return
    if (data.uri is None) == (data.splits is None):
        count = "neither" if data.uri is None else "both"
        yield f"{where}: has {count} of uri (to be split) and splits (that exist already): set exactly one"
    yield from _format(where, data)
    yield from _task(where, data)
    for field, names in (("columns", data.columns), ("groups", data.groups)):
        if (data.label or "label") in (names or ()):
            yield f"{where}.{field}: names the label, and a model must not see its answer: remove it there"
    for field, names in (("columns", data.columns), ("groups", data.groups), ("classes", data.classes)):
        if len(set(names or ())) != len(names or ()):
            yield f"{where}.{field}: a name is listed twice: remove one"


def _format(where: str, data: Data) -> Iterator[str]:
    """Yield what has no effect on the format of the data."""
    pictures = {Format.IMAGES, Format.ARRAYS}
    changed = data.augmentation
    idle = {
        "columns": data.columns is not None and data.format is Format.IMAGES,
        "label": data.label is not None and data.format is Format.IMAGES,
        "groups": data.groups is not None and data.format is Format.IMAGES,
        "image": data.image is not None and data.format is not Format.IMAGES,
        "text": data.text is not None and data.format is not Format.JSON_LINES,
        "normalization": data.normalization not in (None, Normalization.OFF) and data.format is Format.JSON_LINES,
        "augmentation.flip": changed is not None and changed.flip and data.format not in pictures,
        "augmentation.shift": changed is not None and changed.shift > 0 and data.format not in pictures,
    }
    yield from (f"{where}.{field}: has no effect on {data.format}: remove it" for field, found in idle.items() if found)
    if data.text and data.text.vocabulary is not None and data.text.vocabulary_uri is not None:
        yield f"{where}.text.vocabulary: has no effect on a vocabulary that is given with vocabularyUri: remove it"


def _task(where: str, data: Data) -> Iterator[str]:
    if data.task is Task.TOKEN_CLASSIFICATION and data.format not in (Format.ARRAYS, Format.JSON_LINES):
        yield f"{where}.task: TokenClassification needs a label per token, which only JsonLines and Arrays can hold"
    if data.task is Task.REGRESSION and data.format in (Format.IMAGES, Format.JSON_LINES):
        yield f"{where}.task: Regression needs numbers as labels, which {data.format} do not have"
    if data.task is Task.REGRESSION and data.classes is not None:
        yield f"{where}.classes: has no effect on a Regression, which has none: remove it"


def _audits(where: str, audits: tuple[Audit, ...]) -> Iterator[str]:
    names = [step.audit for step in audits]
    for index, name in enumerate(names):
        if not NAME.fullmatch(name):
            yield f"{where}[{index}].audit: {name!r} is not a name: use letters, digits, '_' and '-'"
        if name in names[:index]:
            yield f"{where}[{index}]: {name} is listed twice: remove one"
