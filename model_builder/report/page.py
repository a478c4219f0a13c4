"""The report of an artifact: one HTML page that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_builder.finished import Finished
from model_builder.metrics import Better
from model_builder.report import figures, words
from model_builder.report.markup import Child, Markup, element, joined

#: Even if some text became markup after all, a browser would load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #111; --paper: #fff; --quiet: #555; --line: #e5e5e5; --rule: #ccc;
  --soft: #f5f5f5; --good: #eaf6f1; --bad: #fbeee5; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #17191c; --quiet: #adadad; --line: #34383d; --rule: #4c5157; --soft: #24272c;
    --good: #12332a; --bad: #402412; }
  svg { background: #fff; padding: .3rem; border-radius: .2rem; box-sizing: border-box; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; overflow-wrap: anywhere; } h3 { margin-bottom: .3rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--rule); }
table { border-collapse: collapse; margin: .7rem 0; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; font-variant-numeric: tabular-nums; }
th, .short { white-space: nowrap; } .long { min-width: 14rem; }
code { font-size: .85em; overflow-wrap: anywhere; } td code { overflow-wrap: normal; }
pre { overflow-x: auto; background: var(--soft); padding: .6rem; }
.banner { padding: .6rem 1rem; border-left: .4rem solid; margin: 1rem 0; }
.good { border-color: #009e73; background: var(--good); } .bad { border-color: #d55e00; background: var(--bad); }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
figure { margin: .7rem 0; min-width: 0; max-width: 100%; } figure svg { max-width: 100%; height: auto; }
figcaption { max-width: 28rem; color: var(--quiet); font-size: .9em; }
.wide { overflow-x: auto; } .quiet { color: var(--quiet); }
@media print { body { font-size: 10.5px; margin: 0; max-width: none; } .wide { overflow: visible; }
  .figures { display: block; } h2, h3, caption { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
#: Records of a table, and characters of a list of numbers, that are written out.
_LONGEST, _WORDS = 24, 400
#: Characters of a cell that stay on one line.
_SHORT = 20


def render(artifact: Finished) -> str:
    """The whole page. Everything in it is from the manifest and the contract, and all of it is text."""
    told = artifact.manifest
    name = f"{told['model']['name']} {told['model']['version']}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{name}: report"),
        element("style", Markup(_STYLE)),
    )
    body = element(
        "body",
        element("h1", name),
        element("p", element("code", artifact.digest), class_="quiet"),
        _banner(told["gates"]),
        _verdicts(told),
        _metrics(told),
        _pictures(told["tables"]),
        _audits(told["audits"]),
        _data(told["data"]),
        _making(told),
        _interface(artifact),
        _identity(told),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _banner(gates: Sequence[Mapping[str, Any]]) -> Markup:
    blocked = words.blocked(gates)
    if blocked:
        reasons = element("ul", *(element("li", reason) for reason in blocked))
        return element(
            "div", element("strong", "Kept back: a gate blocks this artifact."), reasons, class_="banner bad"
        )
    said = (
        f"No gate blocks this artifact ({len(gates)} held)."
        if gates
        else "Built without gates: nothing was asked of it."
    )
    return element("div", element("strong", said), class_="banner good" if gates else "banner bad")


def _verdicts(told: Mapping[str, Any]) -> Markup:
    gates = [(gate["verdict"], gate["metric"], gate["message"], gate["blocks"]) for gate in told["gates"]]
    checks = [
        (name, words.number(check["value"]), words.number(check["limit"])) for name, check in told["checks"].items()
    ]
    return _section(
        "Gates and checks",
        _table(("verdict", "metric", "why", "blocks"), gates, caption="Gates"),
        _table(("check", "value", "at most"), checks, caption="Always checked, whatever the gates say"),
        element("p", "Compared with the stable artifact ", element("code", told["stable"])) if told["stable"] else None,
    )


def _metrics(told: Mapping[str, Any]) -> Markup:
    rows = words.metric_rows(told["metrics"])
    models = [name for name in words.MODELS.values() if any(name in row.by_model for row in rows)]
    heads = ["metric", *(head for model in models for head in (model, "bounds")), "rows", "better", "what it says"]
    classes = told["tables"].get("final", {}).get("perClass", [])
    return _section(
        "Metrics",
        element("div", *figures.of_metrics(rows), class_="figures"),
        _table(heads, (_metric(row, models) for row in rows), caption="Whole models, on the test split"),
        _records(classes, caption="Classes, final model"),
        element(
            "p",
            "Bounds are exact, one-sided at 95 %, and take test rows for independent draws of what the model will "
            "meet. What has no bounds is an estimate, or was measured on the machine named below.",
            class_="quiet",
        ),
    )


def _metric(row: words.Row, models: Sequence[str]) -> list[Child]:
    entries = [row.by_model.get(model, {}) for model in models]
    cells = [cell for e in entries for cell in (_value(row.name, e), words.bounds(row.name, e))]
    rows = next((words.number(entry["rows"]) for entry in entries if "rows" in entry), "")
    better = "" if row.kind is None else "higher" if row.kind.better is Better.MORE else "lower"
    return [element("code", row.name), *cells, rows, better, "" if row.kind is None else row.kind.summary]


def _value(name: str, entry: Mapping[str, Any]) -> str:
    return words.measured(name, entry["value"]) if entry else ""


def _pictures(tables: Mapping[str, Any]) -> Markup | None:
    drawn = figures.of_tables(tables)
    return _section("Pictures", element("div", *drawn, class_="figures")) if drawn else None


def _audits(audits: Mapping[str, Any]) -> Markup:
    if not audits:
        return _section("Audits", element("p", "None was asked for."))
    return _section("Audits", *(_audit(name, found) for name, found in audits.items()))


def _audit(name: str, found: Mapping[str, Any]) -> Markup:
    return joined(
        element("h3", name),
        element("p", words.parameters(found["parameters"]), class_="quiet"),
        element("ul", *(element("li", message) for message in found["messages"])) if found["messages"] else None,
        element("div", *figures.of_audit(found["tables"]), class_="figures"),
        *(_anything(title, table) for title, table in found["tables"].items()),
    )


def _data(data: Mapping[str, Any]) -> Markup:
    balance = data["balance"]
    splits = list(balance)
    names = list(dict.fromkeys(name for split in splits for name in balance[split]))
    return _section(
        "Data",
        _pairs(
            {
                "name": data["name"],
                "digest": data["digest"],
                "task": data["task"],
                "rows": data["rows"],
                "seed": data["seed"],
                "normalization": data["normalization"],
            }
        ),
        element("ul", *(element("li", note) for note in data["notes"])) if data["notes"] else None,
        _table(
            ["class", *splits],
            ([name, *(balance[split].get(name, 0) for split in splits)] for name in names[:_LONGEST]),
            caption="Rows of each class" + _more(len(names)),
        ),
        _records(data["schema"]["columns"], caption="Columns, as they are in the training split"),
        element("h3", "As the spec says"),
        _pairs(data["section"]),
    )


def _making(told: Mapping[str, Any]) -> Markup:
    known = ("pass", "parameters", "key", "seconds", "peakBytes", "cached")
    steps = [
        (
            step["pass"],
            words.parameters(step["parameters"]),
            words.number(step["seconds"]) if "seconds" in step else "",
            words.size(step["peakBytes"]) if "peakBytes" in step else "",
            "yes" if step["cached"] else "no",
            "; ".join(f"{name}: {words.phrase(value)}" for name, value in step.items() if name not in known and value),
        )
        for step in (figures.without_trials(step) for step in told["steps"])
    ]
    searches = [(step["pass"], found) for step in told["steps"] if (found := step.get("record", {}).get("trials"))]
    heads = ("step", "parameters", "seconds", "peak memory", "from the cache", "found")
    return _section(
        "Source and steps",
        _pairs(told["source"]),
        _table(heads, steps, caption="Steps; times and memory are those of the build that did them"),
        *(joined(figures.of_search(t), _records(t, caption=f"Trials of {name}")) for name, t in searches),
        _pairs(told["choices"], caption="Decided by measuring") if told["choices"] else None,
    )


def _interface(artifact: Finished) -> Markup:
    contract = artifact.contract
    sides = (("input", contract.inputs), ("output", contract.outputs))
    rows = [(side, tensor.name, tensor.datatype, list(tensor.shape)) for side, all_of in sides for tensor in all_of]
    told = (
        f"{'Batches' if contract.batchable else 'No batches'}; ONNX opset {contract.opset}, IR {contract.ir_version}."
    )
    return _section("Interface", element("p", told), _table(("side", "name", "datatype", "shape"), rows))


def _identity(told: Mapping[str, Any]) -> Markup:
    files = [(file["path"], words.size(file["bytes"]), element("code", file["sha256"])) for file in told["files"]]
    return _section(
        "Identity",
        _pairs({"created": told["createdAt"], "digest": told["digest"]}),
        _table(("file", "size", "sha256"), files, caption="Files; all were verified when this page was written"),
        _pairs(told["versions"], caption="Versions"),
        _pairs(told["machine"], caption="Machine"),
        element(
            "p",
            "The digest covers what is served and promised. Figures are from the manifest, which has a hash of itself: "
            "it shows damage, and is no signature.",
            class_="quiet",
        ),
    )


def _section(title: str, *content: Child) -> Markup:
    return element("section", element("h2", title), *content)


def _table(heads: Iterable[Child], rows: Iterable[Iterable[Child]], *, caption: str | None = None) -> Markup | None:
    """A table; nothing for no rows."""
    lines = [element("tr", *(_data_cell(cell) for cell in row)) for row in rows]
    if not lines:
        return None
    top = element("thead", element("tr", *(element("th", head, scope="col") for head in heads)))
    above = element("caption", caption) if caption else None
    return element("div", element("table", above, top, element("tbody", *lines)), class_="wide")


def _data_cell(value: Child) -> Markup:
    """Numbers with their units, and what is as short, are not broken over lines."""
    content = _cell(value)
    if isinstance(content, Markup):
        return element("td", content)
    return element("td", content, class_="short" if len(str(content)) <= _SHORT else "long")


def _cell(value: Child) -> Child:
    if isinstance(value, Markup):
        return value
    picture = figures.of_values("values", value)
    text = "" if value == "" else words.phrase(value)
    cut = isinstance(value, list) and len(text) > _WORDS
    return picture or (text[:_WORDS] + " ... (the manifest has all)" if cut else text)


def _pairs(values: Mapping[str, Any], *, caption: str | None = None) -> Markup | None:
    lines = [
        element("tr", element("th", name, scope="row"), element("td", words.phrase(value)))
        for name, value in values.items()
    ]
    above = element("caption", caption) if caption else None
    return element("div", element("table", above, element("tbody", *lines)), class_="wide") if lines else None


def _records(records: Sequence[Mapping[str, Any]], *, caption: str) -> Markup | None:
    """A table of plain objects, the first of them; the manifest has all."""
    heads = list(dict.fromkeys(name for record in records for name in record))
    rows = ([record.get(head, "") for head in heads] for record in records[:_LONGEST])
    return _table(heads, rows, caption=caption + _more(len(records)))


def _more(count: int) -> str:
    return f" ({_LONGEST} of {count}; the manifest has all)" if count > _LONGEST else ""


def _anything(title: str, value: Any) -> Markup | None:
    """A table of an audit that has no picture of its own, whatever its form."""
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        return _records(value, caption=title)
    if isinstance(value, Mapping):
        inner = (_anything(f"{title}: {name}", below) for name, below in value.items())
        flat = all(not isinstance(below, Mapping | list) for below in value.values())
        return _pairs(value, caption=title) if flat else joined(*inner)
    if isinstance(value, str) and "\n" in value:
        return joined(element("p", element("strong", title)), element("pre", value))
    content = _cell(value)
    if isinstance(content, Markup):
        return element("figure", content, element("figcaption", title))
    return element("p", f"{title}: ", content)
