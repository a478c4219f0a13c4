"""The slots' Services and the routes."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease import render
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, Mirror, Slot
from modelrelease.domain.spec import GatewayTraffic, Model, Traffic

from tests.render import samples

possible = st.integers(FLOOR_PPM, PPM - FLOOR_PPM)
kinds = pytest.mark.parametrize("place", [0, 1], ids=["http", "grpc"])
mirrors = st.builds(Mirror, slot=st.sampled_from([Slot.PREVIEW, Slot.STABLE]), percent=st.integers(1, 100))
SHADOW = Mirror(slot=Slot.PREVIEW, percent=100)


def backends(route: dict[str, Any]) -> list[dict[str, Any]]:
    (rule,) = route["spec"]["rules"]
    return list(rule["backendRefs"])


@given(ppm=possible)
def test_weights_sum_to_the_scale_and_each_keeps_the_floor(ppm: int) -> None:
    for route in samples.routes(ppm=ppm):
        stable, candidate = backends(route)
        assert (stable["name"], candidate["name"]) == ("digits-stable", "digits-candidate")
        assert (stable["weight"], candidate["weight"]) == (PPM - ppm, ppm)
        assert min(stable["weight"], candidate["weight"]) >= FLOOR_PPM
        assert render.candidate_ppm(route) == ppm


@given(ppm=st.integers().filter(lambda ppm: not FLOOR_PPM <= ppm <= PPM - FLOOR_PPM))
def test_no_weight_below_the_floor_is_rendered(ppm: int) -> None:
    with pytest.raises(ValueError, match=f"{ppm} parts per million is not possible"):
        samples.routes(ppm=ppm)


@given(stable=st.integers(0, PPM), candidate=st.integers(0, PPM))
def test_weights_set_by_hand_are_read_as_a_share(stable: int, candidate: int) -> None:
    (route, _) = samples.routes()
    for backend, weight in zip(backends(route), (stable, candidate), strict=True):
        backend["weight"] = weight
    ppm = render.candidate_ppm(route)
    if stable + candidate == 0:
        assert ppm is None
    else:
        assert ppm is not None
        assert 0 <= ppm - candidate * PPM / (stable + candidate) < 1, "rounded up: never less than is sent"


def edited(route: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ways in which people edit rules, each with its result."""
    third, served, swapped, foreign, elsewhere, twice = (deepcopy(route) for _ in range(6))
    third["spec"]["rules"][0]["backendRefs"].append({"name": "mine", "port": 80, "weight": 0})
    served["spec"]["rules"][0]["backendRefs"].append({"name": "digits-preview", "port": 80})
    swapped["spec"]["rules"][0]["backendRefs"].reverse()
    backends(foreign)[1]["name"] = "mine"
    backends(elsewhere)[0]["namespace"] = "other"
    twice["spec"]["rules"] *= 2
    return {
        "a third backend": third,
        "weight for preview": served,
        "swapped": swapped,
        "a foreign backend": foreign,
        "another namespace": elsewhere,
        "a second rule": twice,
        "no backend": {**route, "spec": {**route["spec"], "rules": [{}]}},
        "no rule": {**route, "spec": {"hostnames": []}},
    }


@pytest.mark.parametrize("edit", edited(samples.routes()[0]))
@kinds
def test_edited_rules_have_no_weight_of_ours(place: int, edit: str) -> None:
    route = samples.routes()[place]
    assert render.candidate_ppm(edited(route)[edit]) is None
    assert render.differs(rendered=route, live=edited(route)[edit])


@given(ppm=possible, mirror=st.none() | mirrors)
def test_a_mirror_is_read_back_as_it_was_rendered_and_moves_no_weight(ppm: int, mirror: Mirror | None) -> None:
    plain, made = samples.routes(ppm=ppm), samples.routes(ppm=ppm, mirror=mirror)
    for place, route in enumerate(made):
        assert (render.mirror(route), render.candidate_ppm(route)) == (mirror, ppm)
        known = mirror is not None and mirror.slot is Slot.PREVIEW and place == 1
        assert backends(route)[:2] == backends(plain[place]), "the gateway's backends stay as they are"
        assert [(one["name"], one["weight"]) for one in backends(route)[2:]] == [("digits-preview", 0)] * known
        assert render.differs(rendered=plain[place], live=route) == (mirror is not None)


