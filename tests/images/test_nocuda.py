"""PyTorch without the CUDA libraries."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.images.nocuda import elf, stand_in
from localcluster.images.nocuda.select import select

BUILDER_LOCK = Path(__file__).resolve().parents[2] / "requirements" / "builder.txt"
# Exits with status 7: the machine code of exit_group(7).
EXIT_7 = bytes.fromhex("b8e7000000 bf07000000 0f05")


def names(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))


def called(library: Path, function: str) -> subprocess.CompletedProcess[str]:
    program = f"import ctypes; ctypes.CDLL({str(library)!r}).{function}()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_written_library_can_be_read_loaded_and_called(tmp_path: Path) -> None:
    path = tmp_path / "libprobe.so"
    functions = [f"probe_{number}" for number in range(1000)]
    path.write_bytes(elf.write(soname="libprobe.so", functions=functions, code=EXIT_7))
    library = ctypes.CDLL(str(path))
    assert all(hasattr(library, name) for name in functions)
    assert not hasattr(library, "probe_1000")
    assert called(path, "probe_999").returncode == 7


def test_empty_stand_in_leads_to_the_library_beside_it(tmp_path: Path) -> None:
    (tmp_path / "libcommon.so").write_bytes(elf.write(soname="libcommon.so", functions=["probe"], code=EXIT_7))
    (tmp_path / "libempty.so").write_bytes(elf.write(soname="libempty.so", needed="libcommon.so"))
    assert called(tmp_path / "libempty.so", "probe").returncode == 7


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler to make a library to read")
def test_missing_library_is_replaced_and_a_call_into_it_says_why_it_fails(tmp_path: Path) -> None:
    libraries = tmp_path / "torch" / "lib"
    libraries.mkdir(parents=True)
    compiled(tmp_path, "libnowhere.so.13", "void cublasCreate(void) {}")
    source = "void cublasCreate(void); double cos(double); double used(double x) { return cos(x); }"
    source += "void fail(void) { cublasCreate(); }"
    entry = compiled(tmp_path, "libtorch_python.so", source, "-lm", "-l:libnowhere.so.13")
    shutil.copy(entry, libraries)
    assert elf.read(entry).needed >= {"libnowhere.so.13", "libm.so.6"}
    assert "cublasCreate" in elf.read(entry).imports
    assert elf.read(entry).exports >= {"used", "fail"}

    assert stand_in.complete(libraries) == ["libnowhere.so.13"]

    loaded = ctypes.CDLL(str(libraries / entry.name))
    loaded.used.restype, loaded.used.argtypes = ctypes.c_double, [ctypes.c_double]
    assert loaded.used(0.0) == 1.0
    ended = called(libraries / entry.name, "fail")
    assert ended.returncode == 70
    assert "built with CUDA=no" in ended.stderr


def compiled(folder: Path, name: str, source: str, *libraries: str) -> Path:
    code = folder / "source.c"
    code.write_text(source)
    path = folder / name
    flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-Wl,-rpath,$ORIGIN", f"-L{folder}"]
    subprocess.run(["gcc", *flags, "-o", str(path), str(code), *libraries], check=True)
    return path


def test_nothing_is_written_where_nothing_is_missing(tmp_path: Path) -> None:
    libraries = tmp_path / "torch" / "lib"
    libraries.mkdir(parents=True)
    (libraries / "libtorch_python.so").write_bytes(elf.write(soname="libtorch_python.so"))
    assert stand_in.complete(libraries) == []
    assert [file.name for file in libraries.iterdir()] == ["libtorch_python.so"]


def test_selection_leaves_out_what_only_a_gpu_uses() -> None:
    lock = BUILDER_LOCK.read_text()
    selected = select(lock, torch=True)
    left_out = names(lock) - names(selected)
    assert left_out >= {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"}
    assert names(selected) >= {"torch", "onnx", "onnxruntime", "nvidia-cuda-runtime", "nvidia-cuda-cupti"}
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in left_out)
    assert set(re.findall(r"sha256:\w+", selected)) < set(re.findall(r"sha256:\w+", lock))


def test_selection_without_torch_leaves_the_rest() -> None:
    lock = BUILDER_LOCK.read_text()
    kept = {
        name for name in names(lock) if not name.startswith(("nvidia-", "cuda-")) and name not in ("triton", "torch")
    }
    assert names(select(lock, torch=False)) == kept
