"""What clients of one artifact may rely on in the next one."""

import dataclasses
from pathlib import Path

import pytest

from model_builder import contract, judged
from model_builder.build import Settings, build
from model_builder.contract import Contract, Interface, Tensor
from model_builder.decode import decode
from model_builder.errors import GateFailed
from model_builder.finished import Finished
from model_builder.progress import SilentReporter
from model_builder.reference import Place, Reference
from model_builder.spec import Spec, resolve
from tests.model_builder.conftest import run_build, spec
from tests.model_builder.test_pass_quantize import layered

ROWS, SCORES = Tensor("rows", "FP32", (2,)), Tensor("scores", "FP32", (3,))
LABEL = Tensor("label", "BYTES", ())
BEFORE = Interface(inputs=(ROWS,), outputs=(SCORES,), batchable=True)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (BEFORE, []),
        (BEFORE._replace(outputs=(LABEL, SCORES)), []),
        (BEFORE._replace(outputs=(LABEL,)), ["output 'scores' was FP32 [3] and is absent"]),
        (BEFORE._replace(inputs=(ROWS, LABEL)), ["input 'label' was absent and is BYTES []"]),
        (
            BEFORE._replace(inputs=(dataclasses.replace(ROWS, shape=(4,)),)),
            ["input 'rows' was FP32 [2] and is FP32 [4]"],
        ),
        (
            BEFORE._replace(outputs=(dataclasses.replace(SCORES, datatype="FP16"),)),
            ["output 'scores' was FP32 [3] and is FP16 [3]"],
        ),
        (BEFORE._replace(batchable=False), ["requests could be batched and can't any more"]),
    ],
)
def test_what_breaks_a_client_is_told(after: Interface, told: list[str]) -> None:
    assert contract.broken(BEFORE, after) == told


def test_a_further_output_breaks_nobody_and_is_still_a_difference() -> None:
    after = BEFORE._replace(outputs=(SCORES, LABEL))
    assert contract.differences(BEFORE, after) == ["output 'label' was absent and is BYTES []"]
    assert contract.broken(after, BEFORE) == ["output 'label' was BYTES [] and is absent"]


def test_a_graph_is_held_to_the_contract_of_the_stable_artifact(tmp_path: Path) -> None:
    import numpy

    final = layered(tmp_path / "m.onnx", [numpy.ones((2, 3))])
    promised = Contract(
        inputs=(ROWS,), outputs=(SCORES,), batchable=True, opset=18, ir_version=10, golden_sha256="0" * 64
    )
    stable = Finished(directory=tmp_path, digest="sha256:" + "a" * 64, manifest={}, contract=promised, model=final)
    quiet = SilentReporter()
    assert judged.comparable(final, stable=Reference(artifact=stable, required=True), reporter=quiet)
    wider = dataclasses.replace(promised, outputs=(dataclasses.replace(SCORES, shape=(4,)),))
    broken = dataclasses.replace(stable, contract=wider)
    with pytest.raises(GateFailed, match=r"sha256:a{12}\.\.\. can't use .* was FP32 \[4\] and is FP32 \[3\]"):
        judged.comparable(final, stable=Reference(artifact=broken, required=True), reporter=quiet)
    assert not judged.comparable(final, stable=Reference(artifact=broken, required=False), reporter=quiet)


@pytest.mark.deep
def test_a_build_is_refused_where_clients_of_the_stable_artifact_would_break(tmp_path: Path) -> None:
    run_build(spec(gates=[], export={"classNames": True}), out=tmp_path / "stable")
    plan = resolve(decode(Spec, spec(gates=[]), where="spec"))
    with pytest.raises(GateFailed, match=r"output 'label' was BYTES \[\] and is absent"):
        build(
            plan=plan,
            out=tmp_path / "out",
            reporter=SilentReporter(),
            settings=Settings(stable=Place(directory=tmp_path / "stable")),
        )
    assert not list((tmp_path / "out").iterdir())
