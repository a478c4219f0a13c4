"""A lock file without the packages that only a GPU uses."""

import re

# The two that PyTorch calls on any machine: to look for a GPU, and in its profiler.
_KEPT = ("nvidia-cuda-runtime", "nvidia-cuda-cupti")
_LEFT_OUT = re.compile(r"(nvidia|cuda)-|triton==")
_REQUIREMENT = re.compile(r"^[a-z0-9].*\\\n(?:    --hash.*\n)+", re.MULTILINE)


def select(lock: str, *, torch: bool) -> str:
    """Return `lock` without CUDA packages, and without PyTorch if `torch` is false."""
    return "".join(entry for entry in _REQUIREMENT.findall(lock) if _wanted(entry, torch=torch))


def _wanted(entry: str, *, torch: bool) -> bool:
    if entry.startswith("torch=="):
        return torch
    return not _LEFT_OUT.match(entry) or (torch and entry.startswith(_KEPT))
