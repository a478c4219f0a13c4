"""What is said of the Gateway behind a release: capabilities, and problems with their fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from modelrelease.adapters import errors
from modelrelease.adapters.gateway import GatewayApi, capabilities
from modelrelease.adapters.kube import Listed
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import GatewayFacts, Meta, Protocol, Slot, Unknown
from modelrelease.domain.spec import GatewayTraffic, Hosts, ParentRef, Spec, Traffic

from tests.fakes.samples import SPEC

ENVOY = "gateway.envoyproxy.io/gatewayclass-controller"
META = Meta(name="digits", namespace="vision", uid="u1", generation=1, resource_version="1")


class Api:
    """The reading half of `Kube` over given objects."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = list(objects)
        self.absent: set[str] = set()
        self.error: errors.ApiError | None = None
        self.namespaced_only = False

    def _read(self, kind: str) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        if kind in self.absent:
            raise errors.KindAbsent("unknown kind")
        return [obj for obj in self.objects if obj["kind"] == kind]

    async def get(self, kind: str, *, namespace: str | None, name: str) -> dict[str, Any]:
        for obj in self._read(kind):
            if (obj["metadata"].get("namespace"), obj["metadata"]["name"]) == (namespace, name):
                return obj
        raise errors.NotFound(f"{kind} {name} not found")

    async def list(self, kind: str, *, namespace: str | None = None, **_: Mapping[str, str] | None) -> Listed:
        found = self._read(kind)
        if namespace is None and self.namespaced_only:
            raise errors.Forbidden("cluster scope")
        mine = [obj for obj in found if namespace in (None, obj["metadata"].get("namespace"))]
        return Listed(items=tuple(mine), resource_version="1")


def gateway_class(controller: str = ENVOY) -> dict[str, Any]:
    return {"kind": "GatewayClass", "metadata": {"name": "eg"}, "spec": {"controllerName": controller}}


def gateway(*listeners: dict[str, Any], programmed: str = "True", seen: int = 3) -> dict[str, Any]:
    condition = {"type": "Programmed", "status": programmed, "observedGeneration": seen, "message": "no address\nyet."}
    return {
        "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "gateways", "generation": 3},
        "spec": {"gatewayClassName": "eg", "listeners": list(listeners) or [{"name": "web", "port": 80}]},
        "status": {"conditions": [condition]},
    }


def route(
    *hostnames: str,
    kind: str = "HTTPRoute",
    namespace: str = "shop",
    name: str = "shop",
    created: str = "2026-11-01T00:00:00Z",
    labels: dict[str, str] | None = None,
    **ref: object,
) -> dict[str, Any]:
    parent = {"name": "public", "namespace": "gateways", **ref}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created, "labels": labels or {}},
        "spec": {"parentRefs": [parent], "hostnames": list(hostnames)},
    }


def ours(kind: str = "HTTPRoute", created: str = "2026-11-02T00:00:00Z") -> dict[str, Any]:
    label = {naming.LABEL_RELEASE: "digits"}
    return route("digits.example.com", kind=kind, namespace="vision", name="digits", created=created, labels=label)


def spec(*, http: str | None = "digits.example.com", grpc: str | None = None, section: str | None = None) -> Spec:
    traffic = GatewayTraffic(
        parent_refs=(ParentRef(name="public", namespace="gateways", section_name=section),),
        http=Hosts(hostnames=(http,)) if http else None,
        grpc=Hosts(hostnames=(grpc,)) if grpc else None,
    )
    return replace(codec.decode(Spec, SPEC), traffic=Traffic(gateway=traffic))


async def facts(api: Api, wanted: Spec | None = None) -> GatewayFacts:
    found = await GatewayApi(kube=api).facts(meta=META, spec=wanted or spec())  # type: ignore[arg-type]
    assert isinstance(found, GatewayFacts)
    return found


async def problem(api: Api, wanted: Spec | None = None) -> tuple[str, str]:
    found = (await facts(api, wanted)).problem
    assert found is not None
    return found.reason, found.message


def test_envoy_gateway_is_known_by_its_controller_and_others_get_nothing_special() -> None:
    known, other = capabilities(ENVOY), capabilities("example.com/other")
    assert (known.scale, known.floor, known.filters, known.tells_slots_apart) == (1_000_000, 1, True, True)
    assert (other.filters, other.tells_slots_apart, other.cluster) == (False, False, None)
    assert known.cluster is not None
    assert known.cluster("ns", "r", Protocol.HTTP, Slot.STABLE) == "httproute/ns/r/rule/0/backend/0"
    assert known.cluster("ns", "r", Protocol.GRPC, Slot.CANDIDATE) == "grpcroute/ns/r/rule/0/backend/1"


