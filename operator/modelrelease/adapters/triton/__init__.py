"""A revision's Triton: is it ready, is it the model that was built, and does it answer as it should."""

from modelrelease.adapters.triton.golden import GoldenAnswers, GoldenProber
from modelrelease.adapters.triton.prober import TritonProber

__all__ = ["GoldenAnswers", "GoldenProber", "TritonProber"]
