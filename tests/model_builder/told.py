"""A made-up artifact whose manifest says all that a report tells, for tests that need no training."""

import dataclasses
from pathlib import Path
from typing import Any

from model_builder.finished import Finished
from tests.model_builder.test_finished import made, write_manifest

CLASSES = ["cat", "dog"]
METRICS = {
    "accuracy": {"value": 0.9, "rows": 10, "lower": 0.606, "upper": 0.994},
    "accuracy.source": {"value": 1.0, "rows": 10, "lower": 0.741, "upper": 1.0},
    "recall:dog": {"value": 0.8, "rows": 5},
    "latencyP50Ms": {"value": 0.04},
    "latencyP50Ms.source": {"value": 0.03},
    "sizeBytes": {"value": 2048},
    "sizeBytes.source": {"value": 8192},
}
GATES = [
    {"metric": "accuracy", "verdict": "Pass", "blocks": False, "message": "accuracy is 0.9; the gate asks for 0.5"},
]
BLOCKED = {"metric": "accuracy", "verdict": "Fail", "blocks": True, "message": "accuracy fell by more than 0.03"}


def described(text: str = "plain", **changes: Any) -> dict[str, Any]:
    """The manifest but for digest and files; `text` is wherever somebody outside decides what is written."""
    model = {
        "confusionMatrix": {"classes": [CLASSES[0], text], "counts": [[5, 0], [1, 4]]},
        "perClass": [{"class": text, "precision": 1.0, "recall": 0.8, "f1": 0.89, "support": 5}],
        "reliability": [
            {"low": 0.5, "high": 0.6, "rows": 2, "confidence": 0.55, "accuracy": 0.5},
            {"low": 0.9, "high": 1.0, "rows": 8, "confidence": 0.97, "accuracy": 1.0},
        ],
    }
    trade_off = [
        {"model": "final", "accuracy": 0.9, "latencyP50Ms": 0.04, "rowsPerSecond": 9.0, "sizeBytes": 2048},
        {"model": "source", "accuracy": 1.0, "latencyP50Ms": 0.03, "rowsPerSecond": 9.0, "sizeBytes": 8192},
    ]
    robustness = {
        "clean": 0.9,
        "curve": [{"share": 0.1, "fgsm": 0.6, "noise": 0.9}, {"share": 0.2, "fgsm": 0.1, "noise": 0.8}],
        "corruptions": [{"corruption": text, "accuracy": [0.9, 0.8, 0.7]}],
        "rules": f"if x:\n  {text}",
    }
    return {
        "schemaVersion": 1,
        "model": {"name": "m", "version": text},
        "source": {"uri": f"file:///{text}", "architecture": "digits-cnn", "digest": None},
        "data": {
            "name": text,
            "digest": "sha256:" + "d" * 64,
            "seed": 7,
            "section": {"name": text, "format": "Csv", "uri": f"file:///{text}.csv", "groups": [text], "splits": None},
            "task": "Classification",
            "classes": [CLASSES[0], text],
            "rows": {"train": 70, "validation": 15, "test": 15},
            "balance": {"train": {text: 40, CLASSES[0]: 30}, "test": {text: 15}},
            "schema": {"dtype": "float32", "shape": [2], "columns": [{"name": text, "minimum": 0.0, "maximum": 1.0}]},
            "normalization": None,
            "notes": [text],
        },
        "recipe": [{"pass": "train", "parameters": {"epochs": 2}}],
        "steps": [
            {
                "pass": "train",
                "parameters": {"epochs": 2, "note": text},
                "key": "k1",
                "seconds": 1.5,
                "peakBytes": 3 * 2**20,
                "cached": False,
                "notes": [text],
            },
            {"pass": "quantize", "parameters": {}, "key": "k2", "cached": True},
        ],
        "choices": {"1.quantize.scheme": text},
        "metrics": {**METRICS, f"recall:{text}": {"value": 0.8, "rows": 5, "lower": 0.3, "upper": 0.98}},
        "parts": {},
        "tables": {"final": model, "source": model, "tradeOff": trade_off},
        "checks": {"parityMaxDifference": {"value": 3e-7, "limit": 1e-4}},
        "gates": GATES,
        "audits": {"robustness": {"parameters": {"rows": 10}, "tables": robustness, "messages": [text]}},
        "stable": None,
        "versions": {"model_builder": "0.1.0", "python": "3.11.7", "onnxruntime": "1.32.0"},
        "machine": {"platform": "Linux", "cpu": text, "gpus": 0},
        "createdAt": "2026-11-22T21:33:52+00:00",
        **changes,
    }


def retold(known: Finished, text: str) -> Finished:
    """A verified artifact with another text wherever somebody outside decides what is written."""
    return dataclasses.replace(known, manifest={**known.manifest, **described(text)})


def artifact(folder: Path, text: str = "plain", **changes: Any) -> Path:
    """An artifact on disk with that manifest."""
    made(folder)
    write_manifest(folder, **described(text, **changes))
    return folder
