"""Measures finished artifacts again: alone, or one against another on the same rows in the same process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import data
from model_builder.contract import differences
from model_builder.decode import decode
from model_builder.errors import BadData
from model_builder.finished import Finished, read
from model_builder.progress import Reporter

if TYPE_CHECKING:
    from model_builder.data.base import Dataset


def evaluate(directory: Path, *, reporter: Reporter) -> dict[str, Any]:
    """The metrics of an artifact, measured anew on the test split that it was built with.

    Raises:
        ArtifactCorrupt: a file of it is not what its manifest says.
        BadData: the data are other ones now.
    """
    from model_builder import evaluate as evaluation
    from model_builder.metrics import SOURCE_SUFFIX

    artifact = read(directory)
    dataset = _dataset(artifact, reporter=reporter)
    reporter.phase("evaluate")
    metrics = evaluation.measure(source=artifact.model, final=artifact.model, test=dataset.test)
    alone = {name: metric for name, metric in metrics.items() if name + SOURCE_SUFFIX in metrics}
    return {"digest": artifact.digest, "metrics": {name: metric.to_json() for name, metric in alone.items()}}


def compare(*, before: Path, after: Path, reporter: Reporter) -> dict[str, Any]:
    """The metrics of `after`, those of `before` as `NAME.source`, and whether clients of one can use the other."""
    from model_builder import evaluate as evaluation

    old, new = read(before), read(after)
    dataset = _dataset(new, reporter=reporter)
    interface = differences(old.contract, new.contract)
    if any("input" in difference for difference in interface):
        raise BadData(f"{after} can't be asked what {before} is asked: {'; '.join(interface)}")
    reporter.phase("evaluate")
    metrics = evaluation.measure(source=old.model, final=new.model, test=dataset.test)
    return {
        "before": old.digest,
        "after": new.digest,
        "interface": interface,
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
    }


def _dataset(artifact: Finished, *, reporter: Reporter) -> Dataset:
    reporter.phase("data")
    section = decode(data.Data, artifact.manifest["data"]["section"], where="manifest.data.section")
    data.check(section, where="manifest.data.section")
    with tempfile.TemporaryDirectory(prefix="model-builder-") as workspace:
        dataset = data.load(section, workspace=Path(workspace))
    if dataset.digest != artifact.manifest["data"]["digest"]:
        raise BadData(
            f"the data {dataset.name!r} are not those that {artifact.directory} was built with: their digest is "
            f"{dataset.digest[:19]}..., and the manifest says {artifact.manifest['data']['digest'][:19]}..."
        )
    return dataset
