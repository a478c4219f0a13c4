"""Models that a real Triton serves in tests: right, or wrong in one way each."""

from __future__ import annotations

import urllib.request

from modelrelease.domain.observed import Contract, Tensor

from tests.model_builder import servers

IMAGE = Tensor(name="image", datatype="FP32", shape=(8, 8))
SCORES = Tensor(name="scores", datatype="FP32", shape=(10,))
CONTRACT = Contract(inputs=(IMAGE,), outputs=(SCORES,))

MODEL = """
import numpy as np
import os
import time
import triton_python_backend_utils as pb

class TritonPythonModel:
    calls = 0

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        self.calls += 1
        image = pb.get_input_tensor_by_name(request, "image").as_numpy()
        out = np.tile(image.reshape(len(image), -1).astype(np.float64).mean(axis=1, keepdims=True), (1, 10))
        out = out.astype(np.float32)
        %s
        return pb.InferenceResponse(output_tensors=[pb.Tensor("scores", out)])
"""
CONFIG = """
name: "%s"
backend: "python"
max_batch_size: %d
input [ { name: "image" data_type: %s dims: [ %s ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ %s ] } ]
version_policy { specific { versions: [ 1 ] } }
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def put(
    server: servers.Triton,
    name: str,
    *,
    body: str = "pass",
    batch: int = 8,
    datatype: str = "TYPE_FP32",
    dims: str = "8, 8",
    out: str = "10",
    more: str = "",
) -> None:
    """Serve a model whose answer is `out` after the line `body`; `more` goes into its configuration."""
    folder = server.repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL % body)
    (folder.parent / "config.pbtxt").write_text(CONFIG % (name, batch, datatype, dims, out) + more)
    urllib.request.urlopen(f"{server.http}/v2/repository/models/{name}/load", data=b"{}", timeout=60).close()
