"""A file that output is appended to: rotated, opened anew when it was moved away.

Used by the writer's thread alone, and blocks as long as the disk does.  What cannot
be written raises OSError; `taken` tells how much was written before.
"""

from __future__ import annotations

import os
import stat
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from time import monotonic, time

from pidsup.linux.birth import born_at
from pidsup.output.rotation import shift

_LOOK_EVERY_S = 0.02  # is it still the file of that name?  2 us
_MOST_PARTS = 1024  # IOV_MAX
_NEWLINE = 10
ROTATE_AGAIN_S = 60.0  #: after a rotation that failed
_FLAGS = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    | os.O_NONBLOCK  # for a FIFO that nobody reads; to a regular file it means nothing
)  # fmt: skip


class LogFile:
    """One path.  Owns the descriptor behind it."""

    #: Held while rotated files change their names.  One for all: a path that is opened anew
    #: while its last output is still being written, or compressed, has two of these.
    names = allocate_lock()

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int = 0,
        max_age_s: float = 0.0,
        keep: int = 10,
        rotated: Callable[[LogFile, OSError | None], object] | None = None,
    ) -> None:
        """Open nothing yet; *rotated* hears of each rotation, or why there was none."""
        self.path = path
        self.keep = keep
        self.taken = 0  #: bytes written, of those that write() was given
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._rotated = rotated
        self._fd = -1
        self._id = (0, 0)
        self._size = 0
        self._is_regular = False
        self._born_at = 0.0
        self._ends_line = True
        self._failed = False
        self._looked_at = 0.0
        self._rotate_from = 0.0
        self._was_open = False

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append; lines are not split between two files, unless they are larger than two."""
        self._look()
        size = sum(map(len, chunks))
        if self._is_regular and self._may_rotate(size):
            self._write_rotating(b"".join(chunks))
        else:
            self._append(chunks, size)

    def _may_rotate(self, more: int) -> bool:
        """Rotate what is too old; tell whether it will be too large with *more* bytes."""
        if self._max_age_s and self._size and time() - self._born_at >= self._max_age_s:
            self._rotate()
        return bool(self._max_bytes) and self._size + more > self._max_bytes

    # --- opening

    def _look(self) -> None:
        """Open it if it is not open, or if another file has its name, or none."""
        now = monotonic()
        if self._fd >= 0:
            if now - self._looked_at < _LOOK_EVERY_S:
                return
            try:
                found = os.stat(self.path)
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == self._id:
                self._size = found.st_size  # copytruncate makes it smaller
                self._looked_at = now
                return
            self.close()
        self._open()
        self._looked_at = now

    def _open(self) -> None:
        # No directory is made: with whose rights, and on which disk, if one was unmounted?
        self._fd = os.open(self.path, _FLAGS, 0o640)
        found = os.fstat(self._fd)
        self._id = found.st_dev, found.st_ino
        self._is_regular = stat.S_ISREG(found.st_mode)
        self._size = found.st_size if self._is_regular else 0
        if not self._was_open or not self._size:
            self._ends_line = True
        self._was_open = True
        if self._max_age_s and self._is_regular:
            self._born_at = born_at(self._fd) or self._born_after()

    def _born_after(self) -> float:
        """Return when its predecessor got its name, where file systems know no births."""
        try:
            return os.stat(f"{self.path}.1").st_ctime
        except OSError:
            return time()

    def close(self) -> None:
        """Close the descriptor; the next write opens it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # --- writing

    def _append(self, chunks: Sequence[bytes], size: int) -> None:
        """Write all of it, *size* bytes; on a new line if what came before was torn."""
        try:
            if self._failed and not self._ends_line:
                os.write(self._fd, b"\n")
            self._failed = False
            count = self._wrote(os.writev(self._fd, chunks[:_MOST_PARTS]))
            self._ends_line = count == size and chunks[-1].endswith(b"\n")
            if count < size:  # the disk is nearly full, or there are many chunks
                self._append_bytes(memoryview(b"".join(chunks))[count:])
        except OSError:
            self._failed = True
            raise

    def _append_bytes(self, data: memoryview) -> None:
        while data:
            count = self._wrote(os.write(self._fd, data))
            self._ends_line = data[count - 1] == _NEWLINE
            data = data[count:]

    def _wrote(self, count: int) -> int:
        self.taken += count
        self._size += count
        return count

    # --- rotation

    def _write_rotating(self, data: bytes) -> None:
        while data:
            piece = self._fitting(data)
            if piece:
                self._append([data[:piece]], piece)
                data = data[piece:]
            if data and not self._rotate():
                self._append([data], len(data))
                return

    def _fitting(self, data: bytes) -> int:
        """Return how much of *data* goes into this file: whole lines, if there are any.

        A line that has begun in it is ended in it, up to twice the size.
        """
        room = self._max_bytes - self._size
        if len(data) <= room:
            return len(data)
        cut = data.rfind(b"\n", 0, max(room, 0)) + 1
        if cut or (self._ends_line and self._size):
            return cut
        end = data.find(b"\n") + 1 or len(data)
        return min(end, max(room + self._max_bytes, 0))

    def _rotate(self) -> bool:
        """Begin a new file; False if that cannot be, now."""
        if monotonic() < self._rotate_from:
            return False
        try:
            with self.names:
                shift(self.path, self.keep)
        except OSError as error:
            self._rotate_from = monotonic() + ROTATE_AGAIN_S
            self._tell(error)
            return False
        self.close()
        self._open()
        self._tell(None)
        return True

    def _tell(self, error: OSError | None) -> None:
        if self._rotated is not None:
            self._rotated(self, error)
