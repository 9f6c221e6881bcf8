"""The daemon's own log: lines on stderr, event first, then key=value.

A log that nobody reads stalls nothing: lines are written only while the other
end takes them, and what does not fit a bounded queue is counted and said.
`logging` would cost 1 MB and blocks.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from time import gmtime, strftime
from typing import Protocol

from pidsup.kernel import Kernel
from pidsup.loop.loop import Loop
from pidsup.loop.outlet import AT_ONCE, Outlet

_MOST_LINES = 4096
_LEVELS = {"error": 3, "warning": 4, "info": 6}
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
    """Lines on a descriptor, by an Outlet: it borrows that, and stalls for nobody."""

    def __init__(self, loop: Loop, kernel: Kernel, fd: int = 2, *, level: str = "info") -> None:
        """Write what is of *level* or worse, for the journal with priorities, else with times."""
        self._least = _LEVELS[level]
        self._loop = loop
        self._kernel = kernel
        self._for_journal = _is_journal(fd)
        self._records: deque[tuple[int, float, str, dict[str, object]]] = deque()
        self._dropped = 0
        self._scheduled = False
        self._time = Timestamps()
        self._outlet = Outlet(loop, fd, self._lines)

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
        if priority > self._least:
            return
        if len(self._records) >= _MOST_LINES:
            self._dropped += 1
            return
        self._records.append((priority, self._kernel.wall(), event, facts))
        if not self._scheduled and not self._outlet.busy:
            self._scheduled = True
            # In the turn after next: first come the successors of those that died.
            self._loop.call_soon(self._loop.call_soon, self._write)

    def _write(self) -> None:
        self._scheduled = False
        self._outlet.write()

    def close(self) -> None:
        """Write what is left, if that takes no longer than a moment; twice is once."""
        self._outlet.close()

    def _lines(self) -> bytes:
        """Format some lines; nothing when there are none."""
        lines, size = [], 0
        while self._records and size < AT_ONCE // 2:
            lines.append(self._line(*self._records.popleft()))
            size += len(lines[-1])
        if self._dropped and not self._records:
            facts: dict[str, object] = {"count": self._dropped}
            lines.append(self._line(4, self._kernel.wall(), "log lines dropped", facts))
            self._dropped = 0
        return b"".join(lines)

    def _line(self, priority: int, at: float, event: str, facts: dict[str, object]) -> bytes:
        start = f"<{priority}>" if self._for_journal else f"{self._time(at)} {_WORDS[priority]}"
        words = [event, *(f"{key}={_quoted(value)}" for key, value in facts.items())]
        return (start + " ".join(words)).encode("utf-8", "backslashreplace") + b"\n"


class Timestamps:
    """Times as lines have them, RFC 3339 in UTC, with milliseconds."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        """Remember the last second that was formatted."""
        self._second, self._text = -1, ""

    def __call__(self, at: float) -> str:
        """Format *at*, seconds since 1970."""
        second = int(at)
        if second != self._second:
            self._second, self._text = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._text}.{int(at % 1 * 1000):03}Z"


def span(seconds: float) -> str:
    """Word a number of seconds: "5 ms", "1.2 s", "14 s", "3 min", "5 h", "12 d"."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{int(seconds)} s"


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    plain = text.isprintable() and not any(c in text for c in " \"'=")
    return text if text and plain else repr(text)


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
