"""proc(5): who has an address in use.  A hint for people; it walks all processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_LISTENS = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN, TCP_CLOSE in the kernel's tcp_states.h
_CONNECTED, _DATAGRAM = "03", "0002"  # in /proc/net/unix
_MAPPED = bytes(10) + b"\xff\xff"
_EVERYWHERE = (bytes(16), _MAPPED + bytes(4))


class Holder(NamedTuple):
    """A process that has the socket."""

    pid: int
    name: str


def of_inet(kind: int, host: str | None, port: int) -> Holder | None:
    """Return who listens on the address or on one that covers it; None if it is not to be seen."""
    protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    wanted = set(_EVERYWHERE) if host is None else _packed(host)
    return _first(_inodes_inet(protocol, wanted, port))


def of_unix(name: str) -> Holder | None:
    """Return who has a socket of that path or "@name"."""
    return _first(_inodes_unix(name))


def _inodes_inet(protocol: str, wanted: set[bytes], port: int) -> Iterator[str]:
    everywhere = not wanted.isdisjoint(_EVERYWHERE)
    for table in (protocol, f"{protocol}6"):
        for row in _rows(table):
            words = row.split()
            host, _, its_port = words[1].partition(":")
            if int(its_port, 16) == port and words[3] == _LISTENS[protocol]:
                its_host = _from_hex(host)
                if everywhere or its_host in wanted or its_host in _EVERYWHERE:
                    yield words[9]


def _inodes_unix(name: str) -> Iterator[str]:
    for row in _rows("unix"):
        words = row.split(maxsplit=7)
        # A connection has the name of the socket that it was accepted on.
        if words[-1] == name and (words[5] != _CONNECTED or words[4] == _DATAGRAM):
            yield words[6]


def _rows(table: str) -> list[str]:
    try:
        with open(f"/proc/net/{table}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()[1:]
    except OSError:  # no IPv6, or no /proc
        return []


def _from_hex(address: str) -> bytes:
    """Read "0100007F" or 32 digits, each word in the order of this machine, as 16 bytes."""
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    return _as_ipv6(b"".join(words))


def _packed(host: str) -> set[bytes]:
    found = socket.getaddrinfo(host.encode(), None)
    return {
        _as_ipv6(socket.inet_pton(family, str(address[0]).partition("%")[0]))
        for family, _, _, _, address in found
    }


def _as_ipv6(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else _MAPPED + packed


def _first(inodes: Iterator[str]) -> Holder | None:
    """Return the process with the lowest number: a master rather than its workers."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        if not wanted.isdisjoint(_descriptors(pid)):
            return Holder(pid, _name(pid))
    return None


def _descriptors(pid: int) -> Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it is gone, or another user's
        return
    for name in names:
        with suppress(OSError):  # closed by now
            yield os.readlink(f"/proc/{pid}/fd/{name}")


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "gone"
