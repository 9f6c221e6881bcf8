"""The runtime directory of one supervisor: made, locked, and removed at the end.

One that systemd has made for it is emptied, and left to systemd.

Where nothing can be written, in a container with a read-only root, say, the lock and
the control socket are abstract, unix(7): they are in no file system, and who connects
is known by his credentials in either case.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat

from pidsup.control.paths import SOCKET, abstract_address, base, of_systemd
from pidsup.errors import AlreadyRunning

_LOCK = "lock"
_NOTIFY = "notify"
_ROOM = len("/1000000")  # for the number of a slot's socket
_LONGEST_PATH = 107  # sun_path less its NUL, unix(7)
_CANNOT_WRITE = frozenset(
    {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSPC, errno.EDQUOT}
)


class RuntimeDirectory:
    """A directory, or abstract name, that no other supervisor of that name has.  Owns its lock."""

    def __init__(self, name: str, *, public: bool = False) -> None:
        """Make and lock it; *public*: others than its owner can pass through it.

        AlreadyRunning when another supervisor has it; PermissionError when something
        there belongs to another user, as the temporary directory is everybody's.
        """
        given = of_systemd(name)
        self._made = [base(), f"{base()}/{name}"] if given is None else []  # by us
        self.path: str | None = given or self._made[-1]  #: None where there is no directory
        self.address = f"{self.path}/{SOCKET}"  #: of the control socket
        if len(os.fsencode(self.address)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, f"{self.address!r} is too long for a socket")
        self._bound: socket.socket | None = None  # what holds an abstract lock
        try:
            self.lock_fd = self._make_and_lock(self.path, public=public)
        except OSError as error:
            if error.errno not in _CANNOT_WRITE:
                raise
            self.path, self.address = None, abstract_address(name)
            self._bound = _lock_abstract(f"{self.address}/{_LOCK}")
            self.lock_fd = self._bound.fileno()

    def _make_and_lock(self, path: str, *, public: bool) -> int:
        lock_fd = -1
        while lock_fd < 0:
            for part in self._made or [path]:
                _make(part, 0o755 if public or os.geteuid() == 0 else 0o700)
            lock_fd = _lock(f"{path}/{_LOCK}")
        return lock_fd

    def open_up(self) -> None:
        """Let others than its owner pass through it."""
        if self.path is not None:
            for part in self._made or [self.path]:
                _make(part, 0o755)

    def notify(self, *, in_files: bool = True) -> str:
        """Return where workers may talk to us: a directory still to be made, or NUL and a name.

        Without *in_files* always the latter, which any user can reach.
        """
        if self.path is None:
            return f"{self.address}/{_NOTIFY}"
        path = f"{self.path}/{_NOTIFY}"
        if in_files and len(os.fsencode(path)) + _ROOM <= _LONGEST_PATH:
            return path
        return f"{abstract_address(os.path.basename(self.path))}/{_NOTIFY}"

    def close(self) -> None:
        """Remove it with all that is in it."""
        if self._bound is not None:
            self._bound.close()
            return
        _remove_sockets(f"{self.path}/{_NOTIFY}")
        for name in (SOCKET, _LOCK):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}/{name}")
        if self._made:
            with contextlib.suppress(OSError):  # somebody has put something into it
                os.rmdir(str(self.path))
        os.close(self.lock_fd)


def _remove_sockets(directory: str) -> None:
    """Remove the directory of notify sockets, with those of a run that was killed."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)


def _make(path: str, mode: int) -> None:
    os.makedirs(path, mode=mode, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{path!r} is not a directory of user {os.geteuid()}")
    if mode & ~found.st_mode:  # it is older, or we have a umask
        os.chmod(path, mode)


def _lock_abstract(address: str) -> socket.socket:
    """Bind a socket that is never used: the kernel gives an abstract name to one only."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise AlreadyRunning("another process runs it already") from None
        raise
    return bound


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
