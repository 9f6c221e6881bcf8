"""What waits in a listening socket, and what was accepted from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pidsup.linux.sockdiag import Queue, in_use, queue_of
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


# --- connections


def check_use(server: socket.socket, address: tuple[str, int] | None = None) -> None:
    """Connect, accept and close, and have a look each time."""
    assert not in_use(server)
    with socket.socket(server.family, server.type) as client:
        client.connect(address or server.getsockname())
        assert not in_use(server), "it waits still"
        accepted = server.accept()[0]
        copy = accepted.dup()
        accepted.close()
        assert in_use(server)
    assert in_use(server), "who has it has not closed it"
    copy.close()
    assert not in_use(server)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_connection_is_seen_from_its_accept_to_its_last_close(
    open_ones: ExitStack, host: str
) -> None:
    server = open_ones.enter_context(open_inet(host, 0, Options()))
    near = "::1" if ":" in host else "127.0.0.1"
    check_use(server, (near, server.getsockname()[1]))


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_that_of_an_abstract_name_too(open_ones: ExitStack, kind: socket.SocketKind) -> None:
    check_use(open_ones.enter_context(open_abstract(NAME, Options(kind=kind))))


def test_and_that_of_a_path(open_ones: ExitStack, tmp_path: Path) -> None:
    server = open_ones.enter_context(socket.socket(socket.AF_UNIX, STREAM))
    server.bind(str(tmp_path / "web.sock"))
    server.listen()
    check_use(server)


def test_an_ipv6_socket_sees_its_ipv4_connections(open_ones: ExitStack) -> None:
    server = open_ones.enter_context(open_inet(None, 0, Options()))
    assert server.family == socket.AF_INET6
    with socket.create_connection(("127.0.0.1", server.getsockname()[1])):
        with server.accept()[0]:
            assert in_use(server)
        assert not in_use(server)


def test_the_connections_of_others_are_not_its_own(open_ones: ExitStack) -> None:
    """Neither those of another address or port, nor those where the port is the peer's."""
    mine = open_ones.enter_context(open_inet("127.0.0.1", 0, Options()))
    port = mine.getsockname()[1]
    others = [open_inet("127.0.0.2", port, Options()), open_inet("127.0.0.1", 0, Options())]
    for other in others:
        open_ones.enter_context(other)
        connect(open_ones, other, 1)
        open_ones.enter_context(other.accept()[0])
    connect(open_ones, mine, 1)  # an open socket, with our port at the other end
    assert [in_use(server) for server in (mine, *others)] == [False, True, True]


def test_one_of_a_thousand_is_found(open_ones: ExitStack) -> None:
    """The answer comes in several parts."""
    server = open_ones.enter_context(open_abstract(NAME, Options()))
    others = [open_ones.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(1000)]
    connect(open_ones, server, 1)
    assert not in_use(server)
    with server.accept()[0]:
        assert in_use(server)
    assert len(others) == 1000


def test_datagrams_have_no_connections(open_ones: ExitStack) -> None:
    server = open_ones.enter_context(open_inet("127.0.0.1", 0, Options(kind=DGRAM)))
    assert in_use(server) is None
