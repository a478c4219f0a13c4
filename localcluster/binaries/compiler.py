"""Compile programs from the pinned Go module with one ``go build``, saying how far it is.

One command for all of them shares the packages that they have in common, which is most of the time. Go's own
build cache makes it resumable: what was compiled before an interruption is not compiled again.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from localcluster import pins
from localcluster.errors import ClusterError
from localcluster.progress import Progress

# Measured: processor-seconds for everything, from empty caches.
_PROCESSOR_SECONDS = 1330
_REPORT_EVERY_S = 10.0
# Linking happens at the end and prints nothing: count each program as so many packages.
_LINK_WEIGHT = 12


def build(*, module: Path, programs: Sequence[pins.Program], target: Path, progress: Progress) -> None:
    """Compile ``programs`` into the folder ``target``; each appears there only when it is whole."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        msg = (
            "no release server can be reached and there is no Go compiler to build the cluster's programs with: "
            "install Go 1.21 or newer, or give a folder that holds them with --bin-dir"
        )
        raise ClusterError(msg)
    packages = [program.package for program in programs]
    total = _count_packages(go=go, module=module, packages=packages)
    minutes = _PROCESSOR_SECONDS * len(programs) / len(pins.PROGRAMS) / (os.cpu_count() or 1) / 60
    progress.say(f"compiling {len(programs)} programs from {total} packages: up to {minutes:.0f} min, once")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as output:
        _compile(go=go, module=module, packages=packages, output=output, total=total, progress=progress)
        for program in programs:
            (Path(output) / program.built_name).rename(target / program.name)


def environment() -> dict[str, str]:
    """Return the environment of every Go command: static programs, and go.sum as the last word."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}


def _tags() -> str:
    return ",".join(pins.BUILD_TAGS)


def _count_packages(*, go: str, module: Path, packages: Sequence[str]) -> int:
    listed = _go(go, "list", "-deps", "-tags", _tags(), *packages, module=module)
    return len(listed.splitlines())


def _go(go: str, *arguments: str, module: Path) -> str:
    done = subprocess.run([go, *arguments], cwd=module, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"go {arguments[0]} failed in {module.name}: {done.stderr.strip()[-600:]}"
        raise ClusterError(msg)
    return done.stdout


def module_folder(*, module: Path, path: str) -> Path:
    """Return where the Go module ``path`` lies, downloading it when it is not there."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        msg = f"there is no Go compiler to get the files of {path} with: install Go 1.21 or newer"
        raise ClusterError(msg)
    _go(go, "mod", "download", path, module=module)
    return Path(_go(go, "list", "-m", "-f", "{{.Dir}}", path, module=module).strip())


def _compile(*, go: str, module: Path, packages: Sequence[str], output: str, total: int, progress: Progress) -> None:
    flags = "-s -w " + " ".join(
        f"-X k8s.io/component-base/version.{name}={value}"
        for name, value in (
            ("gitVersion", f"v{pins.KUBERNETES}"),
            ("gitMajor", pins.KUBERNETES.split(".")[0]),
            ("gitMinor", pins.KUBERNETES.split(".")[1]),
        )
    )
    command = [go, "build", "-v", "-tags", _tags(), "-ldflags", flags, "-o", f"{output}/", *packages]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=module, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        reader = threading.Thread(target=_collect, args=(process.stderr, lines), daemon=True)
        reader.start()
        try:
            _report(process=process, lines=lines, total=total + _LINK_WEIGHT * len(packages), progress=progress)
        except BaseException:
            process.kill()  # what it has compiled is kept
            raise
        finally:
            reader.join()
    if process.returncode != 0:
        msg = f"go build failed: {' / '.join(lines[-6:])}"
        raise ClusterError(msg)


def _collect(stream: Iterable[str], lines: list[str]) -> None:
    lines.extend(line.strip() for line in stream)


def _report(*, process: "subprocess.Popen[str]", lines: list[str], total: int, progress: Progress) -> None:
    """Say every few seconds how many packages the compiler has named, until it ends.

    Packages that it finds in its cache are not named: they are noticed as work that turns out not to be left.
    """
    began, last = time.monotonic(), 0
    while True:
        try:
            process.wait(timeout=_REPORT_EVERY_S)
        except subprocess.TimeoutExpired:
            done = len(lines)
            if done == last:
                progress.say(f"compiled {done} packages, linking programs")
            else:
                left = (time.monotonic() - began) / done * max(total - done, 0) / 60
                progress.say(f"compiled {done} of at most {total} packages, about {left:.0f} min left at most")
            last = done
        else:
            return
