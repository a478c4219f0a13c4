"""Too little memory, too little disk: one sentence, the right exit code, and nothing that looks whole."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_builder.errors import BadData, OutOfMemory, StorageError
from model_builder.trouble import translated
from tests.model_builder.conftest import QUANTIZE, TRAIN, spec

LIMITED = (
    "import resource, sys\n"
    "limit = int(sys.argv[1]) * 2**20\n"
    "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
    "from model_builder.cli import main\n"
    "sys.exit(main(sys.argv[2:]))\n"
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_a_failed_allocation_is_out_of_memory(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="raise the memory limit"), translated(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        RuntimeError("Error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_as_one(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is full") as caught, translated(tmp_path):
        raise error
    assert caught.value.reason == "DiskFull"


@pytest.mark.parametrize("error", [ValueError("x"), BadData("not out of memory, but bad"), OSError(errno.EACCES, "x")])
def test_anything_else_is_left_as_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, translated(tmp_path):
        raise error
    assert caught.value is error


def run(command: list[object]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([sys.executable, *map(str, command)], check=False, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    (tmp_path / "spec.json").write_text(json.dumps(spec(TRAIN, QUANTIZE)))
    return ["build", "--spec", tmp_path / "spec.json"]


@pytest.mark.deep
@pytest.mark.parametrize("megabytes", [300, 900, 2000])
def test_a_build_with_too_little_memory_says_so(megabytes: int, arguments: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, last = run(["-c", LIMITED, megabytes, *arguments, "--out", out, "--cache", tmp_path / "cache"])
    assert (code, last["error"]["reason"]) == (6, "OutOfMemory")
    assert not out.exists() or list(out.iterdir()) == []


@contextlib.contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.deep
@pytest.mark.parametrize("kilobytes", [40, 700, 1500, 2000])
def test_a_build_on_a_full_disk_says_so(kilobytes: int, arguments: list[object], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=kilobytes) as disk:
        out = disk / "out"
        code, last = run(["-m", "model_builder", *arguments, "--out", out, "--cache", tmp_path / "cache"])
        assert (code, last["error"]["reason"]) == (5, "DiskFull")
        assert list(out.iterdir()) == []


@pytest.mark.deep
def test_a_full_cache_costs_no_build(arguments: list[object], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=200) as disk:
        code, last = run(["-m", "model_builder", *arguments, "--out", tmp_path / "out", "--cache", disk / "cache"])
        assert code == 0
        assert last["digest"].startswith("sha256:")
