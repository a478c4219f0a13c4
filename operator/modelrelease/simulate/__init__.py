"""Releases offline: synthetic or recorded traffic through the very analysis and the very decisions."""

from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.traffic import Counts, Traffic, increments

__all__ = ["Counts", "Scenario", "Traffic", "increments"]
