"""The daemon's own log: lines on stderr, event first, then key=value.

A log that nobody reads stalls nothing: lines are written only while the other
end takes them, at most PIPE_BUF at once, and what does not fit a bounded queue
is counted and said.  `logging` would cost 1 MB and blocks.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections import deque
from time import gmtime, strftime
from typing import Protocol

from pidsup.kernel import Kernel
from pidsup.loop.loop import Loop

_MOST_LINES = 4096
_AT_ONCE = 4096  # PIPE_BUF: what a pipe that is writable takes without blocking


class Log(Protocol):
    """Where the upper layers report to."""

    def info(self, event: str, /, **facts: object) -> None:
        """Say what happened as it should."""

    def warning(self, event: str, /, **facts: object) -> None:
        """Say what went wrong and is dealt with; the text says what happens next."""

    def error(self, event: str, /, **facts: object) -> None:
        """Say what went wrong and stays so."""

    def bug(self, error: Exception, /) -> None:
        """Report a bug of ours, with its traceback."""


class StderrLog:
    """Lines on a descriptor.  Borrows it, and never changes its flags: others share it."""

    def __init__(self, loop: Loop, kernel: Kernel, fd: int = 2) -> None:
        """Write to *fd*; for the journal with priorities, else with the time."""
        self._loop = loop
        self._kernel = kernel
        self._fd = fd
        self._for_journal = _is_journal(fd)
        self._lines: deque[bytes] = deque()
        self._rest = b""  # of a write that took only a part
        self._dropped = 0
        self._scheduled = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def info(self, event: str, /, **facts: object) -> None:
        """Log what happened as it should."""
        self._add(6, event, facts)

    def warning(self, event: str, /, **facts: object) -> None:
        """Log what went wrong and is dealt with."""
        self._add(4, event, facts)

    def error(self, event: str, /, **facts: object) -> None:
        """Log what went wrong and stays so."""
        self._add(3, event, facts)

    def bug(self, error: Exception) -> None:
        """Log a bug of ours, with its traceback: for the border of the loop."""
        import traceback

        for line in "".join(traceback.format_exception(error)).rstrip().splitlines():
            self._add(2, line, {})

    def _add(self, priority: int, event: str, facts: dict[str, object]) -> None:
        if len(self._lines) >= _MOST_LINES:
            self._dropped += 1
            return
        self._lines.append(self._line(priority, event, facts))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def _line(self, priority: int, event: str, facts: dict[str, object]) -> bytes:
        if self._for_journal:
            start = f"<{priority}>"
        else:
            now = self._kernel.wall()
            start = strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now % 1 * 1000):03}Z "
            if priority < 6:
                start += "warning: " if priority == 4 else "error: "
        words = [event, *(f"{key}={_quoted(value)}" for key, value in facts.items())]
        return (start + " ".join(words)).encode("utf-8", "backslashreplace") + b"\n"

    def _write(self) -> None:
        """Write what the other end takes; come back when it takes more."""
        self._scheduled = False
        while self._rest or self._lines or self._dropped:
            if not self._poll.poll(0):
                self._wait()
                return
            data = self._next()
            try:
                self._rest = data[os.write(self._fd, data) :]
            except OSError as error:
                self._rest = b""
                if error.errno == errno.EAGAIN:  # somebody made it non-blocking
                    self._rest = data
                    self._wait()
                    return

    def _next(self) -> bytes:
        data = self._rest[:_AT_ONCE]
        if data:
            self._lines.appendleft(self._rest[_AT_ONCE:]) if self._rest[_AT_ONCE:] else None
            return data
        if not self._lines:
            self._lines.append(self._line(4, "log lines dropped", {"count": self._dropped}))
            self._dropped = 0
        data = self._lines.popleft()
        while self._lines and len(data) + len(self._lines[0]) <= _AT_ONCE:
            data += self._lines.popleft()
        if len(data) > _AT_ONCE:
            self._lines.appendleft(data[_AT_ONCE:])
        return data[:_AT_ONCE]

    def _wait(self) -> None:
        try:
            self._loop.add_writer(self._fd, self._writable)
        except OSError:  # EPERM: a file; it takes everything, or never will
            self._lines.clear()
            self._rest = b""
        self._scheduled = True

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        self._write()

    def close(self) -> None:
        """Write what is left, if that takes no longer than a moment."""
        self._loop.remove_writer(self._fd)
        while (self._rest or self._lines) and self._poll.poll(100):
            data = self._next()
            try:
                self._rest = data[os.write(self._fd, data) :]
            except OSError:
                return


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return repr(text) if not text or any(c in text for c in " \"'=\n\t") else text


def _is_journal(fd: int) -> bool:
    """Tell whether *fd* is the stream that JOURNAL_STREAM names, systemd.exec(5)."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        stat = os.fstat(fd)
    except OSError:
        return False
    return stream == f"{stat.st_dev}:{stat.st_ino}"


def die(text: str, code: int) -> int:
    """Say on stderr why a program ends, and return its exit code."""
    sys.stderr.write(f"pidsup: {text}\n")
    return code
