"""Why there are no numbers: an error that carries the sentence for the status."""

from __future__ import annotations

from modelrelease.domain.problem import Problem


class MetricsError(Exception):
    """There is no usable answer; `problem` says why and what to do.

    `smaller` tells that a question for less may be answered.
    """

    def __init__(self, *, reason: str, message: str, smaller: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(reason=reason, message=message)
        self.smaller = smaller
