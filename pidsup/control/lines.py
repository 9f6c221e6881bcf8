"""Output of workers as answers: lines with their text, and what was missed.

A line of a few bytes costs as much as one of a hundred: so that a flood of empty lines
holds nobody up, a turn makes no more than so many of them.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Generator

from pidsup.control.protocol import Message, encode
from pidsup.errors import Invalid
from pidsup.output.follower import Follower, Line
from pidsup.output.outputs import Outputs, SlotOutput
from pidsup.supervisor.selectors import Filter

_BYTES_AT_ONCE = 1 << 14
_LINES_AT_ONCE = 500
_MOST_AT_ALL = 1 << 22  # bytes, of a single answer
_MOST_ADDED = 10_000  # slots; then it is over, and whoever wants more asks again


def line_facts(line: Line) -> Message:
    """Return type Line."""
    text = base64 = None
    try:
        text = line.data.decode()
    except UnicodeDecodeError:
        base64 = b2a_base64(line.data, newline=False).decode()
    return {
        "slot": line.slot,
        "serial": line.serial,
        "stream": line.stream,
        "at": line.at,
        "text": text,
        "base64": base64,
        "partial": line.partial,
    }


class _Lines:
    """Takes lines from a follower, no more than a turn may make.  Borrows it."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._taken: list[Line] = []

    @property
    def over(self) -> bool:
        return self._follower.over and not self._taken

    def take(self) -> tuple[bytes, int]:
        """Return lines, encoded and joined by commas, and how many bytes were missed."""
        missed = 0
        if not self._taken:
            self._taken, missed = self._follower.take(_BYTES_AT_ONCE)
        now, self._taken = self._taken[:_LINES_AT_ONCE], self._taken[_LINES_AT_ONCE:]
        return b",".join([encode(line_facts(line))[:-1] for line in now]), missed


def _answer(lines: bytes, missed: int, *, continues: bool = False) -> bytes:
    end = b',"continues":true}\0' if continues else b"}\0"
    return b'{"parameters":{"lines":[%b],"missed":%d}%b' % (lines, missed, end)


def all_at_once(follower: Follower) -> Generator[bytes | None, None, None]:
    """Make one answer of all there is, in slices; Invalid if that is too much for one."""
    lines = _Lines(follower)
    told: list[bytes] = []
    size = missed = 0
    try:
        while not lines.over:
            more, more_missed = lines.take()
            if more:
                told.append(more)
            missed += more_missed
            size += len(more)
            if size > _MOST_AT_ALL:
                raise Invalid("lines", 'too much for one answer: ask for fewer, or with "more"')
            yield None
        yield _answer(b",".join(told), missed)
    finally:
        follower.close()


class LineStream:
    """Lines as they come.  Owns the follower."""

    def __init__(self, follower: Follower, *, more_of: tuple[Outputs, Filter] | None) -> None:
        """Take over a follower; *more_of* selects those that are still to be opened."""
        self.endless = more_of is not None
        self.over = False
        self._follower = follower
        self._lines = _Lines(follower)
        self._more_of = more_of
        self._left = _MOST_ADDED
        self._ready: Callable[[], object] = bool
        if more_of is not None:
            more_of[0].on_opened[self._opened] = None

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* when there are lines."""
        self._ready = ready

    def next(self) -> bytes | None:
        """Return the lines that there are, no more than fit one answer."""
        lines, missed = self._lines.take()
        self.over = self._lines.over or not self._left
        if lines or missed or self.over:
            return _answer(lines, missed, continues=not self.over)
        self._follower.when_more(self._ready)
        return None

    def _opened(self, slot: SlotOutput) -> None:
        """Follow a slot that has been started for the first time, if it is one of ours."""
        if self._more_of is not None and self._left and self._more_of[1].takes(slot.name):
            self._left -= 1
            self._follower.add(slot.name, slot.rings)

    def close(self) -> None:
        """Follow no longer; twice is once."""
        if self._more_of is not None:
            self._more_of[0].on_opened.pop(self._opened, None)
        self._follower.close()
