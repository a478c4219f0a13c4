"""Where people watch a build: losses per epoch as they come, and in the end metrics, gates and digest.

Nothing of it changes what is built, and nothing that goes wrong here fails a build: a place that can't be written to is
told once and left alone for the rest of the build.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from model_builder.decode import Pattern
from model_builder.errors import BadSpec
from model_builder.progress import Reporter
from model_builder.tracking.base import Sink
from model_builder.tracking.recorder import Recorder

#: Key of the spec -> module that is imported only for it, each with an `open_sink`.
_MODULES = {"tensorboard": "model_builder.tracking.tensorboard", "mlflow": "model_builder.tracking.mlflow"}


@dataclass(frozen=True)
class Log:
    """Where to write to.

    Attributes:
        tensorboard: a directory; every build gets a folder of its own in it.
        mlflow: address of a tracking server; the experiment is called as the model.
    """

    tensorboard: Annotated[str | None, Pattern(r"(?!.*://).+", "a directory, without a scheme")] = None
    mlflow: Annotated[str | None, Pattern(r"https?://[^/?#\s]+\S*", "http://HOST:PORT or https://HOST")] = None


def check(log: Log, *, where: str = "spec.log") -> None:
    """Refuse an address that would carry a password into the spec.

    Raises:
        BadSpec: it does.
    """
    if log.mlflow is not None and "@" in urlsplit(log.mlflow).netloc:
        raise BadSpec(
            f"{where}.mlflow holds a user or a password: leave them out, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )


@contextlib.contextmanager
def recording(log: Log, *, model: str, version: str, reporter: Reporter) -> Iterator[Recorder]:
    """Report to `reporter` and to all places that are asked for; an exception that passes through is told there too."""
    recorder = Recorder(reporter)
    for key, module in _MODULES.items():
        where: str | None = getattr(log, key)
        if where is not None:
            recorder.add(key, _opener(module, where, model=model, version=version))
    try:
        yield recorder
    except BaseException as error:
        recorder.close(failure=f"{type(error).__name__}: {error}")
        raise
    recorder.close(failure=None)


def _opener(module: str, where: str, *, model: str, version: str) -> Callable[[], Sink]:
    def opened() -> Sink:
        sink: Sink = importlib.import_module(module).open_sink(where, model=model, version=version)
        return sink

    return opened
