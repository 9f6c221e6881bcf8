"""Sockets that listen, as asked for; each option is read back from the socket."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from subprocess import PIPE, run

import pytest

from pidsup.linux.sockets import Options, address_of, open_abstract, open_inet
from tests.support import LIMIT_S, needs_capability, needs_localhost, needs_root, python

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
IP_FREEBIND, IPV6_FREEBIND = 15, 78
NOT_OURS = "192.0.2.1"  # for documentation, RFC 5737

Open = Callable[..., socket.socket]


@pytest.fixture
def inet() -> Iterator[Open]:
    """Give `open_inet` that takes options by name; what it opened is closed at the end."""
    opened: list[socket.socket] = []

    def opens(host: str | None = "127.0.0.1", port: int = 0, **options: object) -> socket.socket:
        opened.append(open_inet(host, port, Options(**options)))  # type: ignore[arg-type]  # a mixture
        return opened[-1]

    yield opens
    for sock in opened:
        sock.close()


def get(sock: socket.socket, level: int, option: int) -> int:
    return sock.getsockopt(level, option)


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


# --- addresses


def test_a_connection_is_accepted(inet: Open) -> None:
    """Port 0 is a free one, and told."""
    server = inet(blocking=True)
    with socket.create_connection(server.getsockname(), LIMIT_S) as client:
        accepted, peer = server.accept()
        accepted.close()
        assert peer == client.getsockname()
    assert address_of(server) == f"127.0.0.1:{port_of(server)}" != "127.0.0.1:0"


def test_an_ipv6_address_is_shown_in_brackets(inet: Open) -> None:
    server = inet("::1")
    assert address_of(server) == f"[::1]:{port_of(server)}"


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_a_port_alone_is_both_families(inet: Open, kind: int) -> None:
    """One socket, whatever net.ipv6.bindv6only says."""
    server = inet(None, kind=kind)
    assert address_of(server) == f"[::]:{port_of(server)}"
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, kind) as client:
            client.connect((host, port_of(server)))


def test_ipv6_only_takes_no_ipv4(inet: Open) -> None:
    server = inet(None, ipv6_only=True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(server)), LIMIT_S)
    socket.create_connection(("::1", port_of(server)), LIMIT_S).close()


@needs_localhost
def test_a_name_is_resolved_to_ipv4_first(inet: Open) -> None:
    """Clients that try both reach it, and those that know IPv4 only, too."""
    assert address_of(inet("localhost")).startswith("127.0.0.1:")


def test_a_name_that_nobody_knows_is_an_error(inet: Open) -> None:
    with pytest.raises(socket.gaierror):
        inet("no-such-host.invalid")


def test_an_address_in_use_is_an_error_and_nothing_is_left(inet: Open) -> None:
    """That no descriptor is left is what the fixture around every test demands."""
    server = inet()
    with pytest.raises(OSError, match="Address already in use") as caught:
        inet(port=port_of(server))
    assert caught.value.errno == errno.EADDRINUSE


def test_an_address_that_is_not_ours_is_an_error(inet: Open) -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        inet(NOT_OURS)


WITHOUT_IPV6 = """
import errno, socket
from pidsup.linux import sockets
real = socket.socket
def refuses(family, *rest):
    if family == socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "no IPv6")
    return real(family, *rest)
