"""Objects with sources, data, audits and exports of people's own, as in `crd_cases`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.case import COMMIT, DIGEST, Case

SOURCE = "spec.model.source"
DATA = "spec.build.evaluation.data"
AUDIT, EXPORT = "spec.build.audit", "spec.build.export"
BACKEND = "spec.serving.triton.backend"
WEIGHTS = {"uri": "s3://models/net"}
DATA_URIS = (
    "file:///data/rows.csv",
    "s3://bucket/rows.csv",
    "gs://bucket/folder",
    "az://container/folder/rows.csv",
    f"hf://datasets/org/a.name_1@{COMMIT}",
    f"hf://org/name@{COMMIT}/rows.csv",
    "mlflow://rows/12",
    f"oci://registry.example:5000/team/rows@{DIGEST}",
    "oci://registry.example/rows:v1",
)
NO_DATA_URIS = (
    "builtin://digits",
    "http://x/rows.csv",
    "file://rows.csv",
    "file:///rows.csv?x",
    "s3://bucket",
    "s3://bucket/rows.csv#1",
    "hf://datasets/org/name@main",
    f"hf://spaces/org/name@{COMMIT}",
    "mlflow://rows@champion",
    "oci://registry.example/rows",
    "pvc://claim/rows.csv",
)
ROWS: Mapping[str, Any] = {"name": "flowers", "format": "Csv"}
TABLE: Mapping[str, Any] = {**ROWS, "uri": "s3://data/flowers.csv"}
TEXTS: Mapping[str, Any] = {"name": "reviews", "format": "JsonLines", "uri": "s3://data/reviews.jsonl"}
PICTURES: Mapping[str, Any] = {"name": "plates", "format": "Images", "uri": "s3://data/plates.zip"}
ARRAYS: Mapping[str, Any] = {"name": "waves", "format": "Arrays", "uri": "s3://data/waves.npz"}
SPLITS = {"train": "s3://data/train.csv", "test": "s3://data/test.csv"}
CODE = {"factory": "net:make", "path": "code/net.py", "parameters": {"width": 3}}
#: What a built-in set knows by itself.
OF_OWN_DATA: Mapping[str, Any] = {
    "task": "Regression",
    "uri": "s3://a/b",
    "splits": SPLITS,
    "unlabelled": "s3://a/b",
    "columns": ["a"],
    "label": "kind",
    "groups": ["a"],
    "classes": ["a"],
    "cleaning": {"missing": "Drop"},
    "image": {"height": 8},
    "text": {"length": 8},
    "maxBytes": 1,
}
#: Together they say every field of source, data, audit and export.
EVERYTHING: Mapping[str, Mapping[str, Any]] = {
    "own-code": {
        SOURCE: {
            "uri": "s3://models/flowers",
            "secretRef": {"name": "models"},
            "file": "weights/net.safetensors",
            "head": "Fresh",
            "code": {**CODE, "inputName": "rows", "outputName": "scores"},
        },
        DATA: {
            "name": "flowers",
            "seed": 3,
            "format": "Csv",
            "task": "Classification",
            "splits": {**SPLITS, "validation": "s3://data/validation.csv"},
            "unlabelled": "s3://data/more.csv",
            "secretRef": {"name": "data"},
            "columns": ["length", "width"],
            "label": "kind",
            "groups": ["region"],
            "classes": ["a", "b", "c"],
            "cleaning": {"missing": "Median", "overlap": "Drop"},
            "normalization": "Standard",
            "augmentation": {"flip": False, "shift": 0, "noise": 0.1},
            "maxBytes": 1000000,
        },
        AUDIT: [
            {"audit": "fairness", "parameters": {"favourable": "a"}},
            {"audit": "robustness", "parameters": {"shares": [0.1]}},
        ],
        EXPORT: {"runtime": "1.17", "classNames": True, "formats": []},
    },
    "texts": {
        SOURCE: {
            "uri": "s3://models/encoder.safetensors",
            "architecture": "text-encoder",
            "parameters": {"width": 32, "heads": 2},
        },
        DATA: {
            **TEXTS,
            "task": "TokenClassification",
            "text": {"length": 32, "lowercase": False, "vocabularyUri": "s3://artifacts/vocabulary.json"},
        },
        EXPORT: {"formats": ["TorchScript"]},
        BACKEND: "pytorch",
    },
    "vocabulary": {
        SOURCE: {"uri": "builtin://text-encoder", "parameters": {"width": 32}},
        DATA: {**TEXTS, "text": {"vocabulary": 500}},
    },
    "pictures": {
        SOURCE: WEIGHTS,
        DATA: {
            **PICTURES,
            "image": {"height": 32, "width": 24, "channels": "Gray"},
            "normalization": "MinMax",
            "augmentation": {"flip": True, "shift": 2, "noise": 0},
        },
    },
}

BUILD_ACCEPTED = [
    *(Case(f"everything-{name}", change) for name, change in EVERYTHING.items()),
    *(Case(f"data-{uri.partition(':')[0]}-{n}", {DATA: {**TABLE, "uri": uri}}) for n, uri in enumerate(DATA_URIS)),
    Case("built-in-data-by-name", {DATA: {"name": "wine", "format": "Builtin"}}),
    Case(
        "built-in-data-scaled", {DATA: {"name": "digits", "normalization": "Standard", "augmentation": {"flip": True}}}
    ),
    Case("data-of-files-with-a-secret", {DATA: {**TABLE, "secretRef": {"name": "s"}}}),
    Case(
        "secret-for-the-vocabulary-alone",
        {DATA: {**TEXTS, "uri": "file:///a", "secretRef": {"name": "s"}, "text": {"vocabularyUri": "s3://a/b"}}},
    ),
    Case("regression", {DATA: {**TABLE, "task": "Regression"}}),
    Case("arrays-of-tokens", {DATA: {**ARRAYS, "task": "TokenClassification", "augmentation": {"shift": 1}}}),
    Case("label-of-that-name", {DATA: {**TABLE, "columns": ["label"], "label": "kind"}}),
    Case("sizes-of-a-built-in-network", {SOURCE: {"uri": "builtin://text-encoder", "parameters": {"layers": 1}}}),
    Case("installed-code", {SOURCE: {**WEIGHTS, "code": {"factory": "a_package.nets:make"}}}),
    Case("one-file-of-several", {SOURCE: {**WEIGHTS, "file": "a..b/net.onnx"}}),
    Case("export-by-default", {EXPORT: {}}),
    Case("torch-script-and-onnx", {EXPORT: {"formats": ["TorchScript"]}}),
]

BUILD_REFUSED = [
    *(
        Case(f"no-data-{n}", {DATA: {**TABLE, "uri": uri}}, f'data.uri "{uri}" is not supported')
        for n, uri in enumerate(NO_DATA_URIS)
    ),
    Case("no-split", {DATA: {**ROWS, "splits": {**SPLITS, "test": "x"}}}, 'data.splits.test "x" is not'),
    Case("no-vocabulary", {DATA: {**TEXTS, "text": {"vocabularyUri": "x"}}}, 'data.text.vocabularyUri "x" is not'),
    Case("no-unlabelled", {DATA: {**TABLE, "unlabelled": "x"}}, 'data.unlabelled "x" is not supported'),
    Case("data-name", {f"{DATA}.name": "my rows"}, 'data.name "my rows" may hold only letters'),
    Case(
        "built-in-with-place",
        {DATA: {"name": "digits", "uri": "s3://a/b", "columns": ["a"]}},
        "data.uri data.columns has no effect on the built-in digits",
    ),
    *(
        Case(
            f"built-in-with-{name}",
            {DATA: {"name": "digits", name: value}},
            f"data.{name} has no effect on the built-in",
        )
        for name, value in OF_OWN_DATA.items()
    ),
    Case("no-place", {DATA: ROWS}, "data has neither of uri (to be split) and splits"),
    Case("two-places", {DATA: {**TABLE, "splits": SPLITS}}, "data has both of uri (to be split) and splits"),
    Case("splits-without-test", {DATA: {**ROWS, "splits": {"train": "s3://a/b"}}}, "splits.test: Required"),
    Case("format", {DATA: {**TABLE, "format": "Excel"}}, 'supported values: "Builtin", "Arrays", "Csv"'),
    *(
        Case(f"{name}-of-pictures", {DATA: {**PICTURES, name: OF_OWN_DATA[name]}}, "have no effect on Images")
        for name in ("columns", "label", "groups")
    ),
    Case(
        "pictures-in-a-table",
        {DATA: {**TABLE, "image": {"height": 8}}},
        "data.image has an effect on the format Images",
    ),
    Case(
        "texts-in-a-table", {DATA: {**TABLE, "text": {"length": 8}}}, "data.text has an effect on the format JsonLines"
    ),
    Case("tokens-in-a-table", {DATA: {**TABLE, "task": "TokenClassification"}}, "needs a label per token"),
    Case("numbers-of-texts", {DATA: {**TEXTS, "task": "Regression"}}, "needs numbers as labels"),
    Case(
        "classes-of-numbers",
        {DATA: {**TABLE, "task": "Regression", "classes": ["a"]}},
        "data.classes has no effect on a Regression",
    ),
    Case("scaled-texts", {DATA: {**TEXTS, "normalization": "Standard"}}, "data.normalization has no effect on texts"),
    *(
        Case(
            f"{change}-of-a-table",
            {DATA: {**TABLE, "augmentation": {change: value}}},
            "flip and shift of data.augmentation",
        )
        for change, value in (("flip", True), ("shift", 1))
    ),
    Case("answer-among-features", {DATA: {**TABLE, "columns": ["a", "label"]}}, "data.columns names the label"),
    Case("answer-among-groups", {DATA: {**TABLE, "groups": ["kind"], "label": "kind"}}, "data.groups names the label"),
    Case("column-twice", {DATA: {**TABLE, "columns": ["a", "a"]}}, "Duplicate value"),
    Case("no-columns", {DATA: {**TABLE, "columns": []}}, "should have at least 1 items"),
    Case("secret-for-built-in-data", {f"{DATA}.secretRef": {"name": "s"}}, "data.secretRef has no effect"),
    Case(
        "secret-for-files",
        {
            DATA: {
                **ROWS,
                "splits": dict.fromkeys(("train", "test", "validation"), "file:///a"),
                "secretRef": {"name": "s"},
            }
        },
        "data.secretRef has no effect",
    ),
    Case(
        "vocabulary-twice",
        {DATA: {**TEXTS, "text": {"vocabulary": 9, "vocabularyUri": "s3://a/b"}}},
        "data.text.vocabulary has no effect",
    ),
    Case("too-many-tokens", {DATA: {**TEXTS, "text": {"length": 5000}}}, "less than or equal to 4096"),
    Case("loud-noise", {DATA: {**TABLE, "augmentation": {"noise": 2}}}, "less than or equal to 1"),
    Case(
        "weights-of-a-fresh-network",
        {SOURCE: {"uri": "builtin://digits-cnn", "file": "a", "head": "Fresh"}},
        "source.file source.head has no effect on builtin://digits-cnn",
    ),
    Case(
        "two-networks",
        {SOURCE: {**WEIGHTS, "architecture": "digits-cnn", "code": CODE}},
        "both make the network: remove one",
    ),
    Case(
        "parameters-beside-code",
        {SOURCE: {**WEIGHTS, "parameters": {"a": 1}, "code": CODE}},
        "move it to source.code.parameters",
    ),
    Case(
        "head-of-a-graph",
        {SOURCE: {"uri": "s3://a/net.onnx", "head": "Fresh"}},
        "a file .onnx or .pt2 is a whole model",
    ),
    Case(
        "code-for-a-program",
        {SOURCE: {**WEIGHTS, "file": "net.pt2", "code": CODE}},
        "a file .onnx or .pt2 is a whole model",
    ),
    Case("head", {SOURCE: {**WEIGHTS, "head": "New"}}, 'supported values: "Keep", "Fresh"'),
    Case("file-climbs", {SOURCE: {**WEIGHTS, "file": "a/../../b"}}, "source.file is a path inside the source"),
    Case("file-from-the-root", {SOURCE: {**WEIGHTS, "file": "/b"}}, "source.file is a path inside the source"),
    Case("factory", {SOURCE: {**WEIGHTS, "code": {"factory": "make"}}}, 'code.factory "make" names no function'),
    Case(
        "code-climbs",
        {SOURCE: {**WEIGHTS, "code": {**CODE, "path": "../net.py"}}},
        "code.path is the path of a .py file",
    ),
    Case(
        "code-is-no-python",
        {SOURCE: {**WEIGHTS, "code": {**CODE, "path": "net.so"}}},
        "code.path is the path of a .py file",
    ),
    Case("input-name", {SOURCE: {**WEIGHTS, "code": {**CODE, "inputName": "2d"}}}, "code.inputName must be a name"),
    Case("output-name", {SOURCE: {**WEIGHTS, "code": {**CODE, "outputName": "a b"}}}, "code.outputName must be a name"),
    Case("audit-name", {AUDIT: [{"audit": "do it"}]}, 'audit "do it" is not a name'),
    Case("audit-without-name", {AUDIT: [{"parameters": {}}]}, "spec.build.audit[0].audit: Required value"),
    Case("audit-twice", {AUDIT: [{"audit": "fairness"}] * 2}, "Duplicate value"),
    Case("runtime", {EXPORT: {"runtime": "1.20"}}, 'supported values: "1.14", "1.15", "1.17", "1.18"'),
    Case("runtime-is-a-number", {EXPORT: {"runtime": 1.18}}, "spec.build.export.runtime"),
    Case("export-format", {EXPORT: {"formats": ["Pickle"]}}, 'supported values: "TorchScript"'),
    Case(
        "strings-of-torch-script", {EXPORT: {"classNames": True, "formats": ["TorchScript"]}}, "answers with no strings"
    ),
    Case("pytorch-without-torch-script", {BACKEND: "pytorch"}, "serving.triton.backend pytorch runs a model.pt"),
    Case(
        "pytorch-without-that-format",
        {BACKEND: "pytorch", EXPORT: {"runtime": "1.17"}},
        "set build.export.formats to [TorchScript]",
    ),
]
