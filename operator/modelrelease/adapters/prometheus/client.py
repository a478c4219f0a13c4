"""Raw samples from Prometheus' query endpoint.

Only range selectors are asked for, and the arithmetic is our own: `rate` and `increase`
extrapolate to the edges of the window and answer with fractions of requests.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from modelrelease.domain.observed import Problem

TIMEOUT_SECONDS = 10.0
MOST_BYTES = 64 * 1024 * 1024

_CHUNK = 1024 * 1024
_SAID = 300  # how much of somebody else's message is repeated


@dataclass(frozen=True, kw_only=True)
class Series:
    """One time series: its labels and its samples as (unix seconds, value), oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        rest = ",".join(f'{k}="{v}"' for k, v in sorted(self.labels.items()) if k != "__name__")
        return f"{self.labels.get('__name__', '')}{{{rest}}}"


class MetricsError(Exception):
    """There is no usable answer; `problem` says why and what to do."""

    def __init__(self, *, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason=reason, message=message)


class PrometheusClient:
    """Asks one Prometheus. Made anywhere, used and closed in one event loop."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
        """Return the series of a range selector that ends at a moment.

        Raises:
            MetricsError: there is no answer, or none that can be used.

        """
        body = await self._post(query, at=at)
        # An answer may have millions of samples: other releases are served while it is read.
        return await asyncio.to_thread(self._parse, body)

    async def _post(self, query: str, *, at: datetime) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        form = {"query": query, "time": f"{at.timestamp():.3f}"}
        try:
            # A redirect would lead to an address that nobody configured.
            async with self._session.post(f"{self._url}/api/v1/query", data=form, allow_redirects=False) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise self._too_large()
        except TimeoutError:
            raise MetricsError(
                reason="MetricsUnreachable",
                message=f"Prometheus at {self._url} did not answer within {self._timeout.total:g} s: "
                "look whether it is overloaded, and whether a NetworkPolicy keeps the operator from it",
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise MetricsError(
                reason="MetricsUnreachable",
                message=f"Prometheus at {self._url} can't be reached ({_line(str(error))}): "
                "start it, or correct the operator's --prometheus-url",
            ) from error
        if answer.status != 200:
            raise self._refused(answer.status, bytes(body))
        return bytes(body)

    def _too_large(self) -> MetricsError:
        return MetricsError(
            reason="MetricsTooLarge",
            message=f"the answer of Prometheus at {self._url} is larger than {MOST_BYTES // 1024**2} MiB: "
            "scrape the gateway less often, or drop series that are scraped twice",
        )

    def _refused(self, status: int, body: bytes) -> MetricsError:
        said = _error(body) or "no message"
        fix = "give the operator an address that needs no login" if status in (401, 403) else "look at its log"
        if 300 <= status < 400:
            fix = "correct the operator's --prometheus-url: redirects are not followed"
        return MetricsError(
            reason="MetricsRefused",
            message=f"Prometheus at {self._url} refused the query with HTTP {status} ({said}): {fix}",
        )

    def _parse(self, body: bytes) -> tuple[Series, ...]:
        try:
            answer = json.loads(body)
            if answer["status"] != "success" or answer["data"]["resultType"] != "matrix":
                raise ValueError("not a matrix of samples")
            warnings = answer.get("warnings") or ()
            found = tuple(_series(entry) for entry in answer["data"]["result"] if "values" in entry)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MetricsError(
                reason="MetricsMalformed",
                message=f"the answer from {self._url} is not what Prometheus answers ({_line(str(error))}): "
                "the operator's --prometheus-url must be the address of a Prometheus-compatible query API",
            ) from error
        if warnings:
            # A query front end says so when some of its stores did not answer: counts would be too low.
            raise MetricsError(
                reason="MetricsIncomplete",
                message=f"Prometheus at {self._url} warns that its answer may lack data ({_line(str(warnings[0]))}): "
                "repair its storage, or ask one Prometheus that has all series",
            )
        for series in found:
            _check(series)
        return found


def _series(entry: Mapping[str, Any]) -> Series:
    labels = {str(name): str(value) for name, value in entry["metric"].items()}
    return Series(labels=labels, samples=tuple((float(when), float(value)) for when, value in entry["values"]))


def _check(series: Series) -> None:
    wrong = next((value for _, value in series.samples if not math.isfinite(value) or value < 0), None)
    if wrong is not None:
        raise MetricsError(
            reason="MetricsNotANumber",
            message=f"the count {_line(str(series))} has the value {wrong:g}: "
            "a counter is a number from 0 on; look at what exposes or relabels it",
        )


def _error(body: bytes) -> str:
    try:
        return _line(str(json.loads(body)["error"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return _line(body[:_SAID].decode(errors="replace"))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SAID else line[: _SAID - 1] + "…"
