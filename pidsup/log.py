"""The daemon's own log: lines on stderr, event first, then key=value.

A log that nobody reads stalls nothing: lines are written only while the other
end takes them, at most PIPE_BUF at once, and what does not fit a bounded queue
is counted and said.  `logging` would cost 1 MB and blocks.
"""

from __future__ import annotations

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
_WORDS = {2: "error: ", 3: "error: ", 4: "warning: ", 6: ""}


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
    """Lines on a descriptor.  Borrows it, and never changes its flags: others share it.

    Owns a second opening of it where it is a terminal: that takes half a line and lets
    the writer wait for the rest, until ^Q.
    """

    def __init__(self, loop: Loop, kernel: Kernel, fd: int = 2) -> None:
        """Write to *fd*; for the journal with priorities, else with the time."""
        self._loop = loop
        self._kernel = kernel
        self._own_fd = _reopened_terminal(fd)
        self._fd = fd if self._own_fd < 0 else self._own_fd
        self._for_journal = _is_journal(fd)
        self._records: deque[tuple[int, float, str, dict[str, object]]] = deque()
        self._out = b""  # formatted, and still to be written
        self._dropped = 0
        self._scheduled = False
        self._second = (0, "")  # the last one that was formatted
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

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
        try:
            import traceback

            text = "".join(traceback.format_exception(error))
        except Exception:  # noqa: BLE001  no descriptor to import it with: say what there is
            text = repr(error)
        for line in text.rstrip().splitlines():
            self._add(2, line, {})

    def _add(self, priority: int, event: str, facts: dict[str, object]) -> None:
        if len(self._records) >= _MOST_LINES:
            self._dropped += 1
            return
        self._records.append((priority, self._kernel.wall(), event, facts))
        if not self._scheduled:
            self._scheduled = True
            # In the turn after next: first come the successors of those that died.
            self._loop.call_soon(self._loop.call_soon, self._write)

    def _write(self) -> None:
        """Write what the other end takes; come back when it takes more."""
        self._scheduled = False
        while self._fill():
            if not self._poll.poll(0):
                self._wait()
                return
            try:
                self._out = self._out[os.write(self._fd, self._out[:_AT_ONCE]) :]
            except BlockingIOError:  # somebody has made it non-blocking
                self._wait()
                return
            except OSError:  # nobody will ever read it
                self._out = b""

    def _wait(self) -> None:
        self._scheduled = True
        try:
            self._loop.add_writer(self._fd, self._writable)
        except OSError:  # EPERM: a file, which has always taken everything
            self._scheduled = False
            self._out = b""

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        self._write()

    def close(self) -> None:
        """Write what is left, if that takes no longer than a moment; twice is once."""
        self._loop.remove_writer(self._fd)
        while self._fill() and self._poll.poll(100):
            try:
                self._out = self._out[os.write(self._fd, self._out[:_AT_ONCE]) :]
            except OSError:
                break
        if self._own_fd >= 0:
            fd, self._own_fd = self._own_fd, -1
            os.close(fd)

    def _fill(self) -> bool:
        """Format some lines if there are none; True if there is something to write."""
        if not self._out:
            lines, size = [], 0
            while self._records and size < _AT_ONCE // 2:
                lines.append(self._line(*self._records.popleft()))
                size += len(lines[-1])
            if self._dropped and not self._records:
                facts: dict[str, object] = {"count": self._dropped}
                lines.append(self._line(4, self._kernel.wall(), "log lines dropped", facts))
                self._dropped = 0
            self._out = b"".join(lines)
        return bool(self._out)

    def _line(self, priority: int, at: float, event: str, facts: dict[str, object]) -> bytes:
        start = f"<{priority}>" if self._for_journal else f"{self._time(at)} {_WORDS[priority]}"
        words = [event, *(f"{key}={_quoted(value)}" for key, value in facts.items())]
        return (start + " ".join(words)).encode("utf-8", "backslashreplace") + b"\n"

    def _time(self, at: float) -> str:
        second = int(at)
        if second != self._second[0]:
            self._second = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._second[1]}.{int(at % 1 * 1000):03}Z"


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    plain = text.isprintable() and not any(c in text for c in " \"'=")
    return text if text and plain else repr(text)


def _reopened_terminal(fd: int) -> int:
    """Open the terminal behind *fd* anew, non-blocking; -1 if it is none, or not ours."""
    try:
        if os.isatty(fd):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        pass
    return -1


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
