"""Makes sites out of one data set: for simulations, and where a column says whose row it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_builder.data.base import Dataset, Split
from model_builder.errors import BadSpec
from model_builder.passes.federated.parameters import Parameters

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

#: Training rows that a site needs at least: a batch norm takes no single row.
_LEAST = 2
#: Draws of skewed shares until every site has enough rows.
_DRAWS = 100


@dataclass(frozen=True)
class Part:
    """One site: its name, and a data set with its own training and validation rows and nothing else."""

    name: str
    data: Dataset


def partition(data: Dataset, *, parameters: Parameters, seed: int) -> list[Part]:
    """Every training and validation row goes to one site; the test split to none.

    Raises:
        BadSpec: a site would have too few training rows.
    """
    import numpy

    chance = numpy.random.default_rng([seed, 0xFEDE])
    if parameters.split == "Column":
        names, (train, validation) = _by_column(data, column=parameters.column)
    else:
        names = [f"site-{number}" for number in range(parameters.sites)]
        assign = _evenly if parameters.split == "Even" else _skewed
        train, validation = assign(data, parameters=parameters, chance=chance)
    counts = [int((train == number).sum()) for number in range(len(names))]
    if len(names) < 2 or min(counts) < _LEAST:
        told = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))[:200]
        raise BadSpec(
            f"federated.split: at least two sites must have {_LEAST} or more training rows each, and the split "
            f"{parameters.split} gives {told}: lower sites, raise concentration, or take another column"
        )
    return [
        Part(name=name, data=_own(data, train=train == number, validation=validation == number))
        for number, name in enumerate(names)
    ]


def _own(data: Dataset, *, train: NDArray[Any], validation: NDArray[Any]) -> Dataset:
    nothing = Split(rows=data.test.rows[:0], labels=data.test.labels[:0])
    return dataclasses.replace(
        data,
        train=_rows(data.train, chosen=train),
        validation=_rows(data.validation, chosen=validation),
        test=nothing,
        extremes=data.extremes[:0],
        unlabelled=None,
        texts=(),
    )


def _rows(split: Split, *, chosen: NDArray[Any]) -> Split:
    groups = {name: column[chosen] for name, column in split.groups.items()}
    return Split(rows=split.rows[chosen], labels=split.labels[chosen], groups=groups)


def _by_column(data: Dataset, *, column: str) -> tuple[list[str], tuple[NDArray[Any], NDArray[Any]]]:
    """Names of the sites, and the number of the site of each row; -1 for a site that has no training rows."""
    import numpy

    names = sorted({str(value) for value in data.train.groups[column]})
    number = {name: index for index, name in enumerate(names)}
    train, validation = (
        numpy.array([number.get(str(value), -1) for value in split.groups[column]], dtype=numpy.int64)
        for split in (data.train, data.validation)
    )
    return names, (train, validation)


def _evenly(
    data: Dataset, *, parameters: Parameters, chance: numpy.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy

    train, validation = (
        chance.permutation(numpy.arange(len(split.rows)) % parameters.sites) for split in (data.train, data.validation)
    )
    return train, validation


def _skewed(
    data: Dataset, *, parameters: Parameters, chance: numpy.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each class is shared out by a draw from a Dirichlet distribution (Hsu et al. 2019, arXiv 1909.06335)."""
    import numpy

    for _ in range(_DRAWS):
        shares = chance.dirichlet([parameters.concentration] * parameters.sites, size=data.num_classes)
        train, validation = (
            _shared_out(split.labels, shares=shares, chance=chance) for split in (data.train, data.validation)
        )
        if numpy.bincount(train, minlength=parameters.sites).min() >= _LEAST:
            break
    return train, validation


def _shared_out(labels: NDArray[Any], *, shares: NDArray[Any], chance: numpy.random.Generator) -> NDArray[Any]:
    import numpy

    sites = numpy.zeros(len(labels), dtype=numpy.int64)
    for label, share in enumerate(shares):
        rows = chance.permutation(numpy.flatnonzero(labels == label))
        cuts = numpy.rint(numpy.cumsum(share)[:-1] * len(rows)).astype(int)
        for site, part in enumerate(numpy.split(rows, cuts)):
            sites[part] = site
    return sites
