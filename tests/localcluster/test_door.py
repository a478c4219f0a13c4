"""The door forwards bytes: all of them, both ways, until both sides have said that they are done."""

import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from localcluster import namespaces
from localcluster.progress import wait_until


class _Echo(socketserver.StreamRequestHandler):
    """Answers with what it was sent, only once the client has said that it is done."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    """The port of an echo server."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def doors(behind: int) -> Iterator[tuple[int, int]]:
    """The ports of two doors: one leads to the echo server, one to where nobody listens."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as good, socket.create_server(("127.0.0.1", 0)) as bad:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            nowhere = unused.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "localcluster.inside.door"),
                f"{good.fileno()}=127.0.0.1:{behind}",
                f"{bad.fileno()}=127.0.0.1:{nowhere}",
            ],
            env={**os.environ, **namespaces.python_environment()},
            pass_fds=(good.fileno(), bad.fileno()),
        )
        ports = good.getsockname()[1], bad.getsockname()[1]
        wait_until(lambda: _say(ports[0], b"x") == b"x", what="the door", timeout=20)
        yield ports
        process.kill()
        process.wait()


def _say(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        sender.join()
        return answer


def test_every_byte_arrives_and_half_closed_connections_work(doors: tuple[int, int]) -> None:
    data = os.urandom(20_000_000)
    assert _say(doors[0], data) == data


@pytest.mark.deep
def test_hundreds_of_connections_at_once_lose_nothing(doors: tuple[int, int]) -> None:
    began, count = time.monotonic(), 1000
    messages = [f"message {number}".encode() for number in range(count)]
    with ThreadPoolExecutor(max_workers=32) as pool:
        assert list(pool.map(lambda data: _say(doors[0], data), messages)) == messages
    assert time.monotonic() - began < 20


def test_where_nobody_listens_the_connection_ends_at_once(doors: tuple[int, int]) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", doors[1]), timeout=10) as connection:
        assert connection.recv(1) == b""
    assert time.monotonic() - began < 5
