"""A log of lines on a descriptor, such as stderr."""

from __future__ import annotations

import os
import sys

from pidsup.kernel import Kernel
from pidsup.log.log import QueuedLog
from pidsup.log.words import Timestamps, worded
from pidsup.loop.loop import Loop
from pidsup.loop.outlet import AT_ONCE, Outlet
from pidsup.systemd.journal import is_stream

_WORDS = {2: "error: ", 3: "error: ", 4: "warning: ", 6: ""}


class StderrLog(QueuedLog):
    """Lines on a descriptor, by an Outlet: it borrows that, and stalls for nobody."""

    def __init__(self, loop: Loop, kernel: Kernel, fd: int = 2, *, level: str = "info") -> None:
        """Write what is of *level* or worse, for the journal with priorities, else with times."""
        super().__init__(loop, kernel, level=level)
        self._for_journal = is_stream(fd, os.environ.get("JOURNAL_STREAM", ""))
        self._time = Timestamps()
        self._outlet = Outlet(loop, fd, self._lines)

    def _add_bug(self, text: str) -> None:
        for line in text.splitlines():
            self._add(2, line, {})

    def _waits(self) -> bool:
        return self._outlet.busy

    def _write(self) -> None:
        self._outlet.write()

    def close(self) -> None:
        """Write what is left, if that takes no longer than a moment; twice is once."""
        self._outlet.close()

    def _lines(self) -> bytes:
        """Format some lines; nothing when there are none."""
        lines: list[bytes] = []
        size = 0
        while size < AT_ONCE // 2:
            record = self._next()
            if record is None:
                break
            lines.append(self._line(*record))
            size += len(lines[-1])
        return b"".join(lines)

    def _line(self, priority: int, at: float, event: str, facts: dict[str, object]) -> bytes:
        start = f"<{priority}>" if self._for_journal else f"{self._time(at)} {_WORDS[priority]}"
        return (start + worded(event, facts)).encode("utf-8", "backslashreplace") + b"\n"


def die(text: str, code: int) -> int:
    """Say on stderr why a program ends, and return its exit code."""
    sys.stderr.write(f"pidsup: {text}\n")
    return code
