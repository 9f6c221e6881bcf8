"""The listening sockets that the supervisor holds for its watchers."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pidsup.config.address import is_path, is_unix
from pidsup.config.model import SocketSpec
from pidsup.linux.accounts import gid_of, uid_of
from pidsup.linux.sockdiag import UNKNOWN, Queue, queue_of
from pidsup.linux.sockets import (
    Options,
    address_of,
    bind_inet,
    change,
    open_abstract,
    open_inet,
)
from pidsup.linux.unix_paths import BoundPath, open_path
from pidsup.systemd.listen_fds import Passed
from pidsup.watcher.passed import assign

if TYPE_CHECKING:
    from pidsup.linux.holders import Holder

_KINDS = {
    "stream": socket.SOCK_STREAM,
    "datagram": socket.SOCK_DGRAM,
    "seqpacket": socket.SOCK_SEQPACKET,
}
#: What to do about an address and a port, where the kernel's words do not tell.
_ADVICE = {
    errno.EACCES: "a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine does not have it; free_bind = true listens all the same",
}
_OF_PASSED = ("systemd", "type", "blocking")  # what a section says of one that systemd passes
_NONE = Passed()


class CannotListen(OSError):
    """A socket could not be opened; the text says which, and why."""

    def __init__(self, number: int | None, text: str) -> None:
        """Keep the error's number."""
        super().__init__(number, text)
        self._text = text

    def __str__(self) -> str:
        """Leave out the number: a person reads this."""
        return self._text


class SocketFacts(NamedTuple):
    """How one socket stands."""

    name: str
    listen: str  #: as configured
    address: str  #: what it has become: port 0 is a real one here
    type: str
    queued: int | None  #: connections, or bytes of datagrams; None where the kernel is silent
    backlog: int  #: how many may wait, in the same unit
    systemd: str | None = None  #: where it is from systemd, the name that it has there


class Listener:
    """One socket that listens.  Owns it, and its path if that is not systemd's."""

    def __init__(self, spec: SocketSpec, passed: socket.socket | None = None) -> None:
        """Take over what systemd has passed, or open it.

        OSError, or LookupError for users and groups, when that is not possible.
        """
        self.spec = spec
        self._path: BoundPath | None = None
        if passed is None:
            self._sock, self._path = _open(spec)
        else:
            self._sock = passed
            self._sock.setblocking(spec.blocking)
        self.is_passed = passed is not None  #: by systemd
        self.address = address_of(self._sock)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._sock.fileno()

    def facts(self) -> SocketFacts:
        """Look how it stands."""
        spec, queue = self.spec, self._queue()
        limit = queue.limit or (0 if spec.type == "datagram" else spec.backlog)
        systemd = spec.systemd if self.is_passed else None
        return SocketFacts(
            spec.name, spec.listen, self.address, spec.type, queue.length, limit, systemd
        )

    def can_become(self, spec: SocketSpec) -> bool:
        """Tell whether `become` is enough: it is bound as *spec* demands, or systemd's and same.

        What a section with `listen` says of a socket that is systemd's is for its unit, which
        changes nothing while it is there.  Whether it blocks is a flag of what the workers have
        too, fcntl(2), and cannot be changed under them.
        """
        if not self.is_passed:
            return _as_bound(spec) == _as_bound(self.spec)
        if spec.listen and self.spec.listen:
            return spec._replace(name=self.spec.name) == self.spec
        return all(getattr(spec, name) == getattr(self.spec, name) for name in _OF_PASSED)

    def become(self, spec: SocketSpec) -> None:
        """Change what can be changed of a socket that listens, its name too.

        CannotListen or LookupError if that is not possible; what was done so far stays.
        """
        old, self.spec = self.spec, spec
        if old == spec or self.is_passed:
            return
        with _named(f"cannot change sockets.{spec.name}", spec):
            change(self._sock, _options(spec))
            if self._path is not None:
                uid, gid = _owner(spec)
                if spec.user is None and old.user is not None:
                    uid = os.geteuid()
                if spec.group is None and old.group is not None:
                    gid = os.getegid()
                self._path.give(spec.mode, uid, gid)

    def share_port(self, *, shared: bool) -> None:
        """Let others of this user be bound to its port, or not; a path or name has none."""
        if not is_unix(self.spec.listen):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)

    def close(self) -> None:
        """Stop listening; workers that have the socket go on.  May be called twice."""
        path, self._path = self._path, None
        if path is not None:  # before the socket: while that lives, no other has its inode
            path.remove()
        self._sock.close()

    def _queue(self) -> Queue:
        try:
            return queue_of(self._sock)
        except OSError:  # a sandbox without netlink: nothing depends on it
            return UNKNOWN


