"""`docs/api.md` says what the CRD says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_api", ROOT / "docs" / "generate_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0, "run python docs/generate_api.py"


def test_check_notices_a_change(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "api.md"
    stale.write_text(generator.PAGE.read_text().replace("percent", "per cent", 1))
    monkeypatch.setattr(generator, "PAGE", stale)
    assert generator.main(["--check"]) == 1
    assert "run python docs/generate_api.py" in capsys.readouterr().err


def test_page_names_every_field_and_rule(generator: ModuleType) -> None:
    page = generator.PAGE.read_text()
    crd = yaml.safe_load(generator.CRD.read_text())
    waiting = [crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]]
    waiting[0]["properties"] = {name: waiting[0]["properties"][name] for name in ("spec", "status")}
    while waiting:
        node = waiting.pop()
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"].replace("|", "\\|") in page
        for name, child in node.get("properties", {}).items():
            assert f"`{name}`" in page
            waiting.append(child)
        waiting += [node[key] for key in ("items", "additionalProperties") if key in node]
