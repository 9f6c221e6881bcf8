"""Whether this machine can listen on the configured addresses, now.

An address in use is a warning: the supervisor of this very configuration may hold it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from pidsup.config.address import is_unix
from pidsup.config.kind import Path
from pidsup.config.problem import Findings

_ACCEPTS = 0x10000  # __SO_ACCEPTCON in /proc/net/unix: it listens
_LISTENS = "0A"  # TCP_LISTEN in /proc/net/tcp
_UNBOUND_PEER = ":0000"  # a UDP socket that is not connected


def check_addresses(expanded: Mapping[str, Any], findings: Findings) -> None:
    """Note which sockets cannot be bound."""
    for name, values in expanded["sockets"].items():
        path = ("sockets", name, "listen")
        device = values["bind_to_device"]
        if device is not None and device not in {known for _, known in socket.if_nameindex()}:
            findings.error(
                ("sockets", name, "bind_to_device"),
                f"there is no network interface {device!r}: correct the name",
            )
        elif values["listen"] is None or findings.is_wrong(("sockets", name)):
            continue
        elif is_unix(values["listen"]):
            _check_unix(path, values["listen"], findings)
        else:
            _check_port(path, values, findings)


def _check_unix(path: Path, listen: str, findings: Findings) -> None:
    inodes = _unix_inodes(listen)
    if inodes:
        findings.warning(path, f"{listen!r} is in use{_owner(inodes)}")
    elif listen.startswith("/") and _is_other_than_socket(listen):
        findings.error(path, f"{listen!r} exists and is no socket: remove it")


def _is_other_than_socket(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _check_port(path: Path, values: Mapping[str, Any], findings: Findings) -> None:
    host, _, port = values["listen"].rpartition(":")
    kind = socket.SOCK_DGRAM if values["type"] == "datagram" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or ("0.0.0.0" if not socket.has_ipv6 else "::"),  # noqa: S104  asked for
            int(port),
            type=kind,
        )
    except OSError as error:
        findings.error(path, f"cannot resolve {host!r}: {error.strerror}: correct the name")
        return
    family, kind, _, _, address = found[0]
    try:
        _try_bind(family, kind, address, values)
    except OSError as error:
        _explain(path, values, error, findings)


def _try_bind(family: int, kind: int, address: tuple[Any, ...], values: Mapping[str, Any]) -> None:
    """Bind, but do not listen: nobody is served, nothing is left."""
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if values["reuse_port"]:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if values["free_bind"]:
            probe.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, for IPv6 too
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, values["ipv6_only"])
        if values["bind_to_device"] is not None:
            device = values["bind_to_device"].encode()
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        probe.bind(address)


def _explain(path: Path, values: Mapping[str, Any], error: OSError, findings: Findings) -> None:
    listen = values["listen"]
    port = int(listen.rpartition(":")[2])
    if error.errno == errno.EADDRINUSE:
        findings.warning(path, f"{listen!r} is in use{_owner(_port_inodes(port, values['type']))}")
    elif error.errno == errno.EADDRNOTAVAIL:
        findings.error(
            path,
            f"this machine does not have the address of {listen!r}: correct it, or set free_bind",
        )
    elif error.errno == errno.EACCES:
        findings.error(
            path,
            f"port {port} needs root, or the capability net_bind_service: take a port from 1024",
        )
    else:
        findings.error(path, f"cannot listen on {listen!r}: {error.strerror}")


# --- who holds it


def _unix_inodes(listen: str) -> set[str]:
    """Return the sockets at a path or abstract name: those that listen, and datagrams."""
    found: set[str] = set()
    for line in _lines("/proc/net/unix"):
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == listen:
            is_stream = int(fields[4]) in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
            if not is_stream or int(fields[3], 16) & _ACCEPTS:
                found.add(fields[6])
    return found


def _port_inodes(port: int, kind: str) -> set[str]:
    protocol = "udp" if kind == "datagram" else "tcp"
    return {
        fields[9]
        for file in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6")
        for fields in map(str.split, _lines(file))
        if int(fields[1].rpartition(":")[2], 16) == port
        and (fields[3] == _LISTENS or (protocol == "udp" and fields[2].endswith(_UNBOUND_PEER)))
    }


def _lines(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read().splitlines()[1:]
    except OSError:
        return []


def _owner(inodes: set[str]) -> str:
    """Return " by pid 7 (nginx)" if that can be seen."""
    for pid, name in _holders({f"socket:[{inode}]" for inode in inodes}):
        return f" by pid {pid} ({name}): fine if that is this supervisor, running"
    return ": fine if this supervisor is running"


def _holders(links: set[str]) -> Iterator[tuple[int, str]]:
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
            if any(_link(f"/proc/{pid}/fd/{fd}") in links for fd in fds):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    yield pid, file.read().strip()
        except OSError:
            continue  # it has ended, or is not ours to look at


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