@given(one=st.none() | mirrors, other=st.none() | mirrors)
def test_another_mirror_is_a_difference_and_the_same_is_none(one: Mirror | None, other: Mirror | None) -> None:
    for wanted, live in zip(samples.routes(mirror=one), samples.routes(mirror=other), strict=True):
        assert render.differs(rendered=wanted, live=samples.as_stored(live)) == (one != other)


@kinds
@pytest.mark.parametrize("slot", [Slot.PREVIEW, Slot.STABLE])
def test_copies_go_to_the_slot_at_the_port_of_the_protocol(place: int, slot: Slot) -> None:
    route = samples.routes(mirror=Mirror(slot=slot, percent=40))[place]
    (wanted,) = route["spec"]["rules"][0]["filters"]
    assert wanted["type"] == "RequestMirror"
    backend = {"group": "", "kind": "Service", "name": f"digits-{slot}", "port": (8000, 8001)[place]}
    assert wanted["requestMirror"] == {"backendRef": backend, "percent": 40}


@kinds
@pytest.mark.parametrize(
    "mirror",
    [
        Mirror(slot=Slot.PREVIEW, percent=0),
        Mirror(slot=Slot.STABLE, percent=101),
        Mirror(slot=Slot.CANDIDATE, percent=50),
    ],
)
def test_a_mirror_that_can_not_be_is_not_rendered(place: int, mirror: Mirror) -> None:
    make = (render.http_route, render.grpc_route)[place]
    with pytest.raises(ValueError, match=f"{mirror.percent} percent to the {mirror.slot} slot is not possible"):
        make(
            meta=samples.META,
            spec=samples.SPEC,
            gateway_filters=True,
            stable_revision=samples.REVISION,
            candidate_revision=samples.OTHER,
            candidate_ppm=1,
            mirror=mirror,
        )


