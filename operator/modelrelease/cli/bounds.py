"""The bounds of the CRD that a hand-written rule would not say better, for `lint` without a cluster.

`tests/cli/test_lint.py` holds the table to the CRD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Path of a number, or of a list's length -> lowest, highest. `[]` stands for every item.
NUMBERS: Mapping[str, tuple[float, float]] = {
    "spec.build.evaluation.data.seed": (0, 2147483647),
    "spec.build.evaluation.data.augmentation.shift": (0, 64),
    "spec.build.evaluation.data.augmentation.noise": (0, 1),
    "spec.build.evaluation.data.image.height": (0, 4096),
    "spec.build.evaluation.data.image.width": (0, 4096),
    "spec.build.evaluation.data.text.length": (1, 4096),
    "spec.build.evaluation.data.text.vocabulary": (3, 1000000),
    "spec.build.evaluation.data.maxBytes": (1, 2**50),
    "spec.build.evaluation.gates[].threshold": (-1e9, 1e9),
    "spec.build.evaluation.gates[].maxDegradation": (0, 1e9),
    "spec.build.evaluation.gates[].percentMaxDegradation": (0, 1e6),
    "spec.build.evaluation.gates[].minImprovement": (0, 1e9),
    "spec.build.evaluation.gates[].percentMinImprovement": (0, 1e6),
    "spec.build.backoffLimit": (0, 10),
    "spec.build.activeDeadlineSeconds": (10, 604800),
    "spec.serving.replicas": (1, 1000),
    "spec.serving.triton.maxBatchSize": (0, 4096),
    "spec.serving.triton.instanceCount": (1, 64),
    "spec.serving.triton.startupSeconds": (10, 7200),
    "spec.serving.triton.dynamicBatching.maxQueueDelayMicroseconds": (0, 10000000),
    "spec.serving.triton.dynamicBatching.maxQueueSize": (0, 1000000),
    "spec.serving.triton.dynamicBatching.preferredBatchSizes[]": (1, 4096),
    "spec.rollout.shadow.percent": (1, 100),
    "spec.rollout.analysis.minRequests": (1, 10000000),
    "spec.rollout.analysis.badRequestBudget": (1, 10000000),
    "spec.rollout.analysis.metrics[].threshold": (-9007199254740991, 9007199254740991),
    "spec.rollout.analysis.golden.compare[].tolerance.absolute": (0, 1000000000),
    "spec.rollout.analysis.golden.compare[].tolerance.relative": (0, 1000),
    "spec.rollout.analysis.golden.compare[].top.k": (1, 1000),
    "spec.rollout.bake.holdback": (0, 5),
    "spec.rollout.bake.mirror": (0, 100),
    "spec.rollout.revisionHistoryLimit": (1, 50),
}
LENGTHS: Mapping[str, tuple[int, int]] = {
    "spec.build.recipe": (0, 32),
    "spec.build.evaluation.data.columns": (1, 512),
    "spec.build.evaluation.data.groups": (1, 16),
    "spec.build.evaluation.data.classes": (1, 1024),
    "spec.build.audit": (0, 32),
    "spec.build.export.formats": (0, 1),
    "spec.build.evaluation.gates": (0, 16),
    "spec.build.tolerations": (0, 32),
    "spec.build.imagePullSecrets": (0, 8),
    "spec.serving.triton.dynamicBatching.preferredBatchSizes": (0, 16),
    "spec.serving.tolerations": (0, 32),
    "spec.serving.imagePullSecrets": (0, 8),
    "spec.traffic.gateway.parentRefs": (1, 8),
    "spec.traffic.gateway.http.hostnames": (1, 16),
    "spec.traffic.gateway.grpc.hostnames": (1, 16),
    "spec.rollout.steps": (1, 20),
    "spec.rollout.analysis.metrics": (0, 16),
    "spec.rollout.analysis.golden.compare": (0, 16),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "spec.model.source.head": ("Keep", "Fresh"),
    "spec.build.evaluation.data.format": ("Builtin", "Arrays", "Csv", "Parquet", "Images", "JsonLines"),
    "spec.build.evaluation.data.task": ("Classification", "Regression", "TokenClassification"),
    "spec.build.evaluation.data.cleaning.missing": ("Fail", "Drop", "Median"),
    "spec.build.evaluation.data.cleaning.overlap": ("Fail", "Drop"),
    "spec.build.evaluation.data.normalization": ("Off", "Standard", "MinMax"),
    "spec.build.evaluation.data.image.channels": ("Gray", "Color"),
    "spec.build.export.runtime": ("1.14", "1.15", "1.17", "1.18"),
    "spec.build.export.formats[]": ("TorchScript",),
    "spec.build.evaluation.gates[].against": ("Source", "Stable"),
    "spec.build.evaluation.gates[].onInconclusive": ("Block", "Allow"),
    "spec.serving.triton.backend": ("onnxruntime", "python", "pytorch"),
    "spec.rollout.analysis.onInconclusive": ("Hold", "Rollback", "Advance"),
    "spec.rollout.schemaChange": ("Forbid", "Allow"),
    "spec.rollout.onDeadline": ("Hold", "Rollback"),
}


def check(spec: object) -> Iterator[str]:
    """Yield every value of a spec (parsed JSON) that is out of bounds; wrong types are left to the codec."""
    for rule, (low, high) in NUMBERS.items():
        for path, value in _values({"spec": spec}, rule):
            if isinstance(value, int | float) and not isinstance(value, bool) and not low <= value <= high:
                yield f"{path}: {value:g} is out of bounds: allowed are {low:g} to {high:g}"
    for rule, (fewest, most) in LENGTHS.items():
        for path, value in _values({"spec": spec}, rule):
            if isinstance(value, list) and not fewest <= len(value) <= most:
                yield f"{path}: has {len(value)} items: allowed are {fewest} to {most}"
    for rule, allowed in CHOICES.items():
        for path, value in _values({"spec": spec}, rule):
            if value not in (None, *allowed):
                yield f"{path}: {value!r} is not known: write {' or '.join(allowed)}"


def _values(value: Any, rule: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every (path, value) that a rule's path means."""
    head, _, rest = rule.partition(".")
    name, is_list = head.removesuffix("[]"), head.endswith("[]")
    if not isinstance(value, Mapping) or name not in value:
        return
    here, child = f"{path}.{name}" if path else name, value[name]
    found = [(here, child)]
    if is_list:
        found = [(f"{here}[{index}]", item) for index, item in enumerate(child)] if isinstance(child, list) else []
    for where, item in found:
        if rest:
            yield from _values(item, rest, where)
        else:
            yield where, item
