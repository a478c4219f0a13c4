"""The digits in several number formats, and with planted faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.builder import faults
from benchmarks.builder.builds import Built, Place, built, spec
from model_builder import passes
from model_builder.errors import GateFailed

TRAIN: dict[str, Any] = {"pass": "train", "parameters": {"epochs": 20}}
_INT8, _FP16, _QAT = {"pass": "quantize"}, {"pass": "float16"}, {"pass": "qat"}


def measure(place: Place) -> dict[str, float]:
    """Accuracy and size of FP32, static INT8 and FP16 made from the same weights."""
    whole = _build(place, name="fp32")
    small, half = _build(place, _INT8, name="int8"), _build(place, _FP16, name="fp16")
    return {
        "accuracyFp32": whole.value("accuracy"),
        **_beside("Int8", small),
        **_beside("Fp16", half),
        "sizeInt8": small.value("sizeBytes") / whole.value("sizeBytes"),
        "parameters": _parameters(),
    }


def measure_qat(place: Place) -> dict[str, float]:
    """Accuracy of a training that knows of INT8, beside the weights that it began with."""
    return _beside("Qat", _build(place, _QAT, name="qat"))


def qat_missing() -> str | None:
    """Why there is no such pass."""
    return None if "qat" in passes.REGISTRY else "there is no pass `qat`"


def measure_faults(place: Place) -> dict[str, float]:
    """How many planted faults pass the gates of every build, and how many right formats do not."""
    right: dict[str, list[dict[str, Any]]] = {"fp32": [], "int8": [_INT8], "fp16": [_FP16]}
    if qat_missing() is None:
        right["qat"] = [_QAT]
    with faults.planted():
        caught = {name: _blocked(place, fault, name=f"fault {name}") for name, fault in faults.FAULTS.items()}
    blocked = {name: _blocked(place, *steps, name=f"right {name}") for name, steps in right.items()}
    return {
        "faults": len(caught),
        "missed": len(caught) - sum(caught.values()),
        "right": len(blocked),
        "blocked": sum(blocked.values()),
    }


def _blocked(place: Place, *steps: Mapping[str, Any], name: str) -> bool:
    """Whether a gate or an always-on check keeps the build back."""
    try:
        built(spec(TRAIN, *map(dict, steps), seed=place.seed), place=place, name=name)
    except GateFailed:
        return True
    return False


def _build(place: Place, *steps: Mapping[str, Any], name: str) -> Built:
    return built(spec(TRAIN, *map(dict, steps), seed=place.seed, gates=[]), place=place, name=name)


def _beside(name: str, artifact: Built) -> dict[str, float]:
    own, source = artifact.value("accuracy"), artifact.value("accuracy.source")
    return {f"accuracy{name}": own, f"lost{name}": source - own, f"agreement{name}": artifact.value("agreement")}


def _parameters() -> int:
    from model_builder.architectures import REGISTRY

    return sum(parameter.numel() for parameter in REGISTRY["digits-cnn"]().network.parameters())
