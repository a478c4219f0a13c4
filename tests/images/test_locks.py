"""The lock files."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))


def packages(name: str) -> dict[str, str]:
    pinned = re.findall(r"^([a-z0-9.-]+)==(\S+)", (REQUIREMENTS / name).read_text(), re.MULTILINE)
    return dict(pinned)


def test_all_that_the_images_need_is_locked() -> None:
    expected = {"builder", "dev", "envoy", "installer", "operator", "puller", "triton-python", "triton-server"}
    assert {lock.stem for lock in LOCKS} == expected


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_is_pinned_and_hashed_and_no_host_is_named(lock: Path) -> None:
    text = lock.read_text()
    entry = r"[a-z0-9.-]+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
    assert re.fullmatch(f"(?:{entry})+", text)


def test_operator_and_puller_stay_small() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "scikit-learn", "scipy"}
    assert "kopf" in packages("operator.txt")
    assert not heavy & set(packages("operator.txt"))
    assert "s3fs" in packages("puller.txt")
    assert not (heavy | {"kubernetes", "numpy"}) & set(packages("puller.txt"))


@pytest.mark.parametrize("name", ["operator.txt", "puller.txt", "builder.txt"])
def test_images_get_the_versions_that_are_tested(name: str) -> None:
    assert packages(name).items() <= packages("dev.txt").items()


def test_python_backend_gets_the_numpy_that_it_can_read() -> None:
    assert packages("triton-python.txt")["numpy"].startswith("1.")
