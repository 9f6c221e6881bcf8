"""The way of one slot's standard output, or error: pipe -> memory -> sink.

Runs on the loop: one read per turn, so that a flood holds nobody up.  What its sink
has no room for stays in the pipe, and the worker waits; or is dropped, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pidsup.kernel import Kernel
from pidsup.linux.memory import keep_freed
from pidsup.loop.loop import Handle, Loop
from pidsup.output.formats import Format, Raw
from pidsup.output.lines import Lines
from pidsup.output.pipe import Pipe
from pidsup.output.ring import Ring
from pidsup.output.trouble import Trouble

_AT_ONCE = 1 << 16
_MOST_OWED = 16

# A flood is read as a busy network card is: the pipe is made larger, and looked at once
# a millisecond instead of at each write.  For a worker that writes lines of 200 bytes
# one by one that halves our CPU time (1.6 to 0.8 s per GiB; 2 CPUs, 2026-11-20).  One
# that writes large blocks fills the pipe in less: then naps only make it wait.
_AT_ONCE_IN_FLOOD = 1 << 18
#: Else the memory of each read is mapped, zeroed and unmapped: a quarter of the time.
_KEPT_MEMORY = 1 << 21
_NAP_S = 0.001
_EBB = 1 << 14  # bytes of one nap: less is no flood, ...
_IDLE_NAPS = 8  # ... if so often in a row: the worker may have had no processor
_LOOK_AFTER = 32  # reads: is it one?
_NAPS = 64  # before it is tried without
_READS = 64  # of which a trial consists
_LARGE_READ = 1 << 17  # on average: without naps it is as well


class Sink(Protocol):
    """Where output ends up; it may have several sources."""

    @property
    def shared(self) -> bool:
        """Tell whether others write there: then lines must not be torn."""

    @property
    def failing(self) -> bool:
        """Tell whether it has just failed: what comes now is to be dropped."""

    @property
    def trouble(self) -> Trouble | None:
        """Return what keeps it from writing, as far as is known."""

    @property
    def limit(self) -> int:
        """Return how many bytes may wait in it."""

    def room(self) -> int:
        """Return how many more bytes may wait; negative when there are too many."""

    def put(self, source: Stream, data: bytes) -> None:
        """Take *data*, whether there is room or not."""

    def await_room(self, source: Stream) -> None:
        """Call `source.resume` once, as soon as there is room again."""

    def was_spared(self, count: int) -> None:
        """Hear that so many bytes were dropped because it is failing."""

    def leave(self, source: Stream) -> None:
        """Expect nothing more from this source."""


class Way(NamedTuple):
    """Where a stream leads to."""

    sink: Sink | None  #: None: memory only
    format: Format
    block: bool  #: a worker that is too fast waits


class Flood:
    """How a pipe is read that is hardly ever empty: with naps, or without."""

    __slots__ = ("_bytes", "_idle_naps", "_naps", "_reads", "nap")

    def __init__(self) -> None:
        """Begin with few naps."""
        self.nap: Handle | None = None
        self._bytes = 0  # since the last nap, or in this trial
        self._naps = 4  # until it is tried without
        self._reads = 0  # left of the trial
        self._idle_naps = 0  # in a row, that brought little

    def read(self, size: int) -> None:
        """Take note of a read."""
        self._bytes += size
        if self._reads:
            self._reads -= 1
            if self._reads == 0:
                self._reads = _READS if self._bytes > _READS * _LARGE_READ else 0
                self._naps, self._bytes = _NAPS, 0

    def is_over(self) -> bool:
        """Tell, when the pipe is empty, whether it is like any other again."""
        return self._idle_naps == _IDLE_NAPS

    def wants_nap(self, capacity: int) -> bool:
        """Decide, when the pipe is empty, whether it is to fill for a moment."""
        if self._reads:
            return False
        self._naps -= 1
        self._idle_naps = self._idle_naps + 1 if self._bytes < _EBB else 0
        if self._naps <= 0 and self._bytes > capacity * 7 // 8:  # the worker had to wait
            self._reads = _READS
        self._bytes = 0
        return not self._reads


class Stream:
    """One pipe and what becomes of it.  Owns the pipe; borrows the ring and the sink."""

    __slots__ = (
        "_dropped",
        "_flood",
        "_format",
        "_lines",
        "_looked",
        "_loop",
        "_mid_line",
        "_missing",
        "_owed",
        "_paused",
        "_reads",
        "_ring",
        "_sink",
        "_starting",
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
        pipe: Pipe,
        *,
        ring: Ring,
        way: Way,
        dropped: Callable[[int, bool], object],
    ) -> None:
        """Read from a pipe.

        *dropped* hears how many bytes are lost, and whether that is still to be said.
        """
        self._loop = loop
        self._wall = kernel.wall
        self._ring = ring
        self._sink, self._format, self._waits = way
        self._dropped = dropped
        self._lines = Lines()
        self._mid_line = False  # the sink's last block was a piece of a line
        self._missing = 0  # dropped since the sink's last block
        self._torn = False  # bytes were dropped up to the middle of a line
        self._owed: tuple[tuple[int, int], ...] = ()  # bytes, and the ended worker's serial
        self._paused = False
        self._starting = False
        self._reads = 0
        self._looked = (0.0, 0)  # when, and how many bytes there had been
        self._flood: Flood | None = None
        self.serial = 0
        self.pipe = pipe
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
        owed = self._owed
        if len(owed) == _MOST_OWED:
            size += owed[-1][0]
            owed = owed[:-1]
        if size:
            self._owed = (*owed, (size, self.serial))

    # --- reading

    def _readable(self) -> None:
        if self._starting:  # it may already be the new worker's, whose serial is yet to come
            self._starting = False
            return
        if self._flood is not None:
            self._read_flood(self._flood)
            return
        data = self.pipe.read(_AT_ONCE)
        if data:
            self._take(data)
        self._reads += 1
        if self._reads == _LOOK_AFTER:
            self._look_for_flood()

    def _look_for_flood(self) -> None:
        """Tell by the bytes of the last reads, and how long they took."""
        now, count = self._loop.time(), self._ring.all_bytes
        if count - self._looked[1] > (now - self._looked[0]) / _NAP_S * _EBB:
            self.pipe.enlarge()
            keep_freed(_KEPT_MEMORY)
            self._flood = Flood()
        self._looked = now, count
        self._reads = 0

    def _read_flood(self, flood: Flood) -> None:
        most = _AT_ONCE_IN_FLOOD if self._passes_bytes() else _AT_ONCE
        data = self.pipe.read(most)
        if data:
            self._take(data)
        flood.read(len(data))
        if len(data) == most or self._paused:
            return
        if flood.is_over():
            self._flood = None
            self.pipe.restore()
        elif flood.wants_nap(self.pipe.capacity):
            self._loop.remove_reader(self.pipe.out)
            flood.nap = self._loop.call_at(self._loop.time() + _NAP_S, self._wake, flood)

    def _wake(self, flood: Flood) -> None:
        flood.nap = None
        if not self._paused:
            self._loop.add_reader(self.pipe.out, self._readable)
            self._read_flood(flood)

    def _take(self, data: bytes) -> None:
        while self._owed and data:
            (size, serial), *rest = self._owed
            part, data = data[:size], data[size:]
            self._keep(part, serial)
            if len(part) < size:
                self._owed = ((size - len(part), serial), *rest)
            else:
                self._owed = tuple(rest)
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

    @property
    def is_held_up(self) -> bool:
        """Tell whether the pipe is not read, as its sink has no room: who writes there waits."""
        return self._paused and self.pipe.out >= 0

    @property
    def trouble(self) -> Trouble | None:
        """Return what keeps its sink from writing."""
        return None if self._sink is None else self._sink.trouble

    def resume(self) -> None:
        """Go on reading: there is room."""
        if self._paused and self.pipe.out >= 0:
            self._paused = False
            self._loop.add_reader(self.pipe.out, self._readable)

    # --- handing over

    def _keep(self, data: bytes, serial: int) -> None:
        at = self._wall()
        self._ring.add(data, at, serial)
        sink = self._sink
        if sink is None:
            return
        if self._passes_bytes():
            self._hand_over_bytes(sink, data)
        else:
            for block in self._lines.feed(data):
                self._hand_over(sink, block, at, serial)

    def _passes_bytes(self) -> bool:
        """Tell whether the bytes go on as they are: no line is looked for."""
        sink = self._sink
        return sink is None or (self._waits and isinstance(self._format, Raw) and not sink.shared)

    def _hand_over_bytes(self, sink: Sink, data: bytes) -> None:
        """Hand over bytes as they are, the only ones of a file."""
        data = self._lines.end() + data  # what was held while others wrote there, too
        if sink.failing:
            self._drop(sink, len(data))
            self._torn = not data.endswith(b"\n")
            return
        if self._torn:  # go on where a line begins, if there are lines
            self._torn = False
            cut = data.find(b"\n") + 1
            self._dropped(cut, False)
            sink.was_spared(cut)
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
        self._drop(sink, lost)
        if self._mid_line and not kept and isinstance(self._format, Raw):
            sink.put(self, b"\n")  # the rest of that line is missing
            self._mid_line = False
        return kept

    def _drop(self, sink: Sink, count: int) -> None:
        """Count; a sink that fails says itself how much it has cost."""
        self._dropped(count, not sink.failing)
        if sink.failing:
            sink.was_spared(count)

    def _finish_line(self, serial: int) -> None:
        """End the line that its worker cannot end any more."""
        at = self._wall()
        self._ring.finish_line(at, serial)
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
        if self._flood is not None and self._flood.nap is not None:
            self._flood.nap.cancel()
        self._flood = None
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
