"""The model card of an artifact, in Markdown (Mitchell et al., FAT* 2019).

What no build can know, such as what the model is meant for, is left to the reader to fill in, and said to be open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_builder.finished import Finished
from model_builder.report import words
from model_builder.report.markup import plain

_OPEN = "Not stated: whoever releases the model writes it here."
_BROKEN = re.compile(r"\s+")
_SPECIAL = re.compile(r"([\\`*_\[\]<>#~$!&|])")
#: What would begin a list or a rule.
_BLOCK = re.compile(r"^(\d{0,9})([-+=]|[.)](?=\s|$))")
#: What renderers make links of, although nobody marked it.
_LINKS = {"://": "&#58;//", "www.": "www&#46;", "@": "&#64;"}


def render(artifact: Finished) -> str:
    """The whole card."""
    told = artifact.manifest
    data, source = told["data"], told["source"]
    lines = [
        f"# {text(told['model']['name'])} {text(told['model']['version'])}",
        "",
        f"Artifact {code(artifact.digest)}, built {text(told['createdAt'])}.",
        "",
        _verdict(told["gates"]),
        *_section("Model"),
        f"- Task: {text(data['task'])}" + (f", {len(data['classes'])} classes" if data["classes"] else ""),
        f"- Source: {code(source['uri'])}, architecture {code(source['architecture'])}",
        f"- Made by: {', '.join(code(step['pass']) for step in told['steps'])}",
        *(f"- {name}: {_tensors(tensors)}" for name, tensors in _sides(artifact)),
        f"- Format: ONNX, opset {artifact.contract.opset}; served by Triton from `repository/`",
        *_section("Intended use"),
        _OPEN,
        *_section("Measured"),
        *_table(("metric", "value", "exact 95 % bounds", "source model", "rows", "what it says"), _metrics(told)),
        "",
        f"On {data['rows']['test']} test rows that no pass has read. Bounds are one-sided and take test rows for "
        "independent draws of what the model will meet; what has no bounds is an estimate, or measured on one machine.",
        *_section("Classes"),
        *_classes(told["tables"].get("final", {}).get("perClass", [])),
        *_section("Gates"),
        *(_bullets(f"{gate['verdict']}: {gate['message']}" for gate in told["gates"]) or ["None was asked for."]),
        *_section("Data"),
        f"- Name: {text(data['name'])}, digest {code(data['digest'])}",
        f"- Rows: {text(words.phrase(data['rows']))}",
        *_bullets(data["notes"]),
        *_section("Audits and limits"),
        *(line for name, audit in told["audits"].items() for line in _audit(name, audit)),
        *([] if told["audits"] else ["No audit was asked for: fairness, robustness and privacy are not known.", ""]),
        "The build knows its test split, not the world: see the report for what each number takes for granted.",
    ]
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Text that Markdown leaves as it is: no emphasis, no HTML, no link, no new line."""
    one_line = _BROKEN.sub(" ", plain(value)).strip()
    escaped = _SPECIAL.sub(r"\\\1", one_line)
    for found, instead in _LINKS.items():
        escaped = escaped.replace(found, instead)
    return _BLOCK.sub(r"\1\\\2", escaped)


def code(value: object) -> str:
    """A span of code that ends where it should, whatever is in it."""
    inner = _BROKEN.sub(" ", plain(value)).replace("|", "\u00a6")  # a bar would end a cell, in code as well
    fence = "`" * (max((len(run) for run in re.findall("`+", inner)), default=0) + 1)
    room = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{room}{inner}{room}{fence}"


def _verdict(gates: Sequence[Mapping[str, Any]]) -> str:
    blocked = words.blocked(gates)
    if blocked:
        return f"**Kept back by its gates:** {'; '.join(map(text, blocked))}."
    return f"**No gate blocks it ({len(gates)} held).**" if gates else "**Built without gates.**"


def _section(title: str) -> list[str]:
    return ["", f"## {title}", ""]


def _bullets(sentences: Iterable[object]) -> list[str]:
    return [f"- {text(sentence)}" for sentence in sentences]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(heads), _line(["---"] * len(heads)), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _metrics(told: Mapping[str, Any]) -> Iterable[list[str]]:
    for row in words.metric_rows(told["metrics"]):
        own, other = row.by_model.get("final"), row.by_model.get("source")
        if own is not None:
            yield [
                code(row.name),
                text(words.measured(row.name, own["value"])),
                text(words.bounds(row.name, own)),
                text(words.measured(row.name, other["value"])) if other else "",
                text(own.get("rows", "")),
                text(row.kind.summary) if row.kind else "",
            ]


def _classes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    if not entries:
        return ["The task has none, or they were not measured one by one."]
    figures = ("precision", "recall", "f1", "support")
    rows = ([text(entry["class"]), *(text(words.number(entry[name])) for name in figures)] for entry in entries)
    return _table(("class", *figures), rows)


def _audit(name: str, found: Mapping[str, Any]) -> list[str]:
    said = found["messages"] or ["ran; its metrics are above"]
    return [f"- {code(name)}: {text('; '.join(map(str, said)))}"]


def _sides(artifact: Finished) -> list[tuple[str, Sequence[Any]]]:
    return [("Inputs", artifact.contract.inputs), ("Outputs", artifact.contract.outputs)]


def _tensors(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{code(tensor.name)} {tensor.datatype} {code(list(tensor.shape))}" for tensor in tensors)
