"""What a log is, and what its kinds have in common: a bounded queue."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from pidsup.kernel import Kernel
from pidsup.loop.loop import Loop

_MOST_RECORDS = 4096
_LEVELS = {"error": 3, "warning": 4, "info": 6}


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


class Record(NamedTuple):
    """Something that was said."""

    priority: int  #: syslog(3)
    at: float  #: seconds since 1970
    event: str
    facts: dict[str, object]


class QueuedLog:
    """Keeps what is said until it can be written; who derives from it writes."""

    def __init__(self, loop: Loop, kernel: Kernel, *, level: str = "info") -> None:
        """Keep what is of *level* or worse."""
        self._loop = loop
        self._kernel = kernel
        self.keep(level)
        self._records: deque[Record] = deque()
        self._dropped = 0
        self._scheduled = False

    def keep(self, level: str) -> None:
        """Keep what is of *level* or worse from now on."""
        self._least = _LEVELS[level]

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
        self._add_bug(text.rstrip())

    def _add_bug(self, text: str) -> None:
        self._add(2, text, {})

    def _add(self, priority: int, event: str, facts: dict[str, object]) -> None:
        if priority > self._least:
            return
        if len(self._records) >= _MOST_RECORDS:
            self._dropped += 1
            return
        self._records.append(Record(priority, self._kernel.wall(), event, facts))
        if not self._scheduled and not self._waits():
            self._scheduled = True
            # In the turn after next: first come the successors of those that died.
            self._loop.call_soon(self._loop.call_soon, self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        self._write()

    def _next(self) -> Record | None:
        """Return what is to be written next; behind all others, how many were dropped."""
        if self._records:
            return self._records.popleft()
        if not self._dropped:
            return None
        facts: dict[str, object] = {"count": self._dropped}
        self._dropped = 0
        return Record(4, self._kernel.wall(), "log lines dropped", facts)

    def _waits(self) -> bool:
        """Tell whether it will write by itself, once the other end takes more."""
        raise NotImplementedError

    def _write(self) -> None:
        """Write what can be written now."""
        raise NotImplementedError
