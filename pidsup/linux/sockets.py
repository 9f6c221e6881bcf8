"""socket(7), ip(7), ipv6(7), tcp(7), unix(7): sockets that listen, one at a time."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

_IP_FREEBIND = 15
_IPV6_FREEBIND = 78
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IFNAMSIZ = 16
_INT_MAX = (1 << 31) - 1
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Options(NamedTuple):
    """How a socket listens; what a family does not know raises OSError if it is asked for."""

    kind: socket.SocketKind = socket.SOCK_STREAM
    backlog: int = 4096
    blocking: bool = False
    reuse_port: bool = False
    keepalive: bool = False  #: of the connections, which inherit it
    nodelay: bool = False  #: the same
    ipv6_only: bool = False
    free_bind: bool = False
    receive_buffer: int | None = None
    send_buffer: int | None = None
    bind_to_device: str | None = None


def open_inet(host: str | None, port: int, options: Options) -> socket.socket:
    """Return a socket that listens on an address, None for all of both families.

    A name is resolved, and IPv4 comes first: who connects to it tries both.  The caller
    owns the socket, which is close-on-exec.
    """
    return _listening(bind_inet(host, port, options), options)


def bind_inet(host: str | None, port: int, options: Options) -> socket.socket:
    """Do the same, but for the listening."""
    missing: OSError | None = None
    for family, address in _candidates(host, port, options):
        try:
            return _bound(family, address, options)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            missing = missing or error
    assert missing is not None  # noqa: S101  getaddrinfo(3) returns an address or an error
    raise missing


def open_abstract(name: str, options: Options) -> socket.socket:
    """Return a socket that listens on an abstract name; the caller owns it."""
    return _listening(_bound(socket.AF_UNIX, b"\0" + os.fsencode(name), options), options)


def prepare(family: int, options: Options) -> socket.socket:
    """Return a socket of which only the address is missing; the caller owns it."""
    sock = socket.socket(family, options.kind)
    try:
        sock.setblocking(options.blocking)
        _set_all(sock, options)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(sock: socket.socket, options: Options) -> None:
    """Listen, if this kind of socket does."""
    if options.kind != socket.SOCK_DGRAM:
        sock.listen(options.backlog)


def change(sock: socket.socket, options: Options) -> None:
    """Change what can be changed of a socket that listens: all that bind(2) does not fix."""
    listen(sock, options)
    _set(sock, "keepalive", socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.keepalive))
    is_inet = sock.family != socket.AF_UNIX
    if is_inet:
        _set(sock, "reuse_port", socket.SOL_SOCKET, socket.SO_REUSEPORT, int(options.reuse_port))
    if options.nodelay or (is_inet and options.kind == socket.SOCK_STREAM):
        _set(sock, "nodelay", socket.IPPROTO_TCP, socket.TCP_NODELAY, int(options.nodelay))


def address_of(sock: socket.socket) -> str:
    """Return where it listens: "127.0.0.1:8080", "[::]:8080", "/path" or "@name"."""
    name = sock.getsockname()
    if isinstance(name, bytes):
        return "@" + os.fsdecode(name[1:])
    if isinstance(name, str):
        return name
    host, port = name[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"


def _candidates(host: str | None, port: int, options: Options) -> Iterator[tuple[int, object]]:
    if host is None:
        yield socket.AF_INET6, ("::", port)
        if not options.ipv6_only:  # a kernel without IPv6
            yield socket.AF_INET, ("0.0.0.0", port)  # noqa: S104  what was asked for
        return
    # As bytes: for a string it loads the codec of IDNA, a megabyte.
    name = host.encode()
    found = socket.getaddrinfo(name, port, type=options.kind, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in sorted(found, key=lambda each: each[0] != socket.AF_INET):
        yield family, address


def _bound(family: int, address: object, options: Options) -> socket.socket:
    sock = prepare(family, options)
    try:
        sock.bind(address)  # type: ignore[arg-type]  # as the family has it
    except BaseException:
        sock.close()
        raise
    return sock


def _listening(sock: socket.socket, options: Options) -> socket.socket:
    try:
        listen(sock, options)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_all(sock: socket.socket, options: Options) -> None:
    if options.kind == socket.SOCK_STREAM and sock.family != socket.AF_UNIX:
        # Connections of the one before linger in TIME_WAIT.  Not for UDP: two would share it.
        _set(sock, "reuse_address", socket.SOL_SOCKET, socket.SO_REUSEADDR)
    if sock.family == socket.AF_INET6:
        only = int(options.ipv6_only)  # said either way: the default is the administrator's
        _set(sock, "ipv6_only", socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    if options.reuse_port:
        _set(sock, "reuse_port", socket.SOL_SOCKET, socket.SO_REUSEPORT)
    if options.keepalive:
        _set(sock, "keepalive", socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if options.nodelay:
        _set(sock, "nodelay", socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if options.free_bind and sock.family == socket.AF_INET6:
        _set(sock, "free_bind", socket.IPPROTO_IPV6, _IPV6_FREEBIND)
    elif options.free_bind:
        _set(sock, "free_bind", socket.IPPROTO_IP, _IP_FREEBIND)
    if options.receive_buffer is not None:
        _set_buffer(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, options.receive_buffer)
    if options.send_buffer is not None:
        _set_buffer(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, options.send_buffer)
    if options.bind_to_device is not None:
        _bind_to_device(sock, options.bind_to_device)


def _bind_to_device(sock: socket.socket, name: str) -> None:
    device = os.fsencode(name)
    text = f"bind_to_device {name!r}"
    if not 0 < len(device) < _IFNAMSIZ:  # the kernel would cut it, and an empty one is any
        raise OSError(errno.ENODEV, f"{text}: {os.strerror(errno.ENODEV)}")
    _set(sock, text, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)


def _set_buffer(sock: socket.socket, force: int, option: int, size: int) -> None:
    size = min(size, _INT_MAX)
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:  # then up to net.core.rmem_max and wmem_max
        sock.setsockopt(socket.SOL_SOCKET, option, size)


def _set(sock: socket.socket, name: str, level: int, option: int, value: int | bytes = 1) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}") from error


# --- connections


class Connection(NamedTuple):
    """A connection that was accepted; whoever has it owns the descriptor."""

    fd: int
    address: str  #: of the other side: "192.0.2.7", "2001:db8::7", "/path", "@name"; "": none
    port: int  #: 0 for a Unix socket


def accept(listener: int) -> Connection:
    """Take the next connection, blocking as programs expect it; OSError when there is none."""
    borrowed = socket.socket(fileno=listener)
    try:
        connection, address = borrowed.accept()
    finally:
        borrowed.detach()
    return Connection(connection.detach(), *_peer(address))


def _peer(address: tuple[str, int, int, int] | tuple[str, int] | str | bytes) -> tuple[str, int]:
    """Word an address as systemd has it in REMOTE_ADDR and REMOTE_PORT, systemd.socket(5)."""
    if isinstance(address, bytes):
        return f"@{os.fsdecode(address[1:])}" if address else "", 0
    if isinstance(address, str):
        return address, 0
    host, port, *rest = address
    host = host.removeprefix("::ffff:") if "." in host else host
    return host + (f"%{rest[1]}" if any(rest[1:]) else ""), port
