"""The pipe between the workers of one slot and us.

We hold both ends: it is the slot's and not a worker's, so that there is no end of
file, and what a grandchild still writes is not lost.
"""

from __future__ import annotations

import os
from fcntl import F_GETPIPE_SZ, F_SETPIPE_SZ, fcntl, ioctl
from struct import unpack

_FIONREAD = 0x541B  # asm-generic/ioctls.h, for x86 and Arm; `termios` is one more library
_LARGE = 1 << 20  # pipe-max-size, pipe(7), for those who are not root


class Pipe:
    """Owns both ends; `out` is non-blocking, `into` is what workers get."""

    __slots__ = ("_owner", "_usual", "capacity", "into", "out")

    def __init__(self) -> None:
        """Make it."""
        self.out, self.into = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.out, False)
        self.capacity = self._usual = fcntl(self.out, F_GETPIPE_SZ)
        self._owner = os.geteuid()

    def prepare(self, uid: int) -> None:
        """Make it fit for a worker of this user.

        Blocking, which a Node.js worker has changed for all that come after it; and
        the worker's own, so that it can open /dev/stdout.
        """
        os.set_blocking(self.into, True)
        if uid != self._owner:
            try:
                os.fchown(self.into, uid, -1)
            except PermissionError:  # it can do all but open it anew
                return
            self._owner = uid

    def read(self, most: int) -> bytes:
        """Return what there is, b"" when there is nothing."""
        try:
            return os.read(self.out, most)
        except BlockingIOError:
            return b""

    def waiting(self) -> int:
        """Return how many bytes are in it."""
        count: int = unpack("i", ioctl(self.out, _FIONREAD, b"\0\0\0\0"))[0]
        return count

    def enlarge(self) -> None:
        """Make it as large as Linux allows everybody, if this user has not used that up."""
        try:
            self.capacity = fcntl(self.out, F_SETPIPE_SZ, _LARGE)
        except OSError:  # EPERM: pipe-user-pages-soft; EBUSY: more is in it
            return

    def restore(self) -> None:
        """Make it as large as it was: what its user may have in pipes is limited."""
        try:
            self.capacity = fcntl(self.out, F_SETPIPE_SZ, self._usual)
        except OSError:  # EBUSY: more is in it
            return

    def close(self) -> None:
        """Close both ends; twice is once."""
        out, self.out = self.out, -1
        into, self.into = self.into, -1
        for fd in (out, into):
            if fd >= 0:
                os.close(fd)
