"""What is imported only where it is needed: the image that pulls has none of it, and a rebuild no time for it."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "numpy",
    "onnx",
    "sklearn",
    "pandas",
    "fsspec",
    "aiohttp",
    "boto3",
    "yaml",
    "huggingface_hub",
    "mlflow",
)
PULL = "import model_builder.pull; from model_builder.stores import open_store; open_store('{uri}')"
SPEC = """
from model_builder import data, sources
data.check(data.Data(name='x', format='Parquet', uri='s3://bucket/x.parquet'))
sources.check(sources.Source(uri='hf://org/name@' + 'a' * 40))
"""


@pytest.mark.parametrize(
    "code",
    [
        PULL.format(uri="file:///tmp"),
        PULL.format(uri="oci:///tmp/layout:x"),
        PULL.format(uri="oci://host/repository:x"),
        SPEC,
    ],
    ids=["file", "layout", "registry", "spec"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    program = f"import sys\n{code}\nprint(*sorted(set(sys.modules) & set({HEAVY!r})))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert found == []