class Listeners:
    """All sockets of a configuration, open from the first to the last moment."""

    def __init__(self, specs: Sequence[SocketSpec], passed: Passed = _NONE) -> None:
        """Take those that systemd has passed, and open the others: all of them or none.

        CannotListen or LookupError names the one that failed, and all are closed;
        SocketMismatch leaves what was passed to the caller.
        """
        self.all: list[Listener] = []  #: in the order of the configuration
        self.fds: dict[str, int] = {}  #: by name, always this one object; ours to close
        self.is_activated = bool(passed.descriptors)  #: by systemd
        taken = {name: socket.socket(fileno=fd) for name, fd in assign(specs, passed).items()}
        try:
            for spec in specs:
                self.all.append(listening(spec, taken.get(spec.name)))
        except BaseException:
            for one in taken.values():
                one.close()
            self.close()
            raise
        self.become(self.all)

    def become(self, wanted: list[Listener]) -> None:
        """Be these from now on; the caller closes those that are not among them."""
        self.all = wanted
        self.fds.clear()
        self.fds.update((one.spec.name, one.fileno()) for one in wanted)

    def facts(self) -> list[SocketFacts]:
        """Return how each of them stands."""
        return [one.facts() for one in self.all]

    def close(self) -> None:
        """Close all and remove their paths.  May be called twice."""
        self.fds.clear()
        while self.all:
            self.all.pop().close()


def listening(spec: SocketSpec, passed: socket.socket | None = None) -> Listener:
    """Return a listener; CannotListen or LookupError says which it is, and what is wrong."""
    with _named(f"cannot listen on {spec.listen} (sockets.{spec.name})", spec):
        return Listener(spec, passed)


@contextmanager
def _named(what: str, spec: SocketSpec) -> Iterator[None]:
    """Say in errors what cannot be done with which socket."""
    try:
        yield
    except LookupError as error:
        raise LookupError(f"{what}: {error.args[0]}") from error
    except OSError as error:
        raise CannotListen(error.errno, f"{what}: {_why(error, spec)}") from error


def _as_bound(spec: SocketSpec) -> SocketSpec:
    """Return what of it is fixed with bind(2): the rest as if it were nobody's."""
    same = spec._replace(name="", backlog=0, keepalive=False, nodelay=False, systemd=None)
    return same._replace(mode=0, user=None, group=None)


def _open(spec: SocketSpec) -> tuple[socket.socket, BoundPath | None]:
    options = _options(spec)
    if is_path(spec.listen):
        uid, gid = _owner(spec)
        return open_path(spec.listen, options, mode=spec.mode, uid=uid, gid=gid)
    if is_unix(spec.listen):
        return open_abstract(spec.listen[1:], options), None
    host, port = _host_and_port(spec.listen)
    return open_inet(host, port, options), None


def _owner(spec: SocketSpec) -> tuple[int, int]:
    """Return whose a path is to be, -1 for what is not said."""
    uid = -1 if spec.user is None else uid_of(spec.user)
    return uid, -1 if spec.group is None else gid_of(spec.group)


def try_port(spec: SocketSpec) -> None:
    """Bind an address and a port, but do not listen: nobody is served, nothing is left.

    OSError says why it cannot be bound.
    """
    host, port = _host_and_port(spec.listen)
    bind_inet(host, port, _options(spec)).close()


def _options(spec: SocketSpec) -> Options:
    same = {name: getattr(spec, name) for name in Options._fields if name != "kind"}
    return Options(kind=_KINDS[spec.type], **same)


def _host_and_port(listen: str) -> tuple[str | None, int]:
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]") or None, int(port)


def _why(error: OSError, spec: SocketSpec) -> str:
    why = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return why + _by_whom(spec)
    if error.errno in _ADVICE and not is_unix(spec.listen):
        return f"{why}: {_ADVICE[error.errno]}"
    return why


def holder_of(spec: SocketSpec) -> Holder | None:
    """Return the process that has the address; None if there is none, or none to be seen."""
    from pidsup.linux import holders

    if is_unix(spec.listen):
        return holders.of_unix(spec.listen)
    return holders.of_inet(_KINDS[spec.type], *_host_and_port(spec.listen))


def _by_whom(spec: SocketSpec) -> str:
    holder = holder_of(spec)
    if holder is None:
        return ""
    if holder.pid == os.getpid():
        return " by another socket of this configuration"
    return f" by pid {holder.pid} ({holder.name})"
