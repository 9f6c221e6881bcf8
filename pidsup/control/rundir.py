"""The runtime directory of one supervisor: made, locked, and removed at the end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from pidsup.control.paths import SOCKET, base
from pidsup.errors import AlreadyRunning

_LOCK = "lock"
_LONGEST_PATH = 107  # sun_path less its NUL, unix(7)


class RuntimeDirectory:
    """A directory that no other supervisor of that name has.  Owns its lock."""

    def __init__(self, name: str) -> None:
        """Make and lock it.

        AlreadyRunning when another supervisor has it; PermissionError when something
        there belongs to another user, as the temporary directory is everybody's.
        """
        self.path = f"{base()}/{name}"
        self.socket_path = f"{self.path}/{SOCKET}"
        if len(os.fsencode(self.socket_path)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, f"{self.socket_path!r} is too long for a socket")
        self.lock_fd = -1
        while self.lock_fd < 0:
            for part in (base(), self.path):
                _make(part)
            self.lock_fd = _lock(f"{self.path}/{_LOCK}")

    def close(self) -> None:
        """Remove it with all that is in it."""
        for name in (SOCKET, _LOCK):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}/{name}")
        with contextlib.suppress(OSError):  # somebody has put something into it
            os.rmdir(self.path)
        os.close(self.lock_fd)


def _make(path: str) -> None:
    os.makedirs(path, mode=0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{path!r} is not a directory of user {os.geteuid()}")


def _lock(path: str) -> int:
    """Lock the file, whose content is the owner's pid; -1 to try again."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # its last owner has just removed the directory
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise AlreadyRunning(f"process {pid} runs it already; its lock is {path!r}") from None
    try:
        removed = not os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        removed = True
    if removed:  # by its last owner, between our opening and locking it
        os.close(fd)
        return -1
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd
