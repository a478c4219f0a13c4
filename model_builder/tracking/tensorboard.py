"""TensorBoard: event files in a folder per build. Written by TensorBoard's own writer, which needs no torch."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_builder.tracking.base import Sink, Told


def open_sink(where: str, *, model: str, version: str) -> Sink:
    """A new folder in the directory `where`.

    Raises:
        ImportError: the extra `tensorboard` is not installed.
        OSError: the directory can't be written to.
    """
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("install the extra 'tensorboard'") from error
    label = re.sub(r"[^A-Za-z0-9._-]", "_", f"{model}-{version}")
    folder = Path(where) / f"{label}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return _Sink(EventFileWriter(str(folder)))


class _Sink:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Summary(value=entries), step=step)
        self._writer.flush()  # for those who watch

    def finished(self, told: Told) -> None:
        self.scalars({f"metrics/{name}": value for name, value in told.metrics.items()}, step=0)
        self._text("digest", told.digest)
        self._text("parameters", _table(("parameter", "value"), told.parameters))
        self._text("gates", _table(("metric", "verdict"), told.gates))

    def close(self, *, failure: str | None) -> None:
        if failure is not None:
            self._text("failure", failure)
        self._writer.close()

    def _text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
        from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
        from tensorboard.plugins.text.metadata import create_summary_metadata  # type: ignore[import-untyped]

        described = create_summary_metadata(display_name=tag, description="")
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        self._write(Summary(value=[Summary.Value(tag=tag, metadata=described, tensor=tensor)]), step=0)

    def _write(self, summary: Any, *, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _table(heads: tuple[str, str], rows: Mapping[str, str]) -> str:
    """Markdown, as TensorBoard shows it."""
    lines = [heads, ("---", "---"), *rows.items()]
    return "\n".join(f"| {name} | {value.replace('|', ' ')} |" for name, value in lines)
