"""Output of workers as answers: lines with their text, and what was missed."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Generator

from pidsup.control.protocol import Message, encode, reply
from pidsup.errors import Invalid
from pidsup.output.follower import Follower, Line
from pidsup.output.outputs import Outputs, SlotOutput
from pidsup.supervisor.selectors import Filter

_AT_ONCE = 1 << 16  # bytes of lines in one answer of several
_MOST_AT_ALL = 1 << 22  # in a single one
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


def _answer(lines: list[Line], missed: int, *, continues: bool) -> Message:
    return reply(
        {"lines": [line_facts(line) for line in lines], "missed": missed}, continues=continues
    )


def all_at_once(follower: Follower) -> Generator[Message | None, None, None]:
    """Make one answer of all there is, in slices; Invalid if that is too much for one."""
    told: list[Line] = []
    size = missed = 0
    try:
        while not follower.over:
            lines, more_missed = follower.take(_AT_ONCE)
            told += lines
            missed += more_missed
            size += sum(len(line.data) for line in lines)
            if size > _MOST_AT_ALL:
                raise Invalid(
                    "lines", 'too much for one answer: ask for fewer, or call with "more"'
                )
            yield None
        yield _answer(told, missed, continues=False)
    finally:
        follower.close()


class LineStream:
    """Lines as they come.  Owns the follower."""

    def __init__(self, follower: Follower, *, more_of: tuple[Outputs, Filter] | None) -> None:
        """Take over a follower; *more_of* selects those that are still to be opened."""
        self.endless = more_of is not None
        self.over = False
        self._follower: Follower | None = follower
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
        follower = self._follower
        if follower is None:
            return None
        lines, missed = follower.take(_AT_ONCE)
        self.over = follower.over or not self._left
        if lines or missed or self.over:
            return encode(_answer(lines, missed, continues=not self.over))
        follower.when_more(self._ready)
        return None

    def _opened(self, slot: SlotOutput) -> None:
        """Follow a slot that has been started for the first time, if it is one of ours."""
        if self._follower is None or self._more_of is None or not self._left:
            return
        if self._more_of[1].takes(slot.name):
            self._left -= 1
            self._follower.add(slot.name, slot.rings)

    def close(self) -> None:
        """Follow no longer."""
        if self._more_of is not None:
            self._more_of[0].on_opened.pop(self._opened, None)
        if self._follower is not None:
            follower, self._follower = self._follower, None
            follower.close()
