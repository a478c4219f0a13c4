"""What can go wrong between the operator and the API server.

    ApiError
    ├── NotFound            the object is not there
    ├── KindAbsent          the kind is not there: its CRD is not installed
    ├── Conflict            it changed since we looked, or others own what we want to write
    ├── Invalid             the API server refuses the content
    ├── Forbidden           not allowed
    │   └── QuotaExceeded   allowed, but a ResourceQuota is used up
    ├── TooManyRequests     slow down; says for how long
    └── Unavailable         no answer, or a server error: nothing is known of the outcome

`adapters.kube` raises these and nothing else. The last two, and Conflict, are worth
another try as they are; the others need a person or a changed cluster.
"""

from __future__ import annotations


class ApiError(Exception):
    """The API server did not do what was asked; the message says what and why."""


class NotFound(ApiError):  # noqa: N818 - named for what happened, as are all below
    """The object does not exist."""


class KindAbsent(ApiError):  # noqa: N818
    """The API server does not know the kind."""


class Conflict(ApiError):  # noqa: N818
    """The object is not the one that the caller decided on."""


class Invalid(ApiError):  # noqa: N818
    """The API server refused the content of the object."""


class Forbidden(ApiError):  # noqa: N818
    """The operator may not do this."""


class QuotaExceeded(Forbidden):
    """A ResourceQuota leaves no room for the object."""


class TooManyRequests(ApiError):  # noqa: N818
    """The API server asks for patience.

    Attributes:
        retry_after: seconds to wait before the next try.
    """

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ApiError):  # noqa: N818
    """There was no usable answer; the request may or may not have been carried out."""
