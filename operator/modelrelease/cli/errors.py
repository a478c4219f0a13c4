"""What ends a command: one sentence and an exit code."""

from __future__ import annotations

OK = 0
NO = 1  # the answer is no: refused, failed, rolled back, findings
UNABLE = 2  # there is no answer: wrong usage, no cluster, no such release


class CommandError(Exception):
    """A command can not do what it was asked; the message says why and what helps."""

    code = UNABLE


class NotFound(CommandError):  # noqa: N818 - named for what it tells
    """There is no such release."""


class Refused(CommandError):  # noqa: N818 - named for what it tells
    """The verb does not apply to the release as it is now."""

    code = NO
