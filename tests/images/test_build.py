"""What is built, what is kept, and what makes it be built again."""

import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localcluster.errors import ClusterError
from localcluster.images import NAMES, build, build_all, recipes, reference, tools
from localcluster.images.build import find
from localcluster.images.cache import Cache
from localcluster.images.recipes import RECIPES, REPOSITORY, Built, key
from localcluster.progress import wait_until

needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="layers are compressed with zstd")


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELRELEASE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def binaries(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "envoy-gateway").write_bytes(b"first")
    return folder


@needs_zstd
def test_image_is_built_once_and_again_when_its_content_changes(binaries: Path) -> None:
    said: list[str] = []
    first = build("envoy-gateway", progress=said.append, binaries=binaries)
    assert build("envoy-gateway", progress=said.append, binaries=binaries) == first
    assert len(said) == 1
    (binaries / "envoy-gateway").write_bytes(b"second")
    assert find("envoy-gateway", binaries=binaries) is None
    second = build("envoy-gateway", progress=said.append, binaries=binaries)
    assert second != first
    assert find("envoy-gateway", binaries=binaries) == second
    assert len(said) == 2


@needs_zstd
def test_several_are_built_in_one_go(binaries: Path) -> None:
    archives = build_all(["sandbox", "envoy-gateway"], progress=lambda _: None, binaries=binaries)
    assert list(archives) == ["sandbox", "envoy-gateway"]
    assert all(archive.is_file() for archive in archives.values())


def test_unknown_image_and_missing_binary_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no image 'operators'; choose from"):
        build("operators", progress=lambda _: None)
    with pytest.raises(ClusterError, match="binary 'envoy-gateway'"):
        build("envoy-gateway", progress=lambda _: None, binaries=tmp_path)


def test_two_archives_of_an_image_are_kept_and_a_failed_build_leaves_none(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path)
    other = cache.get(name="envoy-gateway", key="0" * 16, make=lambda path: path.touch())
    for age, number in ((3, "1"), (2, "2"), (1, "3")):
        made = cache.get(name="envoy", key=number * 16, make=lambda path: path.touch())
        os.utime(made, (1_000_000 - age, 1_000_000 - age))

    def fail(path: Path) -> None:
        path.touch()
        raise ClusterError("no")

    with pytest.raises(ClusterError):
        cache.get(name="envoy", key="4" * 16, make=fail)
    assert [path.name for path in cache.present("envoy")] == [f"envoy-{'3' * 16}.tar", f"envoy-{'2' * 16}.tar"]
    assert cache.present("envoy-gateway") == [other]


def test_every_target_and_input_of_a_recipe_exists() -> None:
    for name, recipe in RECIPES.items():
        if isinstance(recipe, Built):
            assert f" AS {name}\n" in (REPOSITORY / recipe.file).read_text()
            assert all((REPOSITORY / path).exists() for path in recipe.inputs)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if isinstance(recipe, Built)])
def test_recipe_names_all_that_its_target_copies(name: str) -> None:
    """Else a change of it would not build the image anew."""
    recipe = RECIPES[name]
    assert isinstance(recipe, Built)
    stages = re.split(r"^FROM .* AS ", (REPOSITORY / recipe.file).read_text(), flags=re.MULTILINE)
    [stage] = [stage for stage in stages if stage.startswith(f"{name}\n")]
    copied = {path for line in re.findall(r"^COPY (.*) \S+$", stage, re.MULTILINE) for path in line.split()}
    copied -= {path for path in copied if path.startswith("--")}
    assert copied
    assert all(any(path == known or path.startswith(f"{known}/") for known in recipe.inputs) for path in copied)


def test_context_is_the_same_for_every_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Built(file="Dockerfile", inputs=("code", "requirements"), arguments={})
    seen = []
    for clone, when, mode in (("a", 1_000_000, 0o600), ("b", 2_000_000, 0o664)):
        for name in ("Dockerfile", "requirements/installer.txt", "requirements/install.sh", "code/deep/module.py"):
            path = tmp_path / clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            path.chmod(mode | (0o100 if path.suffix == ".sh" else 0))
            os.utime(path, (when, when))
        (tmp_path / clone / "code" / "__pycache__").mkdir()
        (tmp_path / clone / "code" / "__pycache__" / "module.pyc").touch()
        (tmp_path / clone / "unrelated").touch()
        monkeypatch.setattr(recipes, "REPOSITORY", tmp_path / clone)
        with recipes.context(recipe) as folder:
            stats = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*")}
            seen.append({name: (stat.st_mode & 0o777, stat.st_mtime) for name, stat in stats.items()})
    assert seen[0] == seen[1]
    assert {name for name in seen[0] if "." in name} == {
        "code/deep/module.py",
        "requirements/installer.txt",
        "requirements/install.sh",
    }
    assert [name for name, (mode, _) in seen[0].items() if mode & 0o111 and "." in name] == ["requirements/install.sh"]


def test_key_does_not_depend_on_where_binaries_lie(tmp_path: Path) -> None:
    keys = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "envoy-gateway").write_bytes(b"same")
        keys.add(key(name="envoy-gateway", binaries=folder))
    assert len(keys) == 1


def test_names_are_those_that_manifests_use() -> None:
    assert set(NAMES) == {"operator", "builder", "puller", "triton", "envoy", "envoy-gateway", "sandbox"}
    assert reference("operator") == "localhost/modelrelease/operator:dev"


def test_failed_program_is_quoted_with_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(ClusterError, match=r"`sh` ended with code 3; .*\nfor this reason"),
        tools.running(["sh", "-c", "echo for this reason; exit 3"], log=log),
    ):
        pass


def test_an_interrupt_ends_what_other_threads_run_and_lets_nothing_more_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_INTERRUPTED", threading.Event())
    log = tmp_path / "log"

    def run(text: str) -> None:
        with tools.running(["sh", "-c", f"echo {text}; exec sleep 600"], log=log):
            pass

    with ThreadPoolExecutor(max_workers=1) as pool:
        made = pool.submit(run, "begun")
        wait_until(lambda: log.exists() and "begun" in log.read_text(), what="the program to begin", timeout=30)
        tools.interrupt()
        with pytest.raises(ClusterError, match="ended with code -9"):
            made.result(timeout=30)
    with pytest.raises(ClusterError, match="interrupted"):
        run("again")
    assert "again" not in log.read_text()


def test_missing_program_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match="apt-get install no-such-program"),
        tools.running(["no-such-program"], log=tmp_path / "log"),
    ):
        pass
