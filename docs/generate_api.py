"""Write `docs/api.md` from the CRD: `python docs/generate_api.py`, or `--check` to see whether it is up to date.

The CRD is the source of truth; nothing in `api.md` is written by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent
CRD = DOCS.parent / "crds" / "modelreleases.yaml"
PAGE = DOCS / "api.md"
SAMPLES = DOCS.parent / "manifests" / "samples"
Schema = Mapping[str, Any]

INTRODUCTION = """\
# API reference

Generated from `crds/modelreleases.yaml` by `docs/generate_api.py`; `kubectl explain modelrelease.spec` says the same.
A field in **bold** is required. Durations are written like `30s`, `10m` or `1h30m`. Whatever breaks a rule is refused
by the API server at `kubectl apply`, in words like those here; `modelrelease lint -f FILE` finds most of it offline.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare it; 1 if it differs."""
    page = render(yaml.safe_load(CRD.read_text()))
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text() == page:
            return 0
        print(f"{PAGE.name} is not what the CRD says: run python docs/generate_api.py", file=sys.stderr)  # noqa: T201
        return 1
    PAGE.write_text(page)
    return 0


def render(crd: Mapping[str, Any]) -> str:
    """Return the whole page."""
    version = crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = crd["spec"]["names"]
    parts = [
        INTRODUCTION,
        f"`apiVersion: {crd['spec']['group']}/{version['name']}`, `kind: {names['kind']}`, short name "
        f"`{'`, `'.join(names['shortNames'])}`, in `kubectl get {'`, `'.join(names['categories'])}`.\n",
        schema["description"] + "\n",
        _rules(schema, heading="Rules of the whole object:"),
        "## Columns of `kubectl get mr`\n",
        _columns(version["additionalPrinterColumns"]),
        "## Example\n",
        _example(),
    ]
    for root in ("spec", "status"):
        parts += _sections(schema["properties"][root], path=root, level=2)
    return "\n".join(part for part in parts if part)


def _example() -> str:
    text = (SAMPLES / "digits-minimal.yaml").read_text()
    about = (
        "The least a release needs; `manifests/samples/digits-complete.yaml` says all about serving and rollout, "
        "`own-data.yaml` about what is built."
    )
    return f"{about}\n\n```yaml\n{text}```\n"


def _columns(columns: list[Mapping[str, str]]) -> str:
    rows = [f"| {c['name'].upper()} | `{c['jsonPath']}` | {c.get('description', '')} |" for c in columns]
    return "\n".join(["| column | field | meaning |", "|---|---|---|", *rows, ""])


def _sections(schema: Schema, *, path: str, level: int) -> Iterator[str]:
    """Yield the object's section, then those of the objects in it."""
    yield f"{'#' * min(level, 4)} `{path}`\n"
    yield schema["description"] + "\n"
    yield _table(schema)
    yield _rules(schema, heading="Rules:")
    for name, child in schema["properties"].items():
        inner = child["items"] if child["type"] == "array" else child
        if "properties" in inner:
            suffix = "[]" if child["type"] == "array" else ""
            yield from _sections(inner, path=f"{path}.{name}{suffix}", level=level + 1)


def _table(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = []
    for name, child in schema["properties"].items():
        shown = f"**`{name}`**" if name in required else f"`{name}`"
        default = f"`{json.dumps(child['default'])}`" if child.get("default") not in (None, {}, []) else ""
        about = " ".join([_cell(child["description"]), *(_cell(message) for message in _messages(child))])
        rows.append(f"| {shown} | {_type(child)} | {default} | {about} |")
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _messages(field: Schema) -> Iterator[str]:
    """Yield the rules that are told in the field's row: its own, and those of a list's plain items."""
    inner = field.get("items") or field.get("additionalProperties") or {}
    for node in (field, inner):
        if "properties" not in node:
            yield from (f"*Rule:* {rule['message']}." for rule in node.get("x-kubernetes-validations", ()))


def _rules(schema: Schema, *, heading: str) -> str:
    rules = [f"- {rule['message']}" for rule in schema.get("x-kubernetes-validations", ())]
    return "\n".join([heading, "", *rules, ""]) if rules else ""


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    kind = str(schema["type"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if kind == "array":
        return f"list of {_type(schema['items'])}, {_range(schema.get('minItems', 0), schema['maxItems'])}"
    if "additionalProperties" in schema:
        return f"map to {_type(schema['additionalProperties'])}, at most {schema['maxProperties']}"
    if kind in ("integer", "number") and "x-kubernetes-validations" not in schema:
        return f"{kind}, {_range(schema['minimum'], schema['maximum'])}"
    return "time" if schema.get("format") == "date-time" else kind


def _range(low: float, high: float) -> str:
    practically_endless = 2**31 - 1
    if high < practically_endless:
        return f"{low} to {high}" if low else f"up to {high}"
    return f"at least {low}" if low >= 0 else "any"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").removesuffix("..")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
