"""MLflow: one run per build on a tracking server. Credentials come from MLflow's own variables of the environment."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from model_builder.tracking.base import Sink, Told

T = TypeVar("T")
#: A server that is slow or gone delays a build by seconds. It tells nobody else that it is used.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
#: What a server takes at once, and how long a value may be.
_PORTION, _LONGEST = 100, 500


def open_sink(where: str, *, model: str, version: str) -> Sink:
    """A new run of the experiment that is called as the model.

    Raises:
        ImportError: the extra `mlflow` is not installed.
        MlflowException: the server can't be reached, or refuses.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise ImportError("install the extra 'mlflow'") from error
    client = MlflowClient(tracking_uri=where)
    known = client.get_experiment_by_name(model)
    experiment = client.create_experiment(model) if known is None else known.experiment_id
    run = client.create_run(experiment, run_name=version)
    return _Sink(client, run=run.info.run_id)


class _Sink:
    def __init__(self, client: Any, *, run: str) -> None:
        self._client, self._run = client, run

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for part in _portions(values.items()):
            metrics = [Metric(_key(name), value, now, step) for name, value in part]
            self._client.log_batch(self._run, metrics=metrics)

    def finished(self, told: Told) -> None:
        from mlflow.entities import Param, RunTag

        self.scalars(told.metrics, step=0)
        for part in _portions(told.parameters.items()):
            self._client.log_batch(self._run, params=[Param(_key(name), value[:_LONGEST]) for name, value in part])
        tags = {"digest": told.digest, **{f"gate.{metric}": said for metric, said in told.gates.items()}}
        for part in _portions(tags.items()):
            self._client.log_batch(self._run, tags=[RunTag(_key(name), value[:_LONGEST]) for name, value in part])

    def close(self, *, failure: str | None) -> None:
        if failure is not None:
            self._client.set_tag(self._run, "failure", failure[:_LONGEST])
        self._client.set_terminated(self._run, status="FINISHED" if failure is None else "FAILED")


def _key(name: str) -> str:
    """MLflow's names have no other signs: `groupAccuracy:sex=f` becomes `groupAccuracy_sex_f`."""
    return re.sub(r"[^A-Za-z0-9_./ -]", "_", name)


def _portions(entries: Iterable[T]) -> Iterator[list[T]]:
    left = iter(entries)
    while part := list(islice(left, _PORTION)):
        yield part
