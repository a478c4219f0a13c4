"""Runs model.onnx of its own folder through Triton's python backend, where there is no onnxruntime backend.

This file is copied into the artifact as `model.py` and stands alone there: Triton, onnxruntime and numpy (also
below version 2) are all it may use. It believes nothing but the ONNX session: names, types and the batch
dimension come from there.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported: a model server reports to nobody

import onnxruntime  # type: ignore[import-untyped]
import triton_python_backend_utils as triton  # type: ignore[import-not-found]


class TritonPythonModel:
    """Triton makes one per instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model that lies beside this file."""
        options = onnxruntime.SessionOptions()
        # An instance is one thread (more of them: instanceCount), and an idle one must not burn its core.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        self._batchable = all(
            tensor.shape and not isinstance(tensor.shape[0], int)
            for tensor in [*self._session.get_inputs(), *self._session.get_outputs()]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests with one run; if that fails, each alone, so that one client's input harms no other."""
        feeds = [{name: self._read(request, name) for name in self._inputs} for request in requests]
        if len(feeds) == 1 or not self._batchable:
            return [
                self._answer(request, feed, alone=len(feeds) == 1)
                for request, feed in zip(requests, feeds, strict=True)
            ]
        try:
            merged = {name: numpy.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
            results = self._session.run(self._outputs, merged)
        except Exception:  # noqa: BLE001 - whatever the runtime raises: the requests are then tried one by one
            return [self._answer(request, feed, alone=False) for request, feed in zip(requests, feeds, strict=True)]
        bounds = numpy.cumsum([len(feed[self._inputs[0]]) for feed in feeds])[:-1]
        parts = zip(*(numpy.split(result, bounds) for result in results), strict=True)
        return [self._response(request, part) for request, part in zip(requests, parts, strict=True)]

    def _answer(self, request: Any, feed: dict[str, Any], *, alone: bool) -> Any:
        try:
            return self._response(request, self._session.run(self._outputs, feed))
        except Exception as error:
            if alone:
                raise  # the only kind of failure that Triton counts in nv_inference_request_failure
            return triton.InferenceResponse(error=triton.TritonError(str(error)))

    def _response(self, request: Any, results: Iterable[Any]) -> Any:
        wanted = set(request.requested_output_names())
        named = zip(self._outputs, results, strict=True)
        tensors = [triton.Tensor(name, numpy.ascontiguousarray(part)) for name, part in named if name in wanted]
        return triton.InferenceResponse(output_tensors=tensors)

    @staticmethod
    def _read(request: Any, name: str) -> Any:
        tensor = triton.get_input_tensor_by_name(request, name)
        if tensor is None:
            raise ValueError(f"the request has no input {name!r}")
        return tensor.as_numpy()
