"""The runbook explains every reason that a person can meet, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from model_builder import errors

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SOURCES = "\n".join(path.read_text() for path in (ROOT / "operator" / "modelrelease").rglob("*.py"))

# Written without `reason=` before them.
_OTHERS = {"InvalidSpec", "InvalidStatus", "PodFailed", "AnalysisFailed", "BudgetExceeded", "GoldenCompareUnfit"}
_STORE = {"StoreUnreachable", "StoreDenied", "ArtifactMissing", "DiskFull", "CertificateUntrusted", "CaBundleMissing"}
_TRUST = {"SignatureMissing", "SignatureMismatch", "KeyMissing"}


def told() -> set[str]:
    """Return the words that the runbook gives as reasons: those in its tables' first column, and its last list."""
    _, _, part = RUNBOOK.partition("## Reasons")
    cells = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    _, _, rest = part.partition("### Nothing is wrong")
    return set(re.findall(r"`([A-Z]\w+)`", " ".join([*cells, rest])))


def known() -> set[str]:
    """Return the reasons that operator and builder give."""
    built = {cls.__name__ for cls in errors.BuildError.__subclasses__()} - {"StorageError", "Untrusted"}
    return set(re.findall(r'reason="([A-Z]\w+)"', SOURCES)) | _OTHERS | _STORE | _TRUST | built


def test_every_reason_is_explained() -> None:
    assert known() - told() == set()


def test_no_reason_is_explained_that_nobody_gives() -> None:
    assert told() - known() == set()


def test_reasons_that_are_named_here_are_in_the_code() -> None:
    builder = "\n".join(path.read_text() for path in (ROOT / "model_builder").rglob("*.py"))
    assert all(f'"{word}"' in SOURCES + builder for word in _OTHERS | _STORE | _TRUST)


def test_every_link_leads_to_a_heading() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in RUNBOOK.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= headings
