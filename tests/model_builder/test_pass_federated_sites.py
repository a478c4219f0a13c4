from pathlib import Path
from typing import Any

import numpy
import pytest
from torch import nn

from model_builder.errors import BadSpec
from model_builder.passes.federated.partition import partition
from tests.model_builder.networks import dataset
from tests.model_builder.test_pass_federated import net, overheard, parameters, shared


def test_a_site_has_its_own_rows_only_and_together_they_have_all() -> None:
    data = dataset(rows=90, unlabelled=5)
    for split in ("Even", "Dirichlet"):
        parts = partition(data, parameters=parameters(split=split, concentration=1), seed=0)
        for name in ("train", "validation"):
            gathered = numpy.concatenate([part.data.splits[name].rows for part in parts])
            assert sorted(map(bytes, gathered)) == sorted(map(bytes, data.splits[name].rows))
        assert all(len(part.data.test.rows) == len(part.data.extremes) == 0 for part in parts)
        assert all(part.data.unlabelled is None for part in parts)
        assert all(((part.data.train.rows[:, 0] > 0) == part.data.train.labels).all() for part in parts)


def test_a_lower_concentration_gives_sites_that_differ_more() -> None:
    def spread(concentration: float) -> float:
        parts = partition(
            dataset(rows=400), parameters=parameters(split="Dirichlet", concentration=concentration), seed=0
        )
        return float(numpy.std([part.data.train.labels.mean() for part in parts]))

    assert spread(0.1) > 2 * spread(10)


def test_a_column_names_the_sites(tmp_path: Path) -> None:
    data = dataset()
    for split in (data.train, data.validation):
        names = numpy.array(["north", "south", "west"])[numpy.arange(len(split.rows)) % 3]
        object.__setattr__(split, "groups", {"clinic": names})
    made = shared(tmp_path, net(), data=data, split="Column", column="clinic", rounds=1)
    assert made.record["sites"] == [{"name": name, "rows": 32} for name in ("north", "south", "west")]
    with pytest.raises(BadSpec, match=r"federated.column is 'clinik'; did you mean 'clinic'\?"):
        shared(tmp_path, net(), data=data, split="Column", column="clinik")


def test_updates_weigh_as_many_rows_as_they_come_from(tmp_path: Path) -> None:
    data = dataset()
    names = numpy.where(numpy.arange(96) < 72, "large", "small")
    object.__setattr__(data.train, "groups", {"clinic": names})
    object.__setattr__(data.validation, "groups", {"clinic": names[:64]})
    heard = overheard(tmp_path, net(), data=data, split="Column", column="clinic", rounds=1)
    ((orders, _),) = heard.said
    assert [order.share for order in orders] == [0.75, 0.25]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"column": "clinic"}, "has no effect on a split that is Even"),
        ({"split": "Column", "column": "x"}, "known: none, name columns in data.groups"),
        ({"sites": 60}, "at least two sites must have 2 or more training rows"),
    ],
)
def test_what_the_data_can_not_give_is_told(raw: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=message):
        shared(tmp_path, net(), **raw)
    with pytest.raises(BadSpec, match="has a single layer: set head to Shared"):
        shared(tmp_path, nn.Linear(6, 2), head="Personal")
