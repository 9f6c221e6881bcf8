"""The way of one slot's standard output, or error: pipe -> memory -> sink.

Runs on the loop: one read per turn, so that a flood holds nobody up.  What its sink
has no room for stays in the pipe, and the worker waits; or is dropped, and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from pidsup.kernel import Kernel
from pidsup.loop.loop import Loop
from pidsup.output.formats import Format, Raw
from pidsup.output.lines import Lines
from pidsup.output.pipe import Pipe
from pidsup.output.ring import Ring

_AT_ONCE = 1 << 16
_MOST_OWED = 16


class Sink(Protocol):
    """Where output ends up; it may have several sources."""

    @property
    def shared(self) -> bool:
        """Tell whether others write there: then lines must not be torn."""

    @property
    def failing(self) -> bool:
        """Tell whether it has just failed: what comes now is to be dropped."""

    @property
    def limit(self) -> int:
        """Return how many bytes may wait in it."""

    def room(self) -> int:
        """Return how many more bytes may wait; negative when there are too many."""

    def put(self, source: Stream, data: bytes) -> None:
        """Take *data*, whether there is room or not."""

    def await_room(self, source: Stream) -> None:
        """Call `source.resume` once, as soon as there is room again."""

    def leave(self, source: Stream) -> None:
        """Expect nothing more from this source."""


class Way(NamedTuple):
    """Where a stream leads to."""

    sink: Sink | None  #: None: memory only
    format: Format
    block: bool  #: a worker that is too fast waits


class Stream:
    """One pipe and what becomes of it.  Owns the pipe; borrows the ring and the sink."""

    __slots__ = (
        "_dropped",
        "_format",
        "_lines",
        "_loop",
        "_mid_line",
        "_missing",
        "_owed",
        "_paused",
        "_ring",
        "_sink",
        "_starting",
        "_stream",
        "_torn",
        "_waits",
        "_wall",
        "pipe",
        "serial",
    )

    def __init__(
        self,
        loop: Loop,
        kernel: Kernel,
        *,
        ring: Ring,
        stream: int,
        way: Way,
        dropped: Callable[[int, bool], object],
    ) -> None:
        """Read from a new pipe; *stream* is 0 or STDERR.

        *dropped* hears how many bytes are lost, and whether that is still to be said.
        """
        self._loop = loop
        self._wall = kernel.wall
        self._ring = ring
        self._stream = stream
        self._sink, self._format, self._waits = way
        self._dropped = dropped
        self._lines = Lines()
        self._mid_line = False  # the sink's last block was a piece of a line
        self._missing = 0  # dropped since the sink's last block
        self._torn = False  # bytes were dropped up to the middle of a line
        self._owed: deque[tuple[int, int]] = deque()  # bytes, and the ended worker's serial
        self._paused = False
        self._starting = False
        self.serial = 0
        self.pipe = Pipe()
        loop.add_reader(self.pipe.out, self._readable)

    # --- workers

    def prepare(self, uid: int) -> int:
        """Get ready for a worker of this user; return the descriptor for it."""
        self.pipe.prepare(uid)
        self._starting = True
        return self.pipe.into

    def begin(self, serial: int) -> None:
        """Attribute what comes from now on to this worker."""
        self.serial = serial
        self._starting = False

    def ended(self) -> None:
        """Attribute what there is to the worker that has ended, and end its last line."""
        waiting = self.pipe.waiting()
        if waiting and self._paused:
            self._owe(waiting - sum(size for size, _ in self._owed))
            return
        if waiting:
            self._take(self.pipe.read(waiting))
        if not self._owed:
            self._finish_line(self.serial)

    def _owe(self, size: int) -> None:
        """Note whose are the next *size* bytes, which cannot be read now."""
        if len(self._owed) == _MOST_OWED:
            size += self._owed.pop()[0]
        if size:
            self._owed.append((size, self.serial))

    # --- reading

    def _readable(self) -> None:
        if self._starting:  # it may already be the new worker's, whose serial is yet to come
            self._starting = False
            return
        data = self.pipe.read(_AT_ONCE)
        if data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        while self._owed and data:
            size, serial = self._owed.popleft()
            part, data = data[:size], data[size:]
            self._keep(part, serial)
            if len(part) < size:
                self._owed.appendleft((size - len(part), serial))
            else:
                self._finish_line(serial)
        if data:
            self._keep(data, self.serial)
        if self._waits and not self._paused and self._is_full():
            self._paused = True
            self._loop.remove_reader(self.pipe.out)
            assert self._sink is not None  # noqa: S101  it is full
            self._sink.await_room(self)

    def _is_full(self) -> bool:
        sink = self._sink
        return sink is not None and not sink.failing and sink.room() <= 0

    def resume(self) -> None:
        """Go on reading: there is room."""
        if self._paused:
            self._paused = False
            self._loop.add_reader(self.pipe.out, self._readable)

    # --- handing over

    def _keep(self, data: bytes, serial: int) -> None:
        at = self._wall()
        self._ring.add(data, at, serial, self._stream)
        sink = self._sink
        if sink is None:
            return
        if self._waits and isinstance(self._format, Raw) and not sink.shared:
            self._hand_over_bytes(sink, data)
        else:
            for block in self._lines.feed(data):
                self._hand_over(sink, block, at, serial)

    def _hand_over_bytes(self, sink: Sink, data: bytes) -> None:
        """Hand over bytes as they are, the only ones of a file."""
        if sink.failing:
            self._dropped(len(data), False)
            self._torn = True
            return
        if self._torn:  # go on where a line begins, if there are lines
            self._torn = False
            cut = data.find(b"\n") + 1
            self._dropped(cut, False)
            data = data[cut:]
        sink.put(self, data)

    def _hand_over(self, sink: Sink, block: bytes, at: float, serial: int) -> None:
        """Hand over whole lines, or a piece of one; drop what has to be."""
        if not self._waits or sink.failing:
            block = self._fitting(sink, block)
        if block:
            if self._missing:
                sink.put(self, self._format.dropped(self._missing, at, serial))
                self._missing = 0
            sink.put(self, self._format.block(block, at, serial))
            self._mid_line = not block.endswith(b"\n")

    def _fitting(self, sink: Sink, block: bytes) -> bytes:
        """Return the lines that there is room for, and drop the others."""
        room = 0 if sink.failing else sink.room()
        if self._missing and room < sink.limit // 2:  # few long gaps rather than many short ones
            room = 0
        if len(block) <= room:
            return block
        kept = block[: block.rfind(b"\n", 0, max(room, 0)) + 1]
        lost = len(block) - len(kept)
        self._missing += lost
        self._dropped(lost, not sink.failing)
        if self._mid_line and not kept and isinstance(self._format, Raw):
            sink.put(self, b"\n")  # the rest of that line is missing
            self._mid_line = False
        return kept

    def _finish_line(self, serial: int) -> None:
        """End the line that its worker cannot end any more."""
        at = self._wall()
        self._ring.finish_line(at, serial, self._stream)
        piece = self._lines.end()
        sink = self._sink
        if sink is None or not (piece or self._mid_line):
            return
        if not self._waits or sink.failing:
            piece = self._fitting(sink, piece + b"\n")[:-1]
        if piece or self._mid_line:
            self._mid_line = False
            sink.put(self, self._format.end(piece, at, serial))

    def lost(self, count: int) -> None:
        """Hear that so many bytes were put, but could not be written, which has been said."""
        self._dropped(count, False)

    # --- the end

    def close(self) -> None:
        """Take what the pipe has and close it; twice is once."""
        if self.pipe.out < 0:
            return
        self.resume()
        self._loop.remove_reader(self.pipe.out)
        self._paused = True  # nobody waits for room any more
        for _ in range(2 * self.pipe.capacity // _AT_ONCE):  # a grandchild may go on for ever
            data = self.pipe.read(_AT_ONCE)
            if not data:
                break
            self._take(data)
        self._finish_line(self.serial)
        self.pipe.close()
        if self._sink is not None:
            self._sink.leave(self)
