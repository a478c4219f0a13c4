"""Structured logs: one JSON object a line, with the release it is about as fields of its own.

Only names, reasons and sentences are logged; no object body, header or query answer ever is.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

_FIELDS = "fields"
_NOISY = {
    "aiohttp": logging.WARNING,
    "kopf": logging.WARNING,
    "kopf.objects": logging.ERROR,
    "kopf._core.reactor.observation": logging.ERROR,
}


def fields(**values: object) -> Mapping[str, Mapping[str, object]]:
    """Return the `extra` of a log call: `log.info("text", extra=fields(namespace=..., release=...))`."""
    return {_FIELDS: values}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """One readable line, for a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        text = super().format(record)
        return f"{text} [{extra}]" if extra else text


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    extra: Mapping[str, object] = getattr(record, _FIELDS, {})
    return extra


def configure(*, form: str, level: str, stream: TextIO | None = None) -> None:
    """Send everything to one stream in one form."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf reports each event that it hands over, each retry of a watch, and in its own words each kind that
    # is not installed; our own lines say what matters.
    for noisy, least in _NOISY.items():
        logging.getLogger(noisy).setLevel(max(least, logging.getLogger().level))
