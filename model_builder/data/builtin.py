"""Data sets that come with scikit-learn: digits as 8x8 images with values 0 to 16, and four small tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model_builder.data.parameters import Data
from model_builder.data.prepare import prepare
from model_builder.data.records import Records

if TYPE_CHECKING:
    from model_builder.data.base import Dataset

#: Name -> function of sklearn.datasets.
LOADERS: Mapping[str, str] = {
    "breast_cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
}


def load(data: Data) -> Dataset:
    """Split 70/15/15 by the seed, every class alike."""
    import numpy
    from sklearn import datasets  # type: ignore[import-untyped]

    regression = data.name == "diabetes"
    bunch = getattr(datasets, LOADERS[data.name])(**({"scaled": False} if regression else {}))
    rows = (bunch.images if data.name == "digits" else bunch.data).astype("float32")
    numbers = numpy.arange(len(rows))
    records = Records(
        rows=rows,
        labels=bunch.target.astype("float32") if regression else bunch.target_names[bunch.target].astype(str),
        files=(data.name,),
        places=numpy.stack([numpy.zeros_like(numbers), numbers], axis=1),
        counted="row",
        groups=_groups(bunch) if regression else {},
        columns=() if data.name == "digits" else tuple(str(name) for name in bunch.feature_names),
    )
    if regression:
        return prepare({"all": records}, data=replace(data, task="Regression"))
    return prepare({"all": records}, data=replace(data, classes=tuple(str(name) for name in bunch.target_names)))


def _groups(bunch: Any) -> dict[str, Any]:
    """The one column of all these sets that a fairness audit can be tried on."""
    return {"sex": bunch.data[:, bunch.feature_names.index("sex")].astype("int64").astype(str)}
