import json
from pathlib import Path

import pytest

from model_builder import result
from model_builder.errors import BuildError, StorageError


def test_a_long_result_stays_readable_and_below_the_limit() -> None:
    tensors = [{"name": f"output-{i}", "datatype": "FP32", "shape": [1] * 8} for i in range(100)]
    full = {"digest": "sha256:0", "uri": "file:///x", "metrics": {"accuracy": {"value": 1.0}}, "outputs": tensors}
    decoded = json.loads(result.encode(full))
    assert len(result.encode(full).encode()) < 4096
    assert decoded["omitted"] == ["outputs"]
    assert decoded["metrics"] == full["metrics"]


def test_a_long_error_is_cut_to_one_line() -> None:
    failure = result.failure(StorageError("a\n" * 5000, reason="DiskFull"))
    assert failure["error"]["reason"] == "DiskFull"
    assert len(json.dumps(failure)) < 4096
    assert "\n" not in failure["error"]["message"]


def test_a_termination_log_that_can_not_be_written_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result.emit({"digest": "sha256:1"}, termination_log=tmp_path / "absent" / "log")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"digest": "sha256:1"}
    assert "can't be written" in captured.err


def test_every_failure_has_its_own_exit_code_class() -> None:
    codes = {cls.__name__: cls.exit_code for cls in BuildError.__subclasses__()}
    assert codes == {
        "BadSpec": 2,
        "GateFailed": 3,
        "BadData": 4,
        "ArtifactCorrupt": 4,
        "StorageError": 5,
        "OutOfMemory": 6,
        "Untrusted": 7,
    }
