"""What waits in a listening socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pidsup.linux.sockdiag import Queue, queue_of
from pidsup.linux.sockets import Options, open_abstract, open_inet

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
NAME = f"pidsup-sockdiag-{os.getpid()}"


@pytest.fixture
def open_ones() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(open_ones: ExitStack, server: socket.socket, times: int) -> None:
    for _ in range(times):
        client = open_ones.enter_context(socket.socket(server.family, server.type))
        client.connect(server.getsockname())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_that_wait_are_counted(open_ones: ExitStack, host: str) -> None:
    """And the limit is that of the kernel, net.core.somaxconn, where that is lower."""
    server = open_ones.enter_context(open_inet(host, 0, Options(backlog=7)))
    assert queue_of(server) == Queue(0, 7)
    connect(open_ones, server, 3)
    assert queue_of(server) == Queue(3, 7)
    server.accept()[0].close()
    assert queue_of(server) == Queue(2, 7)


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_those_of_unix_sockets_too(open_ones: ExitStack, kind: socket.SocketKind) -> None:
    """The kernel is asked by netlink, which takes the answer along."""
    server = open_ones.enter_context(open_abstract(NAME, Options(kind=kind, backlog=7)))
    assert queue_of(server) == Queue(0, 7)
    connect(open_ones, server, 3)
    assert queue_of(server) == Queue(3, 7)
    server.accept()[0].close()
    assert queue_of(server) == Queue(2, 7)


def test_datagrams_are_measured_in_bytes(open_ones: ExitStack) -> None:
    """With the kernel's overhead, in the unit of the limit."""
    server = open_ones.enter_context(open_inet("127.0.0.1", 0, Options(kind=DGRAM)))
    limit = server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert queue_of(server) == Queue(0, limit)
    with socket.socket(socket.AF_INET, DGRAM) as client:
        client.sendto(b"x" * 1000, server.getsockname())
    waiting = queue_of(server)
    assert waiting.limit == limit
    assert waiting.length is not None
    assert 1000 <= waiting.length < 5000


def test_of_unix_datagrams_the_kernel_does_not_tell(open_ones: ExitStack) -> None:
    server = open_ones.enter_context(open_abstract(NAME, Options(kind=DGRAM)))
    assert queue_of(server) == Queue(None, 0)