def test_copies_are_counted_apart_and_their_failures_over_http_only() -> None:
    known, other = capabilities(ENVOY), capabilities("example.com/other")
    assert known.mirror is not None
    assert known.mirror("ns", "r", Protocol.HTTP) == "httproute/ns/r/rule/0-mirror-0"
    assert known.mirror("ns", "r", Protocol.GRPC) == "grpcroute/ns/r/rule/0-mirror-0"
    assert known.counts_mirrored_errors == {Protocol.HTTP}
    assert (other.mirror, other.counts_mirrored_errors) == (None, frozenset())


async def test_a_programmed_gateway_without_other_routes_is_fine() -> None:
    expected = GatewayFacts(tells_slots_apart=True, mirrors=True, counts_mirrored_errors=frozenset({Protocol.HTTP}))
    assert await facts(Api(gateway(), gateway_class(), ours())) == expected


async def test_an_unknown_gateway_can_not_tell_the_slots_apart() -> None:
    assert await facts(Api(gateway(), gateway_class("example.com/other"))) == GatewayFacts(tells_slots_apart=False)


async def test_what_one_of_two_gateways_can_not_is_not_there() -> None:
    inner, other = gateway(), gateway_class("example.com/other")
    inner["metadata"]["name"], inner["spec"]["gatewayClassName"], other["metadata"]["name"] = "inner", "other", "other"
    both = (ParentRef(name="public", namespace="gateways"), ParentRef(name="inner", namespace="gateways"))
    asked = spec()
    wanted = replace(asked, traffic=Traffic(gateway=replace(asked.traffic.gateway, parent_refs=both)))
    assert await facts(Api(gateway(), gateway_class(), inner, other), wanted) == GatewayFacts(tells_slots_apart=False)


@pytest.mark.parametrize("kind", ["Gateway", "GatewayClass", "HTTPRoute"])
async def test_a_missing_api_is_told_with_the_fix(kind: str) -> None:
    api = Api(gateway(), gateway_class())
    api.absent.add(kind)
    assert await problem(api) == (
        "GatewayAPINotInstalled",
        f"this cluster has no {kind}: install the Gateway API (standard channel, v1) and a gateway that implements it",
    )


async def test_a_kind_of_route_that_nobody_asked_for_may_be_missing() -> None:
    api = Api(gateway(), gateway_class())
    api.absent.add("GRPCRoute")
    assert (await facts(api)).problem is None
    assert (await problem(api, spec(grpc="grpc.example.com")))[0] == "GatewayAPINotInstalled"


async def test_a_missing_gateway_is_named() -> None:
    reason, message = await problem(Api(gateway_class()))
    assert reason == "GatewayNotFound"
    assert message.startswith("there is no Gateway public in namespace gateways: create it")
    assert not (await facts(Api())).tells_slots_apart


async def test_a_gateway_is_looked_for_in_the_namespace_of_the_release_by_default() -> None:
    wanted = replace(spec(), traffic=Traffic(gateway=GatewayTraffic(parent_refs=(ParentRef(name="public"),))))
    assert "in namespace vision" in (await problem(Api(gateway(), gateway_class()), wanted))[1]


async def test_a_missing_class_is_named() -> None:
    reason, message = await problem(Api(gateway()))
    assert (reason, "GatewayClass eg, which does not exist" in message) == ("GatewayClassNotFound", True)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (gateway(programmed="False"), "is not programmed (no address yet): look at its conditions"),
        (gateway(seen=2), "Gateway gateways/public is not programmed: look at"),
        ({**gateway(), "status": {}}, "Gateway gateways/public is not programmed: look at"),
    ],
)
async def test_a_gateway_that_is_not_programmed_is_told_with_what_it_says(found: dict[str, Any], said: str) -> None:
    reason, message = await problem(Api(found, gateway_class()))
    assert reason == "GatewayNotProgrammed"
    assert said in message


async def test_a_missing_listener_is_told_with_those_that_exist() -> None:
    reason, message = await problem(Api(gateway({"name": "a"}, {"name": "b"}), gateway_class()), spec(section="web"))
    assert (reason, "has no listener web: name one of a, b" in message) == ("ListenerNotFound", True)


@pytest.mark.parametrize(
    "error", [errors.Unavailable("timeout"), errors.Forbidden("no"), errors.TooManyRequests("slow")]
)
async def test_an_api_error_is_unknown_not_absent(error: errors.ApiError) -> None:
    api = Api(gateway(), gateway_class())
    api.error = error
    found = await GatewayApi(kube=api).facts(meta=META, spec=spec())  # type: ignore[arg-type]
    assert found == Unknown(message=f"the Gateway could not be read: {error}")


