"""sock_diag(7), tcp(7): what waits in a listening socket, and what was accepted from it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_TCP_INFO_QUEUE = 24  # struct tcp_info: offset of tcpi_unacked and tcpi_sacked
_SO_MEMINFO = 55
_SK_MEMINFO_RMEM_ALLOC, _SK_MEMINFO_RCVBUF = 0, 1
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_UDIAG_SHOW_RQLEN = 0x10
_UNIX_DIAG_RQLEN = 4
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = struct.Struct("=BBHIIIII")  # struct unix_diag_req
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_PAIR = struct.Struct("=II")
_ANY = 0xFFFFFFFF
_UDIAG_SHOW_NAME = 1
_UNIX_DIAG_NAME = 0
_INET_REQUEST = struct.Struct("=BBBBI48x")  # struct inet_diag_req_v2
_INET_MESSAGE = struct.Struct("=8x16s44xI")  # struct inet_diag_msg: local address, inode
_INET_DIAG_REQ_BYTECODE = 1
_INET_DIAG_BC_S_GE, _INET_DIAG_BC_S_LE = 2, 3
#: Two struct inet_diag_bc_op per comparison: where to go on if it holds, else; the port.
_PORT_FILTER = struct.Struct("=BBHBBH")
_TCP_TIME_WAIT, _TCP_LISTEN = 6, 10
_OF_CONNECTIONS = _ANY & ~(1 << _TCP_TIME_WAIT | 1 << _TCP_LISTEN)


class Queue(NamedTuple):
    """What waits, and how much may: connections, or bytes of datagrams."""

    length: int | None  #: None where the kernel does not tell
    limit: int


UNKNOWN = Queue(None, 0)


def queue_of(sock: socket.socket) -> Queue:
    """Return the queue of a listening socket; OSError where the kernel refuses to tell."""
    if sock.family != socket.AF_UNIX:
        return _datagrams(sock) if sock.type == socket.SOCK_DGRAM else _connections(sock)
    if sock.type == socket.SOCK_DGRAM:  # what waits there counts as the senders' memory
        return UNKNOWN
    return _unix_connections(os.fstat(sock.fileno()).st_ino)


def _connections(sock: socket.socket) -> Queue:
    """Read two fields that mean something else in a connection, tcp_get_info() in the kernel."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_QUEUE + _PAIR.size)
    return Queue(*_PAIR.unpack_from(info, _TCP_INFO_QUEUE))


def _datagrams(sock: socket.socket) -> Queue:
    """Return bytes with the kernel's own overhead, as the limit has it."""
    size = 4 * (max(_SK_MEMINFO_RMEM_ALLOC, _SK_MEMINFO_RCVBUF) + 1)
    return Queue(*_PAIR.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, size)))


def _unix_connections(inode: int) -> Queue:
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _ANY, inode, _UDIAG_SHOW_RQLEN, _ANY, _ANY)
    for message in _ask(request, dump=False):
        length = _attribute(message, _MESSAGE.size, _UNIX_DIAG_RQLEN)
        return UNKNOWN if length is None else Queue(*_PAIR.unpack(length))
    return UNKNOWN


# --- connections


def in_use(listener: socket.socket) -> bool | None:
    """Tell whether a connection that was accepted from it is open in any process.

    None for a socket of datagrams.  Those that still wait have no inode.  Another listener
    with the same address and port (SO_REUSEPORT) cannot be told from it.  OSError where the
    kernel refuses to tell.
    """
    if listener.type == socket.SOCK_DGRAM:
        return None
    if listener.family == socket.AF_UNIX:
        name = listener.getsockname()
        return any(_unix_inodes(os.fsencode(name) + b"\0" if isinstance(name, str) else name))
    host, port = listener.getsockname()[:2]
    return any(_inet_inodes(listener.family, socket.inet_pton(listener.family, host), port))


def _inet_inodes(family: int, address: bytes, port: int) -> Iterator[int]:
    """Yield the inode, or 0, of each connection to an address; the kernel picks the port.

    An IPv6 socket that takes IPv4 too has connections of its own family for those.
    """
    wanted = address if any(address) else b""
    # Four bytes beyond the end is "no": the two are at 16 and at 8 bytes from it.
    ports = _PORT_FILTER.pack(_INET_DIAG_BC_S_GE, 8, 20, 0, 0, port)
    ports += _PORT_FILTER.pack(_INET_DIAG_BC_S_LE, 8, 12, 0, 0, port)
    head = _INET_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _OF_CONNECTIONS)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(ports), _INET_DIAG_REQ_BYTECODE)
    for message in _ask(head + attribute + ports, dump=True):
        source, inode = _INET_MESSAGE.unpack_from(message)
        if source.startswith(wanted):
            yield inode


def _unix_inodes(name: bytes) -> Iterator[int]:
    """Yield the inode of each connection to a name; the kernel leaves out who has none."""
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _OF_CONNECTIONS, 0, _UDIAG_SHOW_NAME, _ANY, _ANY)
    for message in _ask(request, dump=True):
        if _attribute(message, _MESSAGE.size, _UNIX_DIAG_NAME) == name:
            yield _MESSAGE.unpack_from(message)[4]


def _ask(request: bytes, *, dump: bool) -> Iterator[bytes]:
    """Yield the messages of the answer.

    It never waits: a part of the answer is there when send(2) returns, or the recv(2) of
    the part before.
    """
    flags = _NLM_F_REQUEST | (_NLM_F_DUMP if dump else 0)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, flags, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as diag:
        diag.send(header + request)
        while True:
            answer = diag.recv(32768, socket.MSG_DONTWAIT)
            while answer:
                size, kind = _HEADER.unpack_from(answer)[:2]
                message, answer = answer[_HEADER.size : size], answer[size + 3 & ~3 :]
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:  # struct nlmsgerr
                    raise OSError(-struct.unpack_from("=i", message)[0], "sock_diag")
                yield message
            if not dump:
                return


def _attribute(message: bytes, at: int, wanted: int) -> bytes | None:
    """Return an attribute of a message whose attributes begin *at*."""
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == wanted:
            return message[at + _ATTRIBUTE.size : at + length]
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return None
