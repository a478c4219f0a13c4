"""Whatever a person writes, the answer is a plan or one sentence: never another exception, never a hang."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_builder.decode import decode, encode
from model_builder.errors import BadSpec
from model_builder.reading import read
from model_builder.spec import Plan, Spec, load, resolve
from tests.model_builder.conftest import QUANTIZE, TRAIN, spec

SERVING = {"maxBatchSize": 8, "dynamicBatching": {"preferredBatchSizes": [4]}, "metricTags": {"team": "vision"}}
WHOLE = spec(
    TRAIN,
    QUANTIZE,
    gates=[{"metric": "accuracy", "threshold": 0.9}],
    export={"runtime": "1.17", "classNames": True, "serving": SERVING},
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**400, 10**401)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["train", "quantize", "builtin://digits-cnn", "file:///x", "s3://b/k", "\0", "a" * 5000, "1.18"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=8,
)
FAST = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


PLACES = [path for path in places(WHOLE) if path]


def attempt(raw: object) -> Plan | str:
    try:
        return resolve(decode(Spec, raw, where="spec"))
    except BadSpec as error:
        return str(error)


def is_one_sentence(text: str) -> bool:
    return 0 < len(text) < 1500 and "\n" not in text


@FAST
@given(raw=VALUES)
def test_any_value_is_a_plan_or_a_sentence(raw: object) -> None:
    answer = attempt(raw)
    assert isinstance(answer, Plan) or is_one_sentence(answer)


@FAST
@given(path=st.sampled_from(PLACES), value=VALUES, remove=st.booleans())
def test_a_spec_with_one_thing_changed_is_a_plan_or_a_sentence(
    path: tuple[Any, ...], value: object, remove: bool
) -> None:
    raw = copy.deepcopy(WHOLE)
    place: Any = raw
    for step in path[:-1]:
        place = place[step]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    answer = attempt(raw)
    assert isinstance(answer, Plan) or is_one_sentence(answer)


@FAST
@given(path=st.sampled_from([p for p in PLACES if isinstance(p[-1], str) and p[-1] != "team"]), data=st.data())
def test_a_misspelt_key_is_refused_with_the_right_one(path: tuple[Any, ...], data: st.DataObject) -> None:
    key = str(path[-1])
    cut = data.draw(st.integers(0, len(key) - 1))
    misspelt = key[:cut] + "_" + key[cut + 1 :]
    raw = copy.deepcopy(WHOLE)
    place: Any = raw
    for step in path[:-1]:
        place = place[step]
    place[misspelt] = place.pop(key)
    answer = attempt(raw)
    assert isinstance(answer, str)
    assert repr(misspelt) in answer
    assert f"known: {', '.join(sorted(answer.partition('known: ')[2].split(', ')))}" in answer
    assert key in answer.partition("unknown key ")[2]


@FAST
@given(text=st.text(max_size=200) | st.text(alphabet=":{}[],'\"&*!|>-? \n\tab01.eE~<<%@`#", max_size=120))
@pytest.mark.parametrize("name", ["spec.yaml", "spec.json"])
def test_any_text_is_values_or_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    try:
        load(str(tmp_path / name))
    except BadSpec as error:
        assert len(str(error)) < 2000  # noqa: PT017 - any outcome but another exception is right


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a [x, x]\nb: [*a, *a]", "uses a YAML alias"),
        ("a: &a {x: 1}\nb: {<<: *a}", "uses a YAML alias"),
        ("model: 1\nmodel: 2", "gives the key 'model' twice"),
        ("a: 2026-99-99", "is not valid YAML"),
        ("a: !!int " + "9" * 5000, "is not valid YAML"),
        ("a: !!python/object/apply:os.system [id]", "is not valid YAML"),
        ("? [a, b]\n: 1", "is not valid YAML"),
        ("a: !!float x", "is not valid YAML"),
        ("a: !!timestamp x", "is not valid YAML"),
        ("[" * 20_000, "is not valid YAML"),
        ("x" * 300_000, "allowed are 262144"),
        ("a: \x00", "is not valid YAML"),
    ],
)
def test_traps_of_yaml_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(BadSpec) as caught:
        read(str(tmp_path / "spec.yaml"))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"model": 1, "model": 2}', "gives the key 'model' twice"),
        ('{"a": ' + "9" * 5000 + "}", "is not valid JSON"),
    ],
)
def test_traps_of_json_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(BadSpec) as caught:
        read(str(tmp_path / "spec.json"))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["absent.yaml", "\0", "."])
def test_a_spec_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(BadSpec, match="can't be read"):
        read(name)


def test_a_spec_survives_being_written_and_read() -> None:
    plan = attempt(WHOLE)
    assert isinstance(plan, Plan)
    assert attempt(json.loads(json.dumps(encode(plan.spec)))) == plan
