"""Output of all workers on the supervisor's own: `web:3 | text`, or JSON lines."""

from __future__ import annotations

import os
from collections import deque

from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.loop.outlet import Outlet
from pidsup.output.formats import Format, Json, Prefixed
from pidsup.output.harmless import harmless_lines
from pidsup.output.stream import Stream
from pidsup.output.trouble import Trouble, trouble

_LIMIT = 1 << 18
_AT_ONCE = 1 << 16
_WIDEST = 24  # a longer name stands out, but moves nobody else's lines
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of the terminal's own palette


class Column:
    """What prefixes have in common: the width of the widest, within reason."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.width = 0
        self.count = 0

    def add(self, name: str) -> int:
        """Make it wide enough; return how many there were before."""
        if len(name) <= _WIDEST:
            self.width = max(self.width, len(name))
        self.count += 1
        return self.count - 1


class SlotPrefixed(Prefixed):
    """Lines behind the name of their slot, aligned."""

    __slots__ = ("_colour", "_column", "_made", "_name")

    def __init__(self, name: str, column: Column, *, coloured: bool) -> None:
        """Prepare the prefix; slots have colours by turns."""
        number = column.add(name)
        self._name = name
        self._column = column
        self._colour = _COLOURS[number % len(_COLOURS)] if coloured else None
        self._made = (-1, b"")  # width, and the prefix of that width

    def prefix(self, _at: float) -> bytes:
        """Return the name of the slot."""
        if self._made[0] != self._column.width:
            text = f"{self._name:<{self._column.width}} |"
            if self._colour is not None:
                text = f"\x1b[{self._colour}m{text}\x1b[0m"
            self._made = self._column.width, f"{text} ".encode()
        return self._made[1]


class OnTerminal:
    """Lines that their worker cannot steer a terminal with."""

    __slots__ = ("_colours", "_inner")

    def __init__(self, inner: Format, *, coloured: bool) -> None:
        """Put this before *inner*; of what a worker sends, colours may stay."""
        self._inner = inner
        self._colours = coloured

    def block(self, data: bytes, at: float, serial: int) -> bytes:
        """Return what is written for what is harmless of it."""
        return self._inner.block(harmless_lines(data, colours=self._colours), at, serial)

    def end(self, data: bytes, at: float, serial: int) -> bytes:
        """Return what is written for what is harmless of it."""
        return self._inner.end(harmless_lines(data, colours=self._colours), at, serial)

    def dropped(self, count: int, at: float, serial: int) -> bytes:
        """Leave it to the format."""
        return self._inner.dropped(count, at, serial)


class Console:
    """One of the supervisor's own descriptors, for the output of all slots.  Borrows it."""

    shared = True
    failing = False  # what cannot be written is lost at once
    limit = _LIMIT

    def __init__(self, loop: Loop, log: Log, fd: int) -> None:
        """Write to *fd*."""
        self._loop = loop
        self._log = log
        self._fd = fd
        self.trouble: Trouble | None = None
        self.on_terminal = _is_terminal(fd)
        self._outlet = Outlet(loop, fd, self._more, lost=self._lost)
        self._queue: deque[tuple[Stream, bytes]] = deque()
        self._queued = 0
        self._written: list[tuple[Stream, bytes]] = []  # what the outlet has
        self._scheduled = False
        self._waiting: list[Stream] = []
        self._said = False

    def is_coloured(self) -> bool:
        """Tell whether to use colours, as no-color.org has it."""
        environment = os.environ
        wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return self.on_terminal and wanted

    def room(self) -> int:
        """Return how many more bytes may wait."""
        return _LIMIT - self._queued

    def put(self, source: Stream, data: bytes) -> None:
        """Write whole lines, soon."""
        self._queue.append((source, data))
        self._queued += len(data)
        if not self._scheduled and not self._outlet.busy:
            self._scheduled = True
            self._loop.call_soon(self._loop.call_soon, self._write)

    def _write(self) -> None:
        self._scheduled = False
        self._outlet.write()

    def _more(self) -> bytes:
        """Return what is to be written next: what was returned before has been."""
        if self._written:
            self.trouble = None
        size = 0
        self._written.clear()
        while self._queue and size < _AT_ONCE:
            self._written.append(self._queue.popleft())
            size += len(self._written[-1][1])
        self._queued -= size
        if self._waiting and self._queued <= _LIMIT // 2:
            waiting, self._waiting = self._waiting, []
            for source in waiting:
                self._loop.call_soon(source.resume)
        return b"".join(data for _, data in self._written)

    def _lost(self, error: OSError) -> None:
        for source, data in self._written:
            source.lost(len(data))
        self._written.clear()
        what = f"cannot write to the supervisor's own output: {error.strerror}"
        self.trouble = trouble(self.trouble, what, self._loop.time())
        if not self._said:
            self._said = True
            self._log.error(
                "cannot write output", to=self._fd, why=error.strerror, next="it is dropped"
            )

    def await_room(self, source: Stream) -> None:
        """Resume *source* when there is room."""
        self._waiting.append(source)

    def was_spared(self, count: int) -> None:
        """Do nothing: it never says that it is failing."""

    def leave(self, source: Stream) -> None:
        """Let go of it; what it has put is written."""

    def close(self) -> None:
        """Write what is left, while somebody takes it."""
        self._waiting.clear()
        self._outlet.close()


def console_format(kind: str, name: str, stream: str, console: Console, column: Column) -> Format:
    """Return the format of one slot's stream on the console: prefixed or json."""
    if kind == "json":
        return Json(name, stream, ascii_only=console.on_terminal)
    coloured = console.is_coloured()
    form = SlotPrefixed(name, column, coloured=coloured)
    return OnTerminal(form, coloured=coloured) if console.on_terminal else form


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
