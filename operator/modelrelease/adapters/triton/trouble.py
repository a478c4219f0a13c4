"""How the steps of a probe say that something is wrong."""

from __future__ import annotations

from modelrelease.domain.problem import Problem


class Trouble(Exception):  # noqa: N818 - carries a problem out of the probe, never leaves this package
    """The probe ends here. `fatal` ends the attempt: the same model would answer the same again."""

    def __init__(self, *, reason: str, message: str, fatal: bool = False, waiting: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(reason=reason, message=message, fatal=fatal, waiting=waiting)
