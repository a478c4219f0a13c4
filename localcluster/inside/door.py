"""The door from the host: accept on sockets that listen there, forward the bytes to addresses in here.

A listening socket belongs for good to the network namespace it was made in. ``up`` opens the sockets on the
host's 127.0.0.1 and process 1 inherits them, so one process accepts outside and connects inside, without a
cable between the two namespaces. Bytes pass untouched: HTTP, gRPC and TLS are the same to it.

    python -m localcluster.inside.door FD=HOST:PORT ...
"""

import asyncio
import contextlib
import socket
import struct
import sys
from functools import partial
from typing import cast

_BUFFER = 256 * 1024
_CONNECT_S = 10


class _Side(asyncio.Protocol):
    """One end of a forwarded connection; what it reads, its peer writes."""

    def __init__(self, *, peer: "_Side | None" = None) -> None:
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_BUFFER)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.peer is not None:
            self.peer.finish()
        return True  # keep our own direction open: half-closed connections are legal

    def finish(self) -> None:
        """Tell the program at this end that nothing more will come; close once both ends have said so."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.ended:
            self.transport.close()
            return
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None:
            if exc is None:
                self.peer.transport.close()
            else:
                _reset(self.peer.transport)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()


class _Outside(_Side):
    """The end that a client on the host connected to: it opens the inner end."""

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__()
        self._target = (host, port)
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: _Side(peer=self), *self._target)
        try:
            _, inner = await asyncio.wait_for(connecting, timeout=_CONNECT_S)
        except (OSError, TimeoutError):
            # A plain end, not a reset: nothing has been answered yet that it could cut short, and Python's own TLS
            # client mishandles a reset that comes before its handshake.
            if self.transport is not None:
                self.transport.abort()
            return
        if self.transport is None:
            if inner.transport is not None:
                _reset(inner.transport)
            return
        self.peer = inner
        self.transport.resume_reading()


def _reset(transport: asyncio.Transport) -> None:
    """End a connection so that the other side sees a failure: a plain end could be taken for the end of an answer."""
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _serve(doors: list[str]) -> None:
    loop = asyncio.get_running_loop()
    servers = []
    for door in doors:
        descriptor, _, target = door.partition("=")
        host, _, port = target.rpartition(":")
        listener = socket.socket(fileno=int(descriptor))
        listener.settimeout(0)
        accept = partial(_Outside, host=host, port=int(port))
        servers.append(await loop.create_server(accept, sock=listener, backlog=1024))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
