"""unix(7): sockets that listen on a path, and the paths themselves.

A path outlives its socket.  One that is left over is removed only when no socket is
bound to it any more, and one of ours only while it is still ours.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pidsup.linux.sockets import Options, listen, prepare

_PATIENCE_S = 1.0
_LOOK_S = 0.01


class BoundPath:
    """A path that a socket of ours is bound to.  Owns what is in the file system."""

    __slots__ = ("_identity", "path")

    def __init__(self, path: str) -> None:
        """Take the path as it is now, right after the bind(2)."""
        self.path = path
        self._identity = _identity(path)

    def give(self, mode: int, uid: int, gid: int) -> None:
        """Set permissions and owner, -1 to leave it; never those of what took its place."""
        pin = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            pinned = f"/proc/self/fd/{pin}"
            if (uid, gid) != (-1, -1):
                os.chown(pinned, uid, gid)
            os.chmod(pinned, mode)
        except OSError as error:
            raise OSError(error.errno, f"owner or mode: {error.strerror}") from error
        finally:
            os.close(pin)

    def remove(self) -> None:
        """Remove it if it is still ours: while the socket lives, no other has its inode."""
        with suppress(OSError):  # it is gone, or not ours to remove any more
            if _identity(self.path) == self._identity:
                os.unlink(self.path)


def open_path(
    path: str, options: Options, *, mode: int, uid: int = -1, gid: int = -1
) -> tuple[socket.socket, BoundPath]:
    """Return a socket that listens on *path*; the caller owns both.

    Nobody gets through to it before mode and owner are as asked.  EADDRINUSE if another
    socket has the path, EEXIST if it is anything else than a socket.
    """
    sock = prepare(socket.AF_UNIX, options)
    bound: BoundPath | None = None
    try:
        os.fchmod(sock.fileno(), 0)  # bind(2) takes it for that of the path, less the umask
        _bind(sock, path)
        bound = BoundPath(path)
        bound.give(mode, uid, gid)
        listen(sock, options)
    except BaseException:
        if bound is not None:
            bound.remove()
        sock.close()
        raise
    return sock, bound


def _bind(sock: socket.socket, path: str) -> None:
    try:
        sock.bind(path)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        raise FileNotFoundError(
            errno.ENOENT, f"directory {folder!r} does not exist: create it"
        ) from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        with _locked(os.path.dirname(path)):
            _remove_stale(path)
            sock.bind(path)


def _remove_stale(path: str) -> None:
    """Remove the path of a socket that nobody has any more, else raise."""
    with suppress(FileNotFoundError):
        before = _identity(path)
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(
                errno.EEXIST, "something else than a socket has this path: move it away"
            )
        if _is_bound(path) or _identity(path) != before:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        os.unlink(path)


def _is_bound(path: str) -> bool:
    """Tell whether a socket is bound to the path, whatever its kind, listening or not.

    A datagram socket finds out without a trace: EPROTOTYPE tells that there is one of another
    kind.  A connection would be seen by its owner, and refused before its listen(2).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPROTOTYPE, errno.EPERM):
                raise
        return True


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Keep others who do the same, and systemd-tmpfiles, out of *folder*: flock(2)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise OSError(error.errno, f"directory {folder!r} is locked") from error
            time.sleep(_LOOK_S)  # at the start of a supervisor: nobody waits for its loop
        except OSError:  # a file system without locks, NFS: the inode is compared all the same
            return
        else:
            return


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
