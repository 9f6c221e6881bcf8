"""Write to a descriptor that others share, such as stderr, and never wait for its reader.

Facts: O_NONBLOCK belongs to the open file, so that setting it would break whoever
shares it; a pipe that is writable takes PIPE_BUF without blocking; a terminal takes
half a line and lets its writer wait for the rest, until ^Q.  Decision: ask poll(2)
first, write no more than PIPE_BUF at once, and open a terminal anew for ourselves.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from pidsup.loop.loop import Loop

AT_ONCE = 4096  # PIPE_BUF
_MOST_WRITES = 16  # of one turn, of those who give way


class Outlet:
    """The way out for lines.  Borrows a descriptor, and never changes its flags.

    Owns a duplicate of it, which is waited for by nobody else; of a terminal an opening.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        more: Callable[[], bytes],
        *,
        lost: Callable[[OSError], object] | None = None,
        most_writes: int = _MOST_WRITES,
    ) -> None:
        """Write to *fd* what *more* returns, as long as that is something.

        *lost* hears why what it returned last could not be written, when nobody will
        ever read it.  After *most_writes* others have their turn.
        """
        self._loop = loop
        self._more = more
        self._lost = lost
        self._most_writes = most_writes
        self._own_fd = _one_of_our_own(fd)
        self._fd = fd if self._own_fd < 0 else self._own_fd
        self._left = memoryview(b"")  # of what is being written
        self.busy = False  #: it will come and ask for more by itself
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    def write(self) -> None:
        """Write what the other end takes; come back when it takes more."""
        self.busy = False
        for _ in range(self._most_writes):
            if not self._fill():
                return
            if not self._poll.poll(0) or not self._write_some():
                self._wait()
                return
        self.busy = True
        self._loop.call_soon(self.write)

    def _fill(self) -> bool:
        if not self._left:
            self._left = memoryview(self._more())
        return bool(self._left)

    def _write_some(self) -> bool:
        """Write once; False when somebody has made it non-blocking, and it is full."""
        try:
            self._left = self._left[os.write(self._fd, self._piece()) :]
        except BlockingIOError:
            return False
        except OSError as error:
            self._left = memoryview(b"")
            if self._lost is not None:
                self._lost(error)
        return True

    def _piece(self) -> memoryview:
        """Return what one write takes; whole lines if possible, others write there too."""
        piece = self._left[:AT_ONCE]
        if len(piece) < len(self._left):
            end = bytes(piece).rfind(b"\n") + 1
            piece = piece[: end or AT_ONCE]
        return piece

    def _wait(self) -> None:
        self.busy = True
        try:
            self._loop.add_writer(self._fd, self._writable)
        except OSError:  # EPERM: a file, which has always taken everything
            self.busy = False
            self._left = memoryview(b"")

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        self.write()

    def close(self, patience_s: float = 0.1, most_s: float = 2.0) -> None:
        """Write what is left, while a write takes no longer than *patience_s*; twice is once."""
        self._loop.remove_writer(self._fd)
        until = monotonic() + most_s
        while self._fill() and self._poll.poll(patience_s * 1000) and monotonic() < until:
            if not self._write_some():
                break
        self._left = memoryview(b"")
        self._more = bytes  # nothing
        if self._own_fd >= 0:
            fd, self._own_fd = self._own_fd, -1
            os.close(fd)


def _one_of_our_own(fd: int) -> int:
    """Return a descriptor of the same file for us alone; -1 where there can be none.

    A terminal is opened anew, non-blocking, if it is ours.
    """
    with suppress(OSError):
        if os.isatty(fd):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{fd}", flags)
    with suppress(OSError):
        return os.dup(fd)
    return -1
