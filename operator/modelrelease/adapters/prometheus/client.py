"""Raw samples from Prometheus' query endpoint, and the numbers of queries that people wrote.

Of counters only range selectors are asked for, and the arithmetic is our own: `rate` and
`increase` extrapolate to the edges of the window and answer with fractions of requests.
Whatever has Prometheus' query API will do: Thanos, Mimir, a path prefix in the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp

from modelrelease.adapters.prometheus.access import Access
from modelrelease.adapters.prometheus.problems import MetricsError

TIMEOUT_SECONDS = 10.0
MOST_BYTES = 64 * 1024 * 1024
# Half the usual warm-up of a step: with clocks that far apart its counts are still of that step alone.
MOST_CLOCK_SECONDS = 30.0

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


class PrometheusClient:
    """Asks one Prometheus. Made anywhere, used and closed in one event loop.

    `access` is a folder of credentials (see `access.py`).
    """

    def __init__(self, url: str, *, access: Path | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._access = Access(access)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def series(self, query: str, *, at: datetime) -> tuple[Series, ...]:
        """Return the series of a range selector that ends at a moment; `check_numbers` tells whether they are counts.

        Raises:
            MetricsError: there is no answer, or none that can be used.

        """
        body = await self._post(query, at=at)
        # An answer may have millions of samples: other releases are served while it is read.
        return await asyncio.to_thread(self._parse, body)

    async def number(self, query: str, *, at: datetime) -> float:
        """Return the one number that a query gives at a moment.

        Raises:
            MetricsError: there is no answer, no number, more than one, or one that is not finite.

        """
        found = self._numbers(await self._post(query, at=at))
        if not found:
            raise MetricsError(
                reason="MetricsEmpty",
                message=f"Prometheus has nothing for {_line(query)}: correct it, or let it scrape what that asks for",
            )
        if len(found) > 1:
            raise MetricsError(
                reason="MetricsSeveral",
                message=f"{_line(query)} gives {len(found)} numbers, the first of {_line(str(found[0][0]))}: "
                "aggregate them to one, with sum() or max()",
            )
        (value,) = (number for _, number in found)
        if not math.isfinite(value):
            raise MetricsError(
                reason="MetricsNotANumber",
                message=f"{_line(query)} gives {value:g}: guard its division by zero, as with `> 0` after the divisor",
            )
        return value

    async def _post(self, query: str, *, at: datetime) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        credentials = self._access.credentials(encrypted=self._url.startswith("https:"))
        form = {"query": query, "time": f"{at.timestamp():.3f}"}
        try:
            # A redirect would lead to an address that nobody configured, and take the token along.
            async with self._session.post(
                f"{self._url}/api/v1/query",
                data=form,
                headers=credentials.headers,
                ssl=credentials.tls,
                allow_redirects=False,
            ) as answer:
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
            raise self._unreachable(error) from error
        if answer.status != 200:
            raise self._refused(answer.status, bytes(body))
        self._check_clock(answer.headers.get("Date"))
        return bytes(body)

    def _unreachable(self, error: Exception) -> MetricsError:
        fix = "start it, or correct the operator's --prometheus-url"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            fix = "put the CA that signed its certificate into ca.crt of the folder --prometheus-access"
        elif isinstance(error, aiohttp.ClientSSLError):
            fix = "look whether it speaks TLS there"
        elif self._url.startswith("https:") and not isinstance(error, aiohttp.ClientConnectorError):
            fix = "if it wants a client certificate, put tls.crt and tls.key into the folder --prometheus-access"
        return MetricsError(
            reason="MetricsUnreachable",
            message=f"Prometheus at {self._url} can't be reached ({_line(str(error))}): {fix}",
        )

    def _check_clock(self, date: str | None) -> None:
        """Raise if Prometheus' clock is not ours: counts of one step would be taken for those of another."""
        try:
            theirs = parsedate_to_datetime(date or "")
        except ValueError:
            return
        apart = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
        if abs(apart) > MOST_CLOCK_SECONDS:
            raise MetricsError(
                reason="MetricsClock",
                message=f"the clock of Prometheus at {self._url} is {abs(apart):.0f} s "
                f"{'behind' if apart > 0 else 'ahead of'} the operator's: let both keep time by NTP",
            )

    def _too_large(self) -> MetricsError:
        return MetricsError(
            reason="MetricsTooLarge",
            message=f"the answer of Prometheus at {self._url} is larger than {MOST_BYTES // 1024**2} MiB: "
            "scrape the gateway less often, or drop series that are scraped twice",
            smaller=True,
        )

    def _refused(self, status: int, body: bytes) -> MetricsError:
        said = _error(body) or "no message"
        fix = "look at its log"
        if status in (401, 403):
            fix = "give the operator a token or headers that it accepts, in the folder --prometheus-access"
        if 300 <= status < 400:
            fix = "correct the operator's --prometheus-url: redirects are not followed"
        return MetricsError(
            reason="MetricsRefused",
            message=f"Prometheus at {self._url} refused the query with HTTP {status} ({said}): {fix}",
            smaller=400 <= status < 500 and status not in (401, 403),
        )

    def _parse(self, body: bytes) -> tuple[Series, ...]:
        kind, result = self._result(body)
        with self._malformed():
            if kind != "matrix":
                raise ValueError("not a matrix of samples")
            return tuple(_series(entry) for entry in result if "values" in entry)

    def _numbers(self, body: bytes) -> list[tuple[Series, float]]:
        kind, result = self._result(body)
        with self._malformed():
            if kind == "scalar":
                return [(Series(labels={}, samples=()), float(result[1]))]
            if kind != "vector":
                raise ValueError(f"{kind} instead of numbers")
            entries = [(entry["metric"], entry["value"][1]) for entry in result if "value" in entry]
            return [(Series(labels=labels, samples=()), float(value)) for labels, value in entries]

    def _result(self, body: bytes) -> tuple[str, Any]:
        with self._malformed():
            answer = json.loads(body)
            if answer["status"] != "success":
                raise ValueError("no success")
            warnings = answer.get("warnings") or ()
            kind, result = str(answer["data"]["resultType"]), answer["data"]["result"]
        if warnings:
            # A query front end says so when some of its stores did not answer: counts would be too low.
            raise MetricsError(
                reason="MetricsIncomplete",
                message=f"Prometheus at {self._url} warns that its answer may lack data ({_line(str(warnings[0]))}): "
                "repair its storage, or ask one Prometheus that has all series",
            )
        return kind, result

    @contextlib.contextmanager
    def _malformed(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise MetricsError(
                reason="MetricsMalformed",
                message=f"the answer from {self._url} is not what Prometheus answers ({_line(str(error))}): "
                "the operator's --prometheus-url must be the address of a Prometheus-compatible query API",
            ) from error


def _series(entry: Mapping[str, Any]) -> Series:
    labels = {str(name): str(value) for name, value in entry["metric"].items()}
    return Series(labels=labels, samples=tuple((float(when), float(value)) for when, value in entry["values"]))


def check_numbers(series: Series) -> None:
    """Raise if a value is none that a counter can have.

    Raises:
        MetricsError: a value is negative or not finite.

    """
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
