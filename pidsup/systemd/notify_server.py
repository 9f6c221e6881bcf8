"""The receiving end of sd_notify(3): one datagram socket, unix(7), and who sent what.

The kernel tells the sender: SCM_CREDENTIALS, and from Linux 6.5 on SCM_PIDFD, which pins
him, so that whoever gets his number later is not taken for him.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from pidsup.systemd.notify import MOST_BYTES

_SO_PASSPIDFD = 76  # Linux 6.5
_SCM_PIDFD = 4
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_FD = struct.Struct("=i")
_MOST_FDS = 253  # SCM_MAX_FD, of one datagram
_ROOM = sum(map(socket.CMSG_SPACE, (_CREDENTIALS.size, _FD.size, _FD.size * _MOST_FDS)))
_CUT = socket.MSG_TRUNC | socket.MSG_CTRUNC
# Workers may be of other users; who may speak is decided by who sent.
_PASSABLE, _EVERYBODY = 0o711, 0o666


_CAPACITY = 1024  # where we cannot see it; systemd raises it to 512


class Received(NamedTuple):
    """A datagram.  Whoever gets this owns its descriptors."""

    data: bytes  #: empty for one that did not fit, or whose descriptors did not
    pid: int  #: of the sender; 0: not of our pid namespace
    uid: int
    pidfd: int  #: the sender, living or not; -1 where the kernel has none
    fds: tuple[int, ...]


class NotifySocket:
    """A socket that listens for sd_notify(3).  Owns it, and its path."""

    def __init__(self, address: str) -> None:
        """Bind it to a path, whose directory is made if need be, or to NUL and a name.

        OSError when that cannot be; EADDRINUSE for a name only: who has the directory to
        himself may replace what is left of another run.
        """
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)
        self.capacity = _capacity()  #: how many datagrams can wait
        self._path = None if address.startswith("\0") else address
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._ask_for_pidfds()
            if self._path is None:
                self._socket.bind(address)
            else:
                _bind(self._socket, self._path)
        except OSError:
            self._socket.close()
            raise

    def _ask_for_pidfds(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_PASSPIDFD, 1)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise

    def fileno(self) -> int:
        """Return its descriptor, for a loop; -1 once it is closed."""
        return self._socket.fileno()

    def receive(self) -> Received | None:
        """Return the next datagram, None when there is none."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                MOST_BYTES + 1, _ROOM, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        return _received(b"" if flags & _CUT else data, ancillary)

    def close(self) -> None:
        """Give up both; twice is once."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._socket.close()


def _capacity() -> int:
    """Return what a socket that is made now can hold: net.unix.max_dgram_qlen, and one."""
    try:
        with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as file:
            return min(int(file.read()) + 1, _CAPACITY)
    except OSError:
        return _CAPACITY


def _bind(sock: socket.socket, path: str) -> None:
    try:
        sock.bind(path)
    except FileNotFoundError:
        directory = os.path.dirname(path)
        os.mkdir(directory)
        os.chmod(directory, _PASSABLE)
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        os.unlink(path)
        sock.bind(path)
    os.chmod(path, _EVERYBODY)  # whatever our umask is


def _received(data: bytes, ancillary: Iterable[tuple[int, int, bytes]]) -> Received:
    pid, uid, pidfd, fds = 0, -1, -1, []
    for level, kind, content in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _CREDENTIALS.unpack(content)
        elif kind == socket.SCM_RIGHTS:
            whole = len(content) // _FD.size * _FD.size
            fds += [fd for (fd,) in _FD.iter_unpack(content[:whole])]
        elif kind == _SCM_PIDFD:
            # Below 6.16 an error number where the sender is dead.
            pidfd = max(-1, *_FD.unpack(content))
    return Received(data, pid, uid, pidfd, tuple(fds))
