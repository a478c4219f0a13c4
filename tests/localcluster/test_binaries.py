"""Where programs come from: the folder that was given, PATH, the cache, releases, the compiler; in that order."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from localcluster import pins
from localcluster.binaries import compiler, gateway_files, releases, search, toolset
from localcluster.errors import ClusterError
from localcluster.progress import Progress

_QUIET = Progress(quiet=True)
_PROGRAMS = {program.name: program for program in pins.PROGRAMS}


def _fake(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, an empty PATH, no release server; compiling writes fakes and is recorded in ``compiled``."""
    monkeypatch.setenv("MODELRELEASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path") + ":/usr/bin:/bin")
    monkeypatch.setattr(releases.Server, "reachable", lambda *_: False)

    def build(*, module: Path, programs: Sequence[pins.Program], target: Path, progress: Progress) -> None:
        with (tmp_path / "compiled").open("a") as log:
            log.write(" ".join(program.name for program in programs) + "\n")
        for program in programs:
            _fake(target, program.name, "compiled")

    monkeypatch.setattr(compiler, "build", build)
    monkeypatch.setattr(gateway_files, "make", lambda *, result, **_: result.write_text("[]"))
    return tmp_path


def _compiled(folder: Path) -> list[str]:
    log = folder / "compiled"
    return log.read_text().splitlines() if log.exists() else []


def test_everything_is_compiled_once_by_one_command(empty: Path) -> None:
    first = toolset.ensure(bin_dir=None, full=True, progress=_QUIET)
    assert set(first.programs) == set(_PROGRAMS)
    assert len(_compiled(empty)) == 1
    assert toolset.ensure(bin_dir=None, full=True, progress=_QUIET) == first
    assert len(_compiled(empty)) == 1


def test_the_control_plane_alone_compiles_less(empty: Path) -> None:
    found = toolset.ensure(bin_dir=None, full=False, progress=_QUIET)
    assert "kube-apiserver" in found.programs
    assert "kubelet" not in found.programs
    toolset.ensure(bin_dir=None, full=True, progress=_QUIET)
    assert "kubelet" in _compiled(empty)[1]
    assert "kube-apiserver" not in _compiled(empty)[1]


def test_a_given_folder_wins_over_path_and_path_over_the_cache(empty: Path) -> None:
    given = _fake(empty / "given", "etcd", "whatever")
    _fake(empty / "path", "etcd", "3.7.0")
    _fake(empty / "path", "prometheus", "prometheus, version 3.5.0")
    found = toolset.ensure(bin_dir=empty / "given", full=True, progress=_QUIET).programs
    assert found["etcd"] == given
    assert found["prometheus"] == empty / "path" / "prometheus"
    assert "prometheus" not in _compiled(empty)[0]


def test_old_programs_on_path_are_passed_over(empty: Path) -> None:
    _fake(empty / "path", "kubectl", "Client Version: v1.29.3")
    _fake(empty / "path", "prometheus", "prometheus, version 2.42.0")
    assert search.on_path(wanted=pins.PROGRAMS) == {}


def test_kubernetes_of_mixed_versions_is_passed_over(empty: Path) -> None:
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    for name in names:
        _fake(empty / "path", name, "Kubernetes v1.37.1")
    assert set(search.on_path(wanted=pins.PROGRAMS)) == set(names)
    _fake(empty / "path", "kubelet", "Kubernetes v1.36.0")
    assert search.on_path(wanted=pins.PROGRAMS) == {}


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="is not a folder"):
        search.given(folder=tmp_path / "none", wanted=pins.PROGRAMS)


def test_the_key_changes_with_the_toolchain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = toolset.key()
    monkeypatch.setattr(pins, "BUILD_TAGS", ("other",))
    assert toolset.key() != before
    (tmp_path / "go.mod").write_text("module x\n")
    monkeypatch.setattr(toolset, "MODULE", tmp_path)
    other = toolset.key()
    (tmp_path / "go.mod").write_text("module y\n")
    assert toolset.key() != other


def test_without_compiler_and_releases_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(ClusterError, match=r"install Go 1\.21 or newer, or give a folder"):
        compiler.build(module=tmp_path, programs=pins.PROGRAMS, target=tmp_path, progress=_QUIET)


def test_a_build_that_fails_says_what_the_compiler_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n[ $1 = list ] && { echo a; echo b; exit 0; }\necho 'missing go.sum entry' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda *_, **__: str(go))
    (tmp_path / "bin").mkdir()
    with pytest.raises(ClusterError, match=r"go build failed: missing go\.sum entry"):
        compiler.build(module=tmp_path, programs=pins.PROGRAMS, target=tmp_path / "bin", progress=_QUIET)
    assert not list((tmp_path / "bin").iterdir())


@pytest.mark.parametrize(("name", "built"), [("etcd", "server"), ("kubelet", "kubelet"), ("coredns", "coredns")])
def test_the_file_that_go_writes_is_found(name: str, built: str) -> None:
    assert _PROGRAMS[name].built_name == built
