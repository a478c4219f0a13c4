"""The sample with data, weights and code of one's own: what its Job is told, built with files in place of S3."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelrelease.domain import codec
from modelrelease.domain.spec import Pass, Spec

from tests.render import samples

SAMPLE = Path(__file__).resolve().parents[2] / "manifests" / "samples" / "own-data.yaml"
NETWORK = """\
from torch import nn

def make(*, features, classes):
    return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, classes))
"""


def flowers(path: Path) -> None:
    """1000 flowers whose size tells their kind; one cell is empty."""
    draw = random.Random(7)
    lines = ["length,width,region,kind", ",1.0,north,iris"]
    for _ in range(999):
        kind = draw.randrange(3)
        length, width = draw.gauss(6 * kind, 1), draw.gauss(4 * (kind % 2), 1)
        lines.append(f"{length:.3f},{width:.3f},{draw.choice(('north', 'south'))},{('iris', 'lily', 'rose')[kind]}")
    path.write_text("\n".join(lines) + "\n")


def weights(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "net.py").write_text(NETWORK)
    save_file(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict(), folder / "net.safetensors")


def with_files(folder: Path) -> Spec:
    """The sample with its two URIs below a folder, and a short recipe."""
    spec = codec.decode(Spec, yaml.safe_load(SAMPLE.read_text())["spec"], "spec")
    source = replace(spec.model.source, uri=f"file://{folder}/model")
    data = replace(spec.build.evaluation.data, uri=f"file://{folder}/flowers.csv")
    build = replace(
        spec.build,
        recipe=(Pass(name="finetune", parameters={"epochs": 6, "learningRate": 0.02}),),
        evaluation=replace(spec.build.evaluation, data=data),
    )
    return replace(spec, model=replace(spec.model, source=source), build=build)


@pytest.mark.deep
def test_the_sample_becomes_an_artifact(tmp_path: Path) -> None:
    from model_builder import spec
    from model_builder.build import build
    from model_builder.progress import SilentReporter

    flowers(tmp_path / "flowers.csv")
    weights(tmp_path / "model")
    plan = spec.resolve(samples.handed_over(with_files(tmp_path)))
    built: dict[str, Any] = build(plan=plan, out=tmp_path / "out", reporter=SilentReporter())
    metrics = built["metrics"]
    assert metrics["accuracy"]["value"] > 0.9
    assert {"groupAccuracyGap:region", "corruptionAccuracy", "worstClassRecall"} <= set(metrics)
    assert [(each["name"], each["shape"]) for each in built["inputs"]] == [("flower", [2])]
    assert [each["name"] for each in built["outputs"]] == ["probabilities", "label"]
