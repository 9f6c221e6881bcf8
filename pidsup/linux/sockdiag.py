"""sock_diag(7), tcp(7): how much waits in a listening socket."""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

_TCP_INFO_QUEUE = 24  # struct tcp_info: offset of tcpi_unacked and tcpi_sacked
_SO_MEMINFO = 55
_SK_MEMINFO_RMEM_ALLOC, _SK_MEMINFO_RCVBUF = 0, 1
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_RQLEN = 0x10
_UNIX_DIAG_RQLEN = 4
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = struct.Struct("=BBHIIIII")  # struct unix_diag_req
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_PAIR = struct.Struct("=II")
_ANY = 0xFFFFFFFF


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
    size = _HEADER.size + len(request)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as diag:
        diag.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + request)
        answer = diag.recv(4096, socket.MSG_DONTWAIT)  # it is there when send(2) returns
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:  # struct nlmsgerr
        raise OSError(-struct.unpack_from("=i", answer, _HEADER.size)[0], "sock_diag")
    return _queue_in(answer, _HEADER.size + _MESSAGE.size)


def _queue_in(answer: bytes, at: int) -> Queue:
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _UNIX_DIAG_RQLEN:
            return Queue(*_PAIR.unpack_from(answer, at + _ATTRIBUTE.size))
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return UNKNOWN
