"""The sockets that listen on the host's loopback address, on ports that stay the same as long as they are free."""

import socket
from collections.abc import Mapping

from localcluster import parts

_BACKLOG = 1024


def names(*, size: str) -> tuple[str, ...]:
    """Return the doors that a cluster of this size has."""
    return ("api",) if size == parts.CONTROL_PLANE else ("api", "gateway", "prometheus")


def listen(*, size: str, wanted: Mapping[str, int]) -> dict[str, socket.socket]:
    """Open the doors, each on the port it had before where that is still free."""
    return {name: _listen(wanted.get(name, 0)) for name in names(size=size)}


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        if port == 0:
            raise
        listener.close()
        return _listen(0)
    listener.listen(_BACKLOG)
    return listener