socket.socket = refuses
print(sockets.open_inet(None, 0, sockets.Options()).getsockname()[0])
"""


def test_a_kernel_without_ipv6_listens_on_ipv4() -> None:
    """Such as one that was booted with ipv6.disable=1."""
    done = run(python(WITHOUT_IPV6), stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout == b"0.0.0.0\n"


def test_an_abstract_name() -> None:
    """Of any kind of socket."""
    for kind in (STREAM, DGRAM, SEQPACKET):
        with (
            open_abstract(f"pidsup-test-{os.getpid()}", Options(kind=kind)) as server,
            socket.socket(socket.AF_UNIX, kind) as client,
        ):
            client.connect(f"\0pidsup-test-{os.getpid()}")
            assert address_of(server) == f"@pidsup-test-{os.getpid()}"


# --- options


def test_it_does_not_survive_an_exec_and_does_not_block(inet: Open) -> None:
    server = inet()
    assert not server.get_inheritable()
    assert not os.get_blocking(server.fileno())
    assert os.get_blocking(inet(blocking=True).fileno())


def test_connections_of_the_one_before_do_not_keep_the_port(inet: Open) -> None:
    """They are in TIME_WAIT for a minute."""
    server = inet(blocking=True)
    port = port_of(server)
    client = socket.create_connection(("127.0.0.1", port), LIMIT_S)
    server.accept()[0].close()
    client.close()
    server.close()
    assert port_of(inet(port=port)) == port


def test_two_datagram_sockets_do_not_share_a_port_unasked(inet: Open) -> None:
    """SO_REUSEADDR would let them, and the second would take it all."""
    first = inet(kind=DGRAM)
    with pytest.raises(OSError, match="in use"):
        inet(port=port_of(first), kind=DGRAM)


def test_reuse_port_shares_it(inet: Open) -> None:
    first = inet(reuse_port=True)
    assert port_of(inet(port=port_of(first), reuse_port=True)) == port_of(first)
    with pytest.raises(OSError, match="in use"):
        inet(port=port_of(first))


def test_keepalive_and_nodelay_are_inherited_by_connections(inet: Open) -> None:
    server = inet(blocking=True, keepalive=True, nodelay=True)
    with socket.create_connection(server.getsockname(), LIMIT_S):
        connection = server.accept()[0]
        assert get(connection, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert get(connection, socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


def test_without_being_asked_nothing_is_set(inet: Open) -> None:
    server = inet()
    assert not get(server, socket.SOL_SOCKET, socket.SO_REUSEPORT)
    assert not get(server, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not get(server, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not get(server, socket.IPPROTO_IP, IP_FREEBIND)


def test_the_backlog_is_a_limit(inet: Open) -> None:
    """The kernel lets one more in than it says."""
    server = inet(backlog=1)
    clients = [socket.socket() for _ in range(4)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    states = [client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for client in clients]
    assert states.count(1) == 2  # TCP_ESTABLISHED
    for client in clients:
        client.close()


@needs_capability(12, "CAP_NET_ADMIN")
@pytest.mark.parametrize("size", [8192, 8 << 20])
def test_buffers_may_exceed_the_limits_of_users(inet: Open, size: int) -> None:
    """The kernel doubles them for its bookkeeping."""
    server = inet(receive_buffer=size, send_buffer=size)
    assert get(server, socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * size
    assert get(server, socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * size


UNPRIVILEGED = """
import os, socket
from pidsup.linux.sockets import Options, open_inet
os.setresuid(65534, 65534, 65534)
server = open_inet("127.0.0.1", 0, Options(receive_buffer=1 << 40))
print(server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
"""


@needs_root
def test_an_ordinary_user_gets_the_buffer_that_he_may_have() -> None:
    """The kernel cuts it down to net.core.rmem_max, as ever, and a number of any size is taken."""
    done = run(python(UNPRIVILEGED), stdout=PIPE, check=True, timeout=LIMIT_S)
    with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
        assert int(done.stdout) == 2 * int(file.read())


@pytest.mark.parametrize(
    ("host", "level", "option"),
    [
        (NOT_OURS, socket.IPPROTO_IP, IP_FREEBIND),
        ("2001:db8::1", socket.IPPROTO_IPV6, IPV6_FREEBIND),
    ],
)
def test_free_bind_listens_where_the_machine_is_not_yet(
    inet: Open, host: str, level: int, option: int
) -> None:
    server = inet(host, free_bind=True)
    assert server.getsockname()[0] == host
    assert get(server, level, option)


def test_bind_to_device(inet: Open) -> None:
    server = inet(None, bind_to_device="lo")
    name = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    assert name.rstrip(b"\0") == b"lo"


@pytest.mark.parametrize("device", ["nope0", "", "lo" + "o" * 20])
def test_a_device_that_there_is_not_is_named(inet: Open, device: str) -> None:
    """A long name is not cut until it fits another."""
    with pytest.raises(OSError, match=f"bind_to_device '{device}': No such device"):
        inet(bind_to_device=device)


def test_what_a_kind_of_socket_does_not_know_is_named(inet: Open) -> None:
    """It is not left out in silence."""
    with pytest.raises(OSError, match="nodelay: "):
        inet(kind=DGRAM, nodelay=True)