TAKEN = {
    "same host": (route("digits.example.com"), spec()),
    "letter case": (route("Digits.Example.com"), spec()),
    "one of several": (route("a.example.com", "digits.example.com"), spec()),
    "same wildcard": (route("*.example.com"), spec(http="*.example.com")),
    "other kind": (route("digits.example.com", kind="GRPCRoute"), spec()),
    "other kind, wildcard": (route("*.example.com", kind="GRPCRoute"), spec()),
    "other kind, all hosts": (route(kind="GRPCRoute"), spec()),
    "our grpc": (route("*.example.com"), spec(http=None, grpc="digits.example.com")),
    "another release": (
        route("digits.example.com", namespace="vision", name="x", labels={naming.LABEL_RELEASE: "x"}),
        spec(),
    ),
    "our name, not ours": (route("digits.example.com", namespace="vision", name="digits"), spec()),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_an_older_route_holds_the_hostname(case: str) -> None:
    other, wanted = TAKEN[case]
    reason, message = await problem(Api(gateway(), gateway_class(), other), wanted)
    assert reason == "HostnameTaken"
    assert f"{other['metadata']['namespace']}/{other['metadata']['name']} holds the hostname" in message
    assert "choose another one in traffic.gateway." in message


async def test_the_sentence_names_kind_host_and_field() -> None:
    taken = Api(gateway(), gateway_class(), route("*.example.com"))
    assert await problem(taken, spec(http=None, grpc="digits.example.com")) == (
        "HostnameTaken",
        "HTTPRoute shop/shop holds the hostname digits.example.com on the same listener (HTTP and gRPC routes can't "
        "share one): choose another one in traffic.gateway.grpc.hostnames, or remove it there",
    )


FREE = {
    "another host": route("other.example.com"),
    "a wildcard of the same kind is less specific": route("*.example.com"),
    "a catch-all of the same kind is less specific": route(),
    "not a subdomain": route("digits.example.com.evil.org", kind="GRPCRoute"),
    "a wildcard does not match its own domain": route("*.digits.example.com", kind="GRPCRoute"),
    "another gateway": {
        **route(),
        "spec": {"parentRefs": [{"name": "inner", "namespace": "gateways"}], "hostnames": ["digits.example.com"]},
    },
    "the gateway's name in another namespace": {
        **route(),
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["digits.example.com"]},
    },
    "a route of a mesh": {
        **route(),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "public", "namespace": "gateways"}],
            "hostnames": ["digits.example.com"],
        },
    },
    "younger": route("digits.example.com", created="2026-11-03T00:00:00Z"),
    "refused by the gateway": {
        **route("digits.example.com"),
        "status": {"parents": [{"conditions": [{"type": "Accepted", "status": "False"}]}]},
    },
}


@pytest.mark.parametrize("case", FREE)
async def test_a_route_that_holds_nothing_of_ours_is_no_problem(case: str) -> None:
    assert (await facts(Api(gateway(), gateway_class(), ours(), FREE[case]))).problem is None


async def test_before_our_route_exists_every_other_is_older() -> None:
    young = route("digits.example.com", created="2030-01-01T00:00:00Z")
    assert (await problem(Api(gateway(), gateway_class(), young)))[0] == "HostnameTaken"


async def test_routes_of_one_second_are_ordered_by_name() -> None:
    same = "2026-11-02T00:00:00Z"
    after = route("digits.example.com", namespace="zoo", created=same)
    assert (await facts(Api(gateway(), gateway_class(), ours(), after))).problem is None
    before = route("digits.example.com", namespace="art", created=same)
    assert (await problem(Api(gateway(), gateway_class(), ours(), before)))[0] == "HostnameTaken"


async def test_routes_on_different_listeners_do_not_meet() -> None:
    api = Api(
        gateway({"name": "web", "port": 80}, {"name": "inner", "port": 81}),
        gateway_class(),
        route("digits.example.com", sectionName="inner"),
        route("digits.example.com", name="by-port", port=81),
    )
    assert (await facts(api, spec(section="web"))).problem is None
    assert (await problem(api, spec()))[0] == "HostnameTaken"


async def test_a_catch_all_on_a_listener_for_our_host_holds_it() -> None:
    listeners = gateway({"name": "web", "port": 80, "hostname": "digits.example.com"})
    assert (await problem(Api(listeners, gateway_class(), route())))[0] == "HostnameTaken"
    assert (await problem(Api(listeners, gateway_class(), route("*.example.com"))))[0] == "HostnameTaken"


async def test_the_oldest_holder_is_named() -> None:
    api = Api(
        gateway(),
        gateway_class(),
        route("digits.example.com", name="later", created="2026-11-01T10:00:00Z"),
        route("digits.example.com", name="first", created="2026-10-01T10:00:00Z"),
    )
    assert "HTTPRoute shop/first holds" in (await problem(api))[1]


async def test_an_operator_of_one_namespace_looks_at_the_routes_it_may_see() -> None:
    api = Api(gateway(), gateway_class(), route("digits.example.com"))
    api.namespaced_only = True
    assert (await facts(api)).problem is None
    api.objects.append(route("digits.example.com", namespace="vision", name="mine"))
    assert (await problem(api))[0] == "HostnameTaken"
