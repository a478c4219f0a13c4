"""The candidate's Triton: is it ready, is it the model that was built, and does it answer sensibly."""

from modelrelease.adapters.triton.prober import TritonProber

__all__ = ["TritonProber"]
