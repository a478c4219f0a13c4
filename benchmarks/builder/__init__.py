"""Measures what the model builder promises: how good, small and fast, what its gates catch, and how long it takes."""
