"""Which descriptor that systemd has passed is which socket of the configuration.

Every difference is an error: a socket that nobody accepts from hangs its clients.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pidsup.config.address import name_and_index
from pidsup.config.model import SocketSpec
from pidsup.errors import PidsupError
from pidsup.linux.sockets import address_of
from pidsup.systemd.listen_fds import Descriptor, Passed

_KINDS = {
    socket.SOCK_STREAM: "stream",
    socket.SOCK_DGRAM: "datagram",
    socket.SOCK_SEQPACKET: "seqpacket",
}
#: What makes systemd open a socket of a type, systemd.socket(5).
_UNITS = {
    "stream": "ListenStream=",
    "datagram": "ListenDatagram=",
    "seqpacket": "ListenSequentialPacket=",
}


class SocketMismatch(PidsupError):
    """What systemd has passed is not what the configuration wants."""


def assign(specs: Iterable[SocketSpec], passed: Passed) -> dict[str, int]:
    """Return the descriptor of each socket that is systemd's, by the socket's own name.

    SocketMismatch where one is missing, is of another kind, or is left over.  Where systemd
    has passed none at all, those that can listen for themselves are not in it.
    """
    for one in passed.descriptors:
        _refuse_connection(one)
    found: dict[str, Descriptor] = {}
    for spec in specs:
        if spec.systemd is not None and (passed.descriptors or not spec.listen):
            found[spec.name] = _chosen(spec, spec.systemd, passed)
            _check_kind(spec, found[spec.name])
    left = [one for one in passed.descriptors if one not in found.values()]
    if left:
        raise _unexpected(left, passed)
    return {name: one.fd for name, one in found.items()}


def _chosen(spec: SocketSpec, wanted: str, passed: Passed) -> Descriptor:
    name, index = name_and_index(wanted)
    ours = [one for one in passed.descriptors if one.name == name]
    if not passed.descriptors:
        advice = "start it by its socket unit, or add `listen` for where there is none"
        raise _cannot(spec, f"{passed.missing}: {advice}")
    if not ours:
        advice = f"write FileDescriptorName={name} into the [Socket] section of its unit"
        raise _cannot(spec, f"it has passed {_described(passed.descriptors)}: {advice}")
    if index is None and len(ours) > 1:
        which = f'choose one with systemd = "{name}:0" to "{name}:{len(ours) - 1}"'
        raise _cannot(spec, f"it has passed {len(ours)} of that name, {_described(ours)}: {which}")
    if index is not None and index >= len(ours):
        last = f"the last is '{name}:{len(ours) - 1}'"
        raise _cannot(spec, f"{wanted!r} is not among {_described(ours)}: {last}")
    return ours[index or 0]


def _refuse_connection(one: Descriptor) -> None:
    kind, listens = _kind(one.fd)
    if kind in ("stream", "seqpacket") and not listens:
        raise SocketMismatch(
            f"cannot use {_described([one])}, which systemd has passed: it is a connection, "
            "set Accept=no in its socket unit"
        )


def _check_kind(spec: SocketSpec, one: Descriptor) -> None:
    kind, _ = _kind(one.fd)
    if kind not in _UNITS:
        raise _cannot(spec, f"{_described([one])} is {kind}")
    if kind != spec.type:
        advice = f'write type = "{kind}" here, or {_UNITS[spec.type]} into its unit'
        raise _cannot(spec, f"{_described([one])} is of type {kind}: {advice}")


def _kind(fd: int) -> tuple[str, bool]:
    """Return of which type a socket is, and whether it listens."""
    try:
        with _borrowed(fd) as sock:
            listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            return _KINDS.get(sock.type, "a socket of another kind"), listens
    except OSError:
        return "no socket", False


def _unexpected(left: Sequence[Descriptor], passed: Passed) -> SocketMismatch:
    name = left[0].name
    alike = [one for one in passed.descriptors if one.name == name]
    if len(alike) > 1:
        name += f":{alike.index(left[0])}"
    return SocketMismatch(
        f"no socket is for {_described(left)}, which systemd has passed: write "
        f'systemd = "{name}" into a section of [sockets], or stop its socket unit for good, '
        "`systemctl disable --now`, and take it out of Sockets= of the service"
    )


def _cannot(spec: SocketSpec, why: str) -> SocketMismatch:
    return SocketMismatch(f"cannot take sockets.{spec.name} from systemd: {why}")


def _described(descriptors: Sequence[Descriptor]) -> str:
    return ", ".join(f"{one.name!r} ({_address(one.fd)})" for one in descriptors)


def _address(fd: int) -> str:
    try:
        with _borrowed(fd) as sock:
            return address_of(sock)
    except (OSError, TypeError, ValueError):  # no socket; a family without ports
        return f"descriptor {fd}"


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Lend the descriptor to a socket."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()
