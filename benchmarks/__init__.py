"""Measures what docs/benchmarks.md claims, on local clusters of its own: ``python -m benchmarks``."""