def with_filters(route: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ways in which people edit the filters of a rule."""
    (ours,) = route["spec"]["rules"][0]["filters"]
    copies = ours["requestMirror"]
    target = copies["backendRef"]
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}

    def to(**changes: Any) -> dict[str, Any]:
        return {**ours, "requestMirror": {**copies, "backendRef": {**target, **changes}}}

    edits: dict[str, list[dict[str, Any]]] = {
        "another filter": [header],
        "one more filter": [ours, header],
        "two mirrors": [ours, ours],
        "to a stranger": [to(name="mine")],
        "to the candidate slot": [to(name="digits-candidate")],
        "to another namespace": [to(namespace="other")],
        "to no Service": [to(kind="ServiceImport")],
        "no copies": [{**ours, "requestMirror": {**copies, "percent": 0}}],
        "a fraction": [{**ours, "requestMirror": {"backendRef": target, "fraction": {"numerator": 1}}}],
    }
    made = {}
    for name, filters in edits.items():
        made[name] = deepcopy(route)
        made[name]["spec"]["rules"][0]["filters"] = filters
    return made


@pytest.mark.parametrize("edit", with_filters(samples.routes(mirror=SHADOW)[0]))
@kinds
def test_filters_that_are_not_our_mirror_are_edited_rules(place: int, edit: str) -> None:
    route = samples.routes(mirror=SHADOW)[place]
    found = with_filters(route)[edit]
    assert (render.mirror(found), render.candidate_ppm(found)) == (None, None)
    assert render.differs(rendered=route, live=found)


@kinds
def test_every_answer_names_its_revision_where_the_gateway_can(place: int) -> None:
    named = [backend["filters"] for backend in backends(samples.routes(filters=True)[place])]
    for filters, revision in zip(named, (samples.REVISION, samples.OTHER), strict=True):
        header = {"name": naming.HEADER_REVISION, "value": revision}
        assert filters == [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}]
    assert all("filters" not in backend for backend in backends(samples.routes(filters=False)[place]))


def test_http_lets_inference_metadata_and_health_of_this_model_through_and_nothing_else() -> None:
    http = samples.routes()[0]
    matches = http["spec"]["rules"][0]["matches"]
    assert all(match["path"]["type"] == "Exact" for match in matches)
    open_to = {(match["method"], match["path"]["value"]) for match in matches}
    both = ("/v2/models/digits", "/v2/models/digits/versions/1")
    expected = {("POST", f"{base}/{call}") for base in both for call in ("infer", "generate", "generate_stream")}
    expected |= {("GET", f"{base}{read}") for base in both for read in ("", "/ready")}
    expected |= {("GET", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")}
    assert open_to == expected
    assert len(matches) <= 64


def test_grpc_lets_inference_metadata_and_health_through_and_nothing_else() -> None:
    matches = [match["method"] for match in samples.routes()[1]["spec"]["rules"][0]["matches"]]
    assert {(match["type"], match["service"]) for match in matches} == {("Exact", "inference.GRPCInferenceService")}
    methods = [match["method"] for match in matches]
    assert set(methods) == {
        *("ModelInfer", "ModelStreamInfer"),
        *("ServerLive", "ServerReady", "ServerMetadata"),
        *("ModelReady", "ModelMetadata"),
    }
    assert len(methods) == len(set(methods)) <= 64


def test_each_protocol_has_its_hostnames_and_port() -> None:
    http, grpc = samples.routes()
    assert http["spec"]["hostnames"] == ["digits.example.com"]
    assert grpc["spec"]["hostnames"] == ["grpc.digits.example.com"]
    assert {backend["port"] for backend in backends(http)} == {8000}
    assert {backend["port"] for backend in backends(grpc)} == {8001}
    assert http["metadata"]["name"] == grpc["metadata"]["name"] == "digits"


@kinds
def test_routes_attach_to_the_gateways_of_the_spec(place: int) -> None:
    edge, inner = samples.routes()[place]["spec"]["parentRefs"]
    assert (edge["name"], edge["namespace"], edge["sectionName"]) == ("edge", "gateways", "web")
    assert inner == {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inner"}


@kinds
def test_a_protocol_without_hostnames_has_no_route(place: int) -> None:
    gateway = samples.SPEC.traffic.gateway
    without = GatewayTraffic(
        parent_refs=gateway.parent_refs, http=gateway.http if place else None, grpc=None if place else gateway.grpc
    )
    with pytest.raises(ValueError, match="no hostnames"):
        samples.routes(spec=replace(samples.SPEC, traffic=Traffic(gateway=without)))


def test_the_paths_are_those_of_the_models_name() -> None:
    spec = replace(samples.SPEC, model=Model(name="Net_2.b", version="1", source=samples.SPEC.model.source))
    paths = {match["path"]["value"] for match in samples.routes(spec=spec)[0]["spec"]["rules"][0]["matches"]}
    assert "/v2/models/Net_2.b/infer" in paths
    assert not any("digits" in path for path in paths)


@pytest.mark.parametrize("slot", Slot)
def test_a_slot_selects_one_revision_and_says_which_slot_it_is(slot: Slot) -> None:
    service = render.service(meta=samples.META, slot=slot, revision=samples.REVISION)
    assert service["metadata"]["name"] == f"digits-{slot}"
    assert service["metadata"]["labels"][naming.LABEL_SLOT] == str(slot)
    assert service["spec"]["selector"] == {naming.LABEL_RELEASE: "digits", naming.LABEL_REVISION: samples.REVISION}
    assert service["spec"]["selector"].items() <= samples.template()["metadata"]["labels"].items()
    ports = {port["name"]: port for port in service["spec"]["ports"]}
    assert ports["grpc"]["appProtocol"] == "kubernetes.io/h2c"
    assert ("metrics" in ports) == (slot is Slot.PREVIEW)
    assert "publishNotReadyAddresses" not in service["spec"]
