"""Compress rotated files, in a thread of its own, so that writing never waits for it.

It keeps no list: it looks for the oldest FILE.n that is not compressed, until there is
none.  So what a crash has left is done the next time, and a name that changes
meanwhile is found again by its inode.
"""

from __future__ import annotations

import errno
import os
from _thread import LockType, allocate_lock, get_native_id, start_new_thread
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pidsup.output.file import LogFile
from pidsup.output.rotation import GZIP, number_of, oldest_plain

_AT_ONCE = 1 << 18
_NICE = 10
_WBITS = 31  # deflate in the dress of gzip, zlib.compressobj(); the module gzip adds nothing
_UNFINISHED = ".gz-unfinished"


class Compressor:
    """One thread while there is something to do, for all files."""

    def __init__(self, failed: Callable[[str, OSError], object]) -> None:
        """Start nothing; *failed* hears of path and error, in that thread."""
        self._failed = failed
        self._todo: deque[LogFile] = deque()
        self._runs = allocate_lock()  # held by the thread
        self._state = allocate_lock()
        self._stopping = False

    def compress(self, file: LogFile) -> None:
        """Compress what there is of rotated files, soon; OSError when there can be no thread."""
        with self._state:
            self._todo.append(file)
            if self._runs.acquire(blocking=False):
                start_thread(self._run, self._runs)

    def close(self, patience_s: float) -> None:
        """Stop in the middle; what is not finished is done the next time."""
        self._stopping = True
        if self._runs.acquire(timeout=patience_s):
            self._runs.release()

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)  # of this thread alone
        while True:
            with self._state:
                if not self._todo or self._stopping:
                    self._runs.release()
                    return
                file = self._todo.popleft()
            try:
                while self._compress_oldest(file):
                    pass
            except OSError as error:
                self._failed(file.path, error)

    def _compress_oldest(self, file: LogFile) -> bool:
        """Compress one file; False if there was none."""
        path, keep = file.path, file.keep
        with file.names:
            number = oldest_plain(path, keep)
            if number == 0:
                return False
            source = os.open(f"{path}.{number}", os.O_RDONLY | os.O_CLOEXEC)
        unfinished = path + _UNFINISHED
        try:
            if not self._copy(source, unfinished):
                return False
            with file.names:
                number = number_of(path, keep, os.fstat(source).st_ino)
                if number:
                    os.rename(unfinished, f"{path}.{number}{GZIP}")
                    os.unlink(f"{path}.{number}")
        finally:
            os.close(source)
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
        return True

    def _copy(self, source: int, path: str) -> bool:
        """Write the compressed content to *path*; False if it was stopped."""
        from zlib import compressobj  # 0.1 MB, for those who want it

        found = os.fstat(source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        target = os.open(path, flags, found.st_mode & 0o777)
        try:
            zipped = compressobj(wbits=_WBITS)
            while data := os.read(source, _AT_ONCE):
                _write_all(target, zipped.compress(data))
                if self._stopping:
                    return False
            _write_all(target, zipped.flush())
            os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(target)  # before the original goes
        finally:
            os.close(target)
        return True


def start_thread(run: Callable[[], object], runs: LockType) -> None:
    """Start a thread that will release *runs*, which is held; OSError if that cannot be."""
    try:
        start_new_thread(run, ())
    except RuntimeError as error:  # pids.max, RLIMIT_NPROC
        runs.release()
        raise OSError(errno.EAGAIN, "no more threads can be started") from error


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
