"""Bring a cluster up, see that it works, and take it down without leaving anything behind."""
