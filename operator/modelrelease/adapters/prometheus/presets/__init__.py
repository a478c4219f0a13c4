"""What each source of metrics counts, and what of it is a request, a failure, a latency."""

from modelrelease.adapters.prometheus.presets.base import Preset, Question, Selector
from modelrelease.adapters.prometheus.presets.envoy import Envoy

__all__ = ["Envoy", "Preset", "Question", "Selector"]
