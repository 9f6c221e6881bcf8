"""Read the last output of several slots, and what comes, in the order in which it came.

A follower is a position in each ring, and no queue: who reads slowly costs no memory,
and what was overwritten before it was read is counted.  Lines are made here, when
somebody wants them; `take` does a bounded piece of the work.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from pidsup.loop.loop import Loop
from pidsup.output.lines import MOST_HELD
from pidsup.output.ring import BEGINS, ENDS, NAMES, Record, Ring

_PER_LINE = 100  # bytes that one counts for, besides its own: objects, JSON
_LONGEST_TEXT = 1000  # bytes of a line for people


class Line(NamedTuple):
    """A line without its newline."""

    slot: str
    serial: int  #: of the worker
    stream: str  #: stdout, stderr
    at: float  #: when its beginning was read, seconds since 1970
    data: bytes
    #: It has no newline.  What follows of it is the next of this slot, stream and serial.
    partial: bool


class _Unfinished:
    """What there is of a line whose end has yet to come."""

    __slots__ = ("at", "held", "is_late", "is_torn", "serial", "skipped")

    def __init__(self) -> None:
        self.held = bytearray()
        self.at = 0.0
        self.serial = 0
        self.is_torn = True  # we come into the middle of it
        self.is_late = False  # its beginning had to go before we came to read it
        self.skipped = 0  # bytes of lines of which that is so

    def feed(self, record: Record) -> Iterator[tuple[int, float, bytes, bool]]:
        """Yield serial, time, data and partial of each line that *record* completes."""
        start = 0
        if self.is_torn:
            self.is_torn = False
            if not record.flags & BEGINS:
                start = record.data.find(b"\n") + 1
                self.skipped += start if self.is_late else 0
        while (end := record.data.find(b"\n", start)) >= 0:
            yield self._take(record, record.data[start:end], partial=False)
            start = end + 1
        if start < len(record.data):
            if not self.held:
                self.at, self.serial = record.at, record.serial
            self.held += record.data[start:]
        if self.held and (record.flags & ENDS or len(self.held) >= MOST_HELD):
            yield self._take(record, b"", partial=True)

    def _take(self, record: Record, end: bytes, *, partial: bool) -> tuple[int, float, bytes, bool]:
        if not self.held:
            return record.serial, record.at, end, partial
        return self.serial, self.at, self.rest() + end, partial

    def rest(self) -> bytes:
        """Take what there is."""
        data = bytes(self.held)
        self.held.clear()
        return data


class _Cursor:
    """A position in the ring of one slot.  Borrows the ring."""

    def __init__(self, slot: str, ring: Ring, number: int, hear: Callable[[_Cursor], None]) -> None:
        self.slot = slot
        self.ring = ring
        self.number = number
        self.position = ring.start
        self.until: int | None = None  # None: whatever comes
        self._seen_bytes = ring.gone_bytes  # of all output before the position
        self._unfinished = _Unfinished()
        self._hear = hear

    def more(self) -> None:
        """Hear from the ring that there is more."""
        self._hear(self)

    # --- before reading

    def go_to_end(self) -> None:
        """Skip all that is there."""
        self.position, self._seen_bytes = self.ring.end, self.ring.all_bytes

    def before(self) -> Record | None:
        """Return the record before the position, None at the oldest."""
        return self.ring.read_before(self.position) if self.position > self.ring.start else None

    def go_back_over(self, record: Record) -> None:
        """Go to the beginning of the record before the position."""
        self.position = record.start
        self._seen_bytes -= len(record.data)

    # --- reading

    def catch_up(self) -> int:
        """Go to the oldest record if ours has gone; return how many bytes that misses."""
        if self.position >= self.ring.start:
            return 0
        missed = self.ring.gone_bytes - self._seen_bytes
        self.position, self._seen_bytes = self.ring.start, self.ring.gone_bytes
        missed += len(self._unfinished.rest())
        self._unfinished.is_torn = self._unfinished.is_late = True
        self._unfinished.skipped = 0
        return missed

    def next(self) -> Record | None:
        """Return the record at the position, None at the end."""
        until = self.ring.end if self.until is None else self.until
        return self.ring.read(self.position) if self.position < until else None

    def go_over(self, record: Record) -> None:
        """Go to the end of the record at the position."""
        self.position = record.end
        self._seen_bytes += len(record.data)

    def skipped(self) -> int:
        """Return how many bytes were left out since it was asked last."""
        count, self._unfinished.skipped = self._unfinished.skipped, 0
        return count

    def lines(self, record: Record) -> Iterator[Line]:
        """Yield the lines that *record* completes."""
        name = NAMES[self.ring.stream]
        for serial, at, data, partial in self._unfinished.feed(record):
            yield Line(self.slot, serial, name, at, data, partial)

    def rest(self) -> Iterator[Line]:
        """Yield what there is of a line that has no end."""
        it = self._unfinished
        if it.held:
            name = NAMES[self.ring.stream]
            yield Line(self.slot, it.serial, name, it.at, it.rest(), partial=True)


class Follower:
    """A reader of several rings.  Borrows them, and lets them grow while it follows."""

    def __init__(
        self,
        loop: Loop,
        slots: Iterable[tuple[str, Iterable[Ring]]],
        *,
        lines: int | None,
        stream: str | None,
        since: float | None,
        follow: bool,
    ) -> None:
        """Begin *lines* lines before the end, see Outputs.follow."""
        self.over = False  #: nothing more will come
        self._loop = loop
        self._since = since
        self._follows = follow
        self._callback: Callable[[], object] | None = None
        self._stream = stream
        wanted = [
            (name, ring)
            for name, rings in slots
            for ring in rings
            if stream in (None, NAMES[ring.stream])
        ]
        self._cursors = [_Cursor(*it, number, self._more) for number, it in enumerate(wanted)]
        self._skip = 0 if lines is None else self._go_back(lines)
        self._fresh = dict.fromkeys(self._cursors)  # those with something to read, perhaps
        for cursor in self._cursors:
            # Also without *follow*: a flood must not take what is to be read before it is.
            cursor.ring.follow(cursor, among=len(self._cursors))
            if not follow:
                cursor.until = cursor.ring.end

    def _wants(self, record: Record) -> bool:
        return self._since is None or record.at >= self._since

    def _go_back(self, wanted: int) -> int:
        """Move the cursors so that *wanted* lines are ahead; return how many are too many.

        From the newest record of all to older ones: what is further back costs nothing.
        """
        newest: list[tuple[int, int, Record]] = []
        for cursor in self._cursors:
            cursor.go_to_end()
            _push(newest, cursor, cursor.before(), -1)
        ahead = older = 0  # lines
        torn: dict[int, bool] = {}  # by ring: the beginning of the oldest line is not ahead
        while newest and ahead - sum(torn.values()) < wanted:
            _, number, record = heapq.heappop(newest)
            cursor = self._cursors[number]
            cursor.go_back_over(record)
            if self._wants(record):
                has_no_end = number not in torn and not record.data.endswith(b"\n")
                ahead += record.data.count(b"\n") + (has_no_end or bool(record.flags & ENDS))
                more, torn[number] = self._go_back_to_beginning(cursor, record)
                older += more
                _push(newest, cursor, cursor.before(), -1)
        return max(0, ahead + older - sum(torn.values()) - wanted)

    def _go_back_to_beginning(self, cursor: _Cursor, record: Record) -> tuple[int, bool]:
        """Go back to where the first line of *record* begins.

        Return how many older lines that has put ahead; and True if the first is torn, still.
        """
        while not record.flags & BEGINS:
            before = cursor.before()
            if before is None or not self._wants(before):
                return 0, True
            record = before
            cursor.go_back_over(record)
            lines = record.data.count(b"\n")
            if lines:
                return lines, not record.flags & BEGINS
        return 0, False

    # --- reading

    def take(self, most_bytes: int) -> tuple[list[Line], int]:
        """Return the next lines, about *most_bytes*, and how many bytes were missed.

        A line is at most 68 KiB long.  If there are none, `when_more` says when to ask
        again: at once, if *most_bytes* were spent on what is not wanted.
        """
        lines: list[Line] = []
        missed = size = 0
        queue: list[tuple[int, int, Record]] = []
        for cursor in self._fresh:
            missed += cursor.catch_up()
            _push(queue, cursor, cursor.next(), 1)
        while queue and size < most_bytes:
            _, number, record = heapq.heappop(queue)
            cursor = self._cursors[number]
            cursor.go_over(record)
            size += len(record.data)
            if self._wants(record):
                before = len(lines)
                lines += cursor.lines(record)
                size += _PER_LINE * (len(lines) - before)
            _push(queue, cursor, cursor.next(), 1)
        left = dict.fromkeys(self._cursors[number] for _, number, _ in queue)
        for cursor in self._fresh:
            missed += cursor.skipped()
        self._fresh = left
        if not left and not self._follows and not self.over:
            self.over = True
            lines += chain.from_iterable(cursor.rest() for cursor in self._cursors)
        if self._skip:
            skip = min(self._skip, len(lines))
            self._skip -= skip
            del lines[:skip]
        return lines, missed

    def add(self, slot: str, rings: Iterable[Ring]) -> None:
        """Follow another slot, too, from its beginning."""
        for ring in rings:
            if self._stream in (None, NAMES[ring.stream]):
                cursor = _Cursor(slot, ring, len(self._cursors), self._more)
                self._cursors.append(cursor)
                ring.follow(cursor, among=len(self._cursors))
                self._more(cursor)

    def when_more(self, callback: Callable[[], object]) -> None:
        """Call once, soon after there is something to take."""
        self._callback = callback
        if self._fresh or self.over:
            self._call()

    def _more(self, cursor: _Cursor) -> None:
        if not self._follows:
            return
        self._fresh[cursor] = None
        self._call()

    def _call(self) -> None:
        if self._callback is not None:
            callback, self._callback = self._callback, None
            self._loop.call_soon(callback)

    def close(self) -> None:
        """Stop following; twice is once."""
        self._callback = None
        cursors, self._cursors = self._cursors, []
        self._fresh.clear()
        self.over = True
        for cursor in cursors:
            cursor.ring.unfollow(cursor)


def _push(
    heap: list[tuple[int, int, Record]], cursor: _Cursor, record: Record | None, sign: int
) -> None:
    """Push what is next of a cursor; -1 as *sign* has the newest first."""
    if record is not None:
        heapq.heappush(heap, (sign * record.seq, cursor.number, record))


def last_lines(ring: Ring, count: int, serial: int) -> list[str]:
    """Return the last lines of one worker, for people: printable, and not endless."""
    pieces: list[bytes] = []
    position, ends = ring.end, 0
    while position > ring.start and ends <= count:
        record = ring.read_before(position)
        position = record.start
        if record.serial != serial:
            break
        pieces.append(record.data)
        ends += record.data.count(b"\n")
    lines = b"".join(reversed(pieces)).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line[:_LONGEST_TEXT].decode(errors="backslashreplace") for line in lines[-count:]]
