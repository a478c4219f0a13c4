"""What administers Triton is not reachable through the gateway; inference, metadata and health are."""

from __future__ import annotations

import http.client

import grpc  # type: ignore[import-untyped]
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc  # type: ignore[import-untyped]

from localcluster.demo.load import try_both
from tests.e2e.releases import grpc_host, http_host
from tests.e2e.stand import MODEL, Stand

pytestmark = pytest.mark.e2e

_SERVICE = "/inference.GRPCInferenceService"
_REFUSED = (
    ("POST", "/v2/repository/index"),
    ("POST", f"/v2/repository/models/{MODEL}/load"),
    ("POST", f"/v2/repository/models/{MODEL}/unload"),
    ("POST", f"/v2/models/{MODEL}/load"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/trace/setting"),
    ("POST", f"/v2/models/{MODEL}/trace/setting"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("POST", "/v2/cudasharedmemory/region/x/register"),
    ("GET", f"/v2/models/{MODEL}/stats"),
    # The configuration carries the golden requests: rows of somebody's data.
    ("GET", f"/v2/models/{MODEL}/config"),
    ("GET", f"/v2/models/{MODEL}/versions/1/config"),
    ("DELETE", f"/v2/models/{MODEL}"),
    # The same by another spelling.
    ("POST", "/v2/./repository/index"),
    ("POST", "/v2//repository/index"),
    ("POST", f"/v2/models/{MODEL}/infer/../../../repository/index"),
    ("POST", f"/v2/models/{MODEL}/infer/%2e%2e/%2e%2e/%2e%2e/repository/index"),
    ("POST", "/v2/repository%2findex"),
    # gRPC by way of the HTTP hostname.
    ("POST", f"{_SERVICE}/RepositoryIndex"),
)
_ANSWERED = ("/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready")
_GRPC_REFUSED = (
    ("RepositoryIndex", service_pb2.RepositoryIndexRequest()),
    ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name=MODEL)),
    ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=MODEL)),
    ("TraceSetting", service_pb2.TraceSettingRequest()),
    ("LogSettings", service_pb2.LogSettingsRequest()),
    ("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest()),
    ("CudaSharedMemoryStatus", service_pb2.CudaSharedMemoryStatusRequest()),
    ("ModelStatistics", service_pb2.ModelStatisticsRequest(name=MODEL)),
    ("ModelConfig", service_pb2.ModelConfigRequest(name=MODEL)),
)


def ask(home: Stand, method: str, path: str, *, host: str) -> tuple[int, str]:
    """Return status and revision header of an answer; the path goes out exactly as it is."""
    connection = http.client.HTTPConnection(home.cluster.gateway_address, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host)
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("x-model-revision", "")
    finally:
        connection.close()


def channel(home: Stand) -> grpc.Channel:
    options = [("grpc.default_authority", grpc_host(MODEL)), ("grpc.enable_http_proxy", 0)]
    return grpc.insecure_channel(home.cluster.gateway_address, options=options)


def test_http_administration_is_refused_by_the_gateway(digits: Stand) -> None:
    for method, path in _REFUSED:
        status, revision = ask(digits, method, path, host=http_host(MODEL))
        # Envoy sends who escapes a slash to the plain path (307), which is refused like the others.
        assert status in (307, 400, 404), f"{method} {path}"
        assert not revision, f"{method} {path} reached a model server"
    for method, path in (("POST", "/v2/repository/index"), ("GET", "/v2/logging")):
        assert ask(digits, method, path, host=grpc_host(MODEL)) == (404, ""), f"{method} {path} at the gRPC hostname"


def test_grpc_administration_is_refused_by_the_gateway(digits: Stand) -> None:
    with channel(digits) as open_channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(open_channel)
        for name, request in _GRPC_REFUSED:
            with pytest.raises(grpc.RpcError) as refused:
                getattr(stub, name)(request, timeout=10)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, name
            headers = [*(refused.value.initial_metadata() or ()), *(refused.value.trailing_metadata() or ())]
            assert "x-model-revision" not in dict(headers), f"{name} reached a model server"


def test_inference_metadata_and_health_are_answered_on_both_protocols(digits: Stand) -> None:
    for path in _ANSWERED:
        status, revision = ask(digits, "GET", path, host=http_host(MODEL))
        assert (status, bool(revision)) == (200, True), path
    assert not try_both(digits.address())
    with channel(digits) as open_channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(open_channel)
        assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=10).ready
        metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=MODEL), timeout=10)
    assert [tensor.name for tensor in metadata.inputs] == ["image"]
