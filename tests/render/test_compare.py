"""Whether a live object lacks something that was rendered."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease import render

from tests.render import samples

MANIFESTS = samples.everything()
manifests = st.sampled_from(MANIFESTS)
ATOMIC = ("selector", "labelSelector", "nodeSelector")
KEYED = ("containers", "initContainers", "volumes", "env", "imagePullSecrets", "volumeMounts", "ports")


def maps(value: Any, *, atomic: bool = False) -> Iterator[dict[str, Any]]:
    """Yield every map that the API server or others may add to."""
    if isinstance(value, dict) and not atomic:
        yield value
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, list):
            for item in inner:
                yield from maps(item, atomic=atomic or key not in KEYED)
        else:
            yield from maps(inner, atomic=atomic or key in ATOMIC)


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the place of every scalar: its container and its key or index."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value, key


def live(manifest: dict[str, Any]) -> dict[str, Any]:
    return samples.as_stored(deepcopy(manifest))


@given(manifest=manifests, data=st.data())
def test_what_others_add_is_no_reason_to_write(manifest: dict[str, Any], data: st.DataObject) -> None:
    stored = live(manifest)
    for place in data.draw(st.lists(st.sampled_from(list(maps(stored))), max_size=5)):
        place.setdefault("addedByTheServer", data.draw(st.sampled_from(["x", 1, True, {"a": [1]}, ["b"]])))
    stored["status"] = {"conditions": []}
    stored["metadata"]["labels"]["team"] = "vision"
    assert not render.differs(rendered=manifest, live=stored)


@given(manifest=manifests, data=st.data())
def test_any_changed_value_is_seen(manifest: dict[str, Any], data: st.DataObject) -> None:
    stored = live(manifest)
    rendered = [(where, key) for where, key in leaves({"metadata": stored["metadata"], "spec": stored.get("spec", {})})]
    where, key = data.draw(st.sampled_from(rendered))
    if where is stored["metadata"] and key in ("uid", "resourceVersion", "creationTimestamp"):
        return
    old = where[key]
    where[key] = data.draw(st.sampled_from(["changed", 987_654, True, False]).filter(lambda new: new is not old))
    assert render.differs(rendered=manifest, live=stored), (where, key, old)


@given(manifest=manifests, data=st.data())
def test_any_missing_field_is_seen(manifest: dict[str, Any], data: st.DataObject) -> None:
    stored = live(manifest)
    body = {"labels": stored["metadata"]["labels"], "spec": stored.get("spec", stored.get("data"))}
    rendered = [(where, key) for where, key in leaves(body) if where[key] not in ("", None)]
    where, key = data.draw(st.sampled_from(rendered))
    del where[key]
    assert render.differs(rendered=manifest, live=stored), key


@given(manifest=manifests)
def test_an_items_missing_type_and_our_precondition_do_not_count(manifest: dict[str, Any]) -> None:
    stored = live(manifest)
    del stored["kind"], stored["apiVersion"]
    wanted = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}
    assert not render.differs(rendered=wanted, live=stored)


def compare(wanted: Any, found: Any) -> bool:
    return render.differs(rendered={"metadata": {}, "spec": wanted}, live={"metadata": {}, "spec": found})


@pytest.mark.parametrize(
    ("one", "other"),
    [("1000m", "1"), ("0.5", "500m"), (1, "1"), ("1.5Gi", "1536Mi"), ("1e3", "1k"), ("2E", "2000P"), (".5Ki", 512)],
)
def test_equal_quantities_are_equal(one: Any, other: Any) -> None:
    for field in ("limits", "requests"):
        assert not compare({field: {"cpu": one}}, {field: {"cpu": other, "memory": "1Gi"}})
        assert not compare({field: {"cpu": other}}, {field: {"cpu": one}})


@pytest.mark.parametrize(("one", "other"), [("1", "1m"), ("1Gi", "1G"), ("1", "x"), ("1", None), ("1.", "1.1")])
def test_other_quantities_differ(one: Any, other: Any) -> None:
    assert compare({"limits": {"cpu": one}}, {"limits": {"cpu": other}})


def test_only_quantities_are_compared_as_such() -> None:
    assert compare({"args": ["1000m"]}, {"args": ["1"]})
    assert compare({"value": "1"}, {"value": 1})
    assert compare({"readOnly": True}, {"readOnly": 1})


def test_empty_values_may_be_dropped_by_the_server() -> None:
    for empty in ("", {}, []):
        assert not compare({"a": empty}, {})
        assert not compare({"tolerations": [{"key": "k", "value": empty}]}, {"tolerations": [{"key": "k"}]})
    for zero in (False, 0):
        assert compare({"a": zero}, {})


def test_foreign_elements_of_lists_with_keys_stay() -> None:
    mine = {"name": "mine", "value": "1"}
    assert not compare({"env": [mine]}, {"env": [{"name": "theirs"}, mine]})
    assert compare({"env": [mine]}, {"env": [{"name": "theirs"}]})
    assert compare({"env": [mine]}, {"env": [{**mine, "value": "2"}]})


def test_lists_and_maps_that_are_replaced_as_a_whole_are_as_rendered() -> None:
    assert compare({"hostnames": ["a"]}, {"hostnames": ["a", "b"]})
    assert compare({"rules": [{"matches": []}]}, {"rules": [{"matches": [], "timeouts": {"request": "1s"}}]})
    assert compare({"selector": {"a": "b"}}, {"selector": {"a": "b", "c": "d"}})
    assert compare({"args": []}, {"args": ["x"]})


def test_a_field_that_left_the_spec_is_removed_from_the_route() -> None:
    section = samples.routes()[0]
    plain = deepcopy(section)
    del plain["spec"]["parentRefs"][0]["sectionName"]
    assert render.differs(rendered=plain, live=live(section))
    unfiltered, filtered = samples.routes(filters=False), samples.routes(filters=True)
    assert all(render.differs(rendered=a, live=live(b)) for a, b in zip(unfiltered, filtered, strict=True))
