"""The page about shadow and prober says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from modelrelease.adapters.gateway.capabilities import envoy_gateway_mirror
from modelrelease.adapters.prometheus.presets import saturation
from modelrelease.adapters.triton import connection, golden, golden_set
from modelrelease.domain.observed import Protocol
from modelrelease.runtime.golden import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "shadow.md").read_text()
TRITON = ROOT / "operator" / "modelrelease" / "adapters" / "triton"


def test_every_reason_of_the_prober_is_on_the_page_and_no_other() -> None:
    sources = [TRITON / name for name in ("carried.py", "asking.py", "connection.py")]
    given = {reason for source in sources for reason in re.findall(r'reason="(\w+)"', source.read_text())}
    told = set(re.findall(r"`((?:GoldenSet|Triton|Model|Other)[A-Z]\w+)`", PAGE))
    assert given == told


def test_the_names_of_the_clusters_are_right() -> None:
    for protocol in Protocol:
        assert f"`{envoy_gateway_mirror('NS', 'NAME', protocol)}`" in PAGE


def test_the_numbers_are_those_of_the_code() -> None:
    said = {
        f"`{golden_set.PARAMETER}`",
        f"at most {golden_set.MOST_CHARACTERS // 1024} KiB",
        f"no answer in {connection.DEADLINE_SECONDS:g} s, twice",
        f"longer than {PATIENCE_SECONDS:g} s",
        f"ends after {golden.MOST_SECONDS:g} s",
        f"{saturation.MOST_COPIES} or more copies",
    }
    assert (saturation.SCRAPES, saturation.MOST_TIMES) == (3, 10), "the page says three scrapes and ten times"
    assert {text for text in said if text not in " ".join(PAGE.split())} == set()
