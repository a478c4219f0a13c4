"""What makes a build come out the same twice: one thread, exact kernels, and a state of chance for every pass."""

from __future__ import annotations

import hashlib
import random


def settle() -> None:
    """Let torch compute the same on any number of cores."""
    import torch

    # Sums depend on how they are cut over threads: one thread gives one digest on any number of cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)


def begin(*, seed: int, index: int) -> None:
    """Set one state of chance for a pass, whether the passes before it ran in this process or long ago.

    Args:
        seed: of the build.
        index: the pass's place in the recipe.
    """
    import numpy
    import torch

    own = int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4])
    random.seed(own)
    numpy.random.seed(own)
    torch.manual_seed(own)
