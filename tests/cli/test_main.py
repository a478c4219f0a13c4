"""The command line without a cluster: arguments, exit codes, output, and how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from modelrelease.cli import cluster as cluster_module
from modelrelease.cli.errors import CommandError, NotFound
from modelrelease.cli.main import main
from modelrelease.domain.commands import Verb, latch_id

from tests.api.case import ROOT, SAMPLES
from tests.cli import releases
from tests.cli.releases import body


class FakeCluster:
    """One release in memory; an operator that takes commands up at once."""

    # They exist after a test as well: the thread that `watch` follows with may look once more.
    seen: ClassVar[list[Mapping[str, Any] | CommandError | None]] = []
    patches: ClassVar[list[Mapping[str, Any]]] = []

    def __init__(self, *, context: str | None, namespace: str | None) -> None:
        self.namespace = namespace

    def get(self, name: str) -> Mapping[str, Any]:
        first = self.seen[0]
        if isinstance(first, CommandError):
            raise first
        assert first is not None
        return first

    def patch(self, name: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        self.patches.append(patch)
        for key, value in patch.get("metadata", {}).get("annotations", {}).items():
            latch = latch_id(Verb(key.rsplit("/", 1)[1]), value)
            self.seen[0] = {**self.get(name), "status": {**self.get(name)["status"], "handled": [latch]}}
        return self.get(name)

    def follow(self, name: str) -> Iterator[Mapping[str, Any] | None]:
        for item in self.seen:
            if isinstance(item, CommandError):
                raise item
            yield item

    def try_apply(self, body: Mapping[str, Any]) -> str | None:
        return None


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeCluster]:
    monkeypatch.setattr(cluster_module, "Cluster", FakeCluster)
    monkeypatch.setattr(FakeCluster, "patches", [], raising=False)
    monkeypatch.setattr(FakeCluster, "seen", [body()], raising=False)
    return FakeCluster


def test_status_prints_the_picture(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "digits"]) == 0
    assert "approval of step 3" in capsys.readouterr().out


def test_status_as_json_has_the_whole_status(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "digits", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["version"] == "2026.11.2"
    assert answer["status"]["candidate"]["weight"]["accepted"] == 25
    assert {item["what"] for item in answer["next"]} == {"next analysis"}


@pytest.mark.parametrize("verb", ["approve", "promote", "abort"])
def test_a_verb_is_written_and_taken_up(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, "digits", "-n", "vision"]) == 0
    ((key, value),) = fake.patches[0]["metadata"]["annotations"].items()
    assert key == f"modelrelease.dev/{verb}"
    assert value.startswith("9876543210/1/")
    printed = capsys.readouterr()
    assert "digits 2026.11.1" in printed.out
    assert printed.err == ""


def test_two_orders_differ(fake: type[FakeCluster]) -> None:
    main(["abort", "digits"])
    main(["abort", "digits"])
    first, second = (patch["metadata"]["annotations"]["modelrelease.dev/abort"] for patch in fake.patches)
    assert first != second


def test_a_refusal_is_one_sentence_and_exit_code_1(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retry", "digits"]) == 1
    assert fake.patches == []
    assert capsys.readouterr().err == "modelrelease: nothing of digits failed: there is nothing to retry\n"


def test_pause_edits_the_spec(fake: type[FakeCluster]) -> None:
    assert main(["pause", "digits"]) == 0
    assert fake.patches == [{"spec": {"suspend": True}}]
    assert main(["resume", "digits"]) == 1


def test_no_release_is_exit_code_2(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    fake.seen = [NotFound("there is no ModelRelease digits in namespace vision")]
    assert main(["status", "digits"]) == 2
    assert "there is no ModelRelease digits" in capsys.readouterr().err


def test_a_status_that_can_not_be_read_is_a_sentence(
    fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.seen = [body(status__candidate__stage="Teleport")]
    assert main(["status", "digits"]) == 2
    assert "status.candidate.stage" in capsys.readouterr().err


def raw(name: str) -> dict[str, Any]:
    """A release of `releases` as the API would give it."""
    from modelrelease.domain.codec import encode

    shown = getattr(releases, name)()
    return body() | {"status": encode(shown.status)}


@pytest.mark.parametrize(("end", "code"), [("at_rest", 0), ("rolled_back", 1)])
def test_watch_ends_with_the_release(
    fake: type[FakeCluster], capsys: pytest.CaptureFixture[str], end: str, code: int
) -> None:
    fake.seen = [body(), raw(end)]
    assert main(["watch", "digits"]) == code
    assert getattr(releases, end)().status.phase in capsys.readouterr().out


def test_watch_tells_that_the_release_was_deleted(fake: type[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    fake.seen = [body(), None]
    assert main(["watch", "digits"]) == 2
    assert "digits was deleted while it was watched" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["status"], ["explode", "digits"], ["lint"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_lint_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [str(path) for path in sorted(SAMPLES.glob("*.yaml"))]
    assert main(["lint", "--offline", "-f", good[0], "-f", good[1]]) == 0
    assert capsys.readouterr().out == "no findings\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(good[0]).read_text().replace("steps:", "stpes:"))
    assert main(["lint", "--offline", "-f", str(bad)]) == 1
    assert "no such field; did you mean steps?" in capsys.readouterr().out
    assert main(["lint", "--offline", "-f", str(tmp_path / "none.yaml")]) == 2


def test_lint_without_a_cluster_says_that_it_did_not_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    assert main(["lint", "-f", str(SAMPLES / "digits-minimal.yaml")]) == 0
    assert "not checked against an API server" in capsys.readouterr().err


def test_help_starts_without_the_slow_imports() -> None:
    """The client, rich and numpy take most of a second: a refusal of the arguments must not wait for them."""
    script = (
        "import sys; from modelrelease.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('kubernetes', 'rich', 'numpy', 'yaml') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_as_a_plugin_it_calls_itself_by_the_plugin_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-modelrelease"])
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "usage: kubectl modelrelease" in capsys.readouterr().out
