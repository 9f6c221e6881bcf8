"""The output of all workers: what watchers and the supervisor have to do with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from pidsup.config.expand import fill
from pidsup.config.model import OutputSpec
from pidsup.kernel import LINUX, Kernel
from pidsup.log import Log
from pidsup.loop.loop import Handle, Loop
from pidsup.output.console import Column, Console, console_format
from pidsup.output.follower import Follower, Line, last_lines
from pidsup.output.formats import Raw, of_file
from pidsup.output.journal import NOT_OURS, JournalStream, OurJournal
from pidsup.output.pipe import Pipe
from pidsup.output.ring import NAMES, STDERR, STDOUT, Ring
from pidsup.output.stream import Stream, Way
from pidsup.output.writer import Writer

__all__ = ["Follower", "Line", "Outputs", "SlotOutput"]

_NO_PIPE = ("inherit", "null", "stdout", "journal")
_SAY_AGAIN_S = 10.0  # what is dropped; at once for the first time


class Outputs:
    """What all slots share: console, and the writer of files.  Owns both."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        *,
        console_format: str = "prefixed",
        kernel: Kernel = LINUX,
        console_fds: tuple[int, int] = (1, 2),
        journal: OurJournal = NOT_OURS,
    ) -> None:
        """Open nothing yet; *console_fds* are our own standard output and error, borrowed."""
        self.loop = loop
        self.log = log
        self.kernel = kernel
        self.journal = journal
        #: Hear of each that is opened.
        self.on_opened: dict[Callable[[SlotOutput], object], None] = {}
        #: Hears what was dropped now, of which slot, and how much in all.
        self.on_dropped: Callable[[str, int, int], object] = lambda *_: None
        self._console_format = console_format
        self._console_fds = console_fds
        self._consoles: dict[int, Console] = {}
        self._column = Column()
        self._slots: set[SlotOutput] = set()
        self._writer: Writer | None = None

    def open(self, spec: OutputSpec, *, slot: str, values: Mapping[str, str]) -> SlotOutput:
        """Return the output of one slot; *values* are those of placeholders, config.expand."""
        opened = SlotOutput(self, spec, slot, values)
        self._slots.add(opened)
        for hears in list(self.on_opened):
            hears(opened)
        return opened

    def forget(self, slot: SlotOutput) -> None:
        """Take note that a slot has closed its output."""
        self._slots.discard(slot)

    def way(self, spec: OutputSpec, target: str, slot: str, stream: int) -> Way:
        """Return where one stream of a slot leads to: console, capture or a path."""
        if target == "capture":
            return Way(None, Raw(), block=True)
        if target == "console":
            console = self._console(stream)
            form = console_format(self._console_format, slot, NAMES[stream], console, self._column)
            return Way(console, form, spec.block)
        if self._writer is None:
            self._writer = Writer(self.loop, self.log)
        file = self._writer.open(os.path.abspath(target), spec)
        return Way(file, of_file(spec.format, slot, NAMES[stream]), spec.block)

    def kept(self, spec: OutputSpec) -> tuple[str, str]:
        """Say where stdout and stderr can be read: memory, journal or none."""
        stdout = self.journal.target(spec.stdout, STDOUT)
        stderr = self.journal.target(spec.stderr, STDERR)
        return _kept(stdout), _kept(stdout if stderr == "stdout" else stderr)

    def _console(self, stream: int) -> Console:
        """Return the one for our standard output or error; the same if they are the same."""
        if stream == STDERR and _are_one(*self._console_fds):
            stream = STDOUT
        if stream not in self._consoles:
            self._consoles[stream] = Console(self.loop, self.log, self._console_fds[stream])
        return self._consoles[stream]

    def follow(
        self,
        slots: Sequence[SlotOutput],
        *,
        lines: int | None = None,
        stream: str | None = None,
        since: float | None = None,
        follow: bool = False,
    ) -> Follower:
        """Return a reader of their last *lines* in all, None: all there are; and of what comes.

        *stream* is stdout or stderr, *since* in seconds since 1970.
        """
        rings = [(slot.name, slot.rings) for slot in slots]
        return Follower(self.loop, rings, lines=lines, stream=stream, since=since, follow=follow)

    def close(self) -> None:
        """Write all that is there, for a bounded time, and give everything up; twice is once."""
        for slot in list(self._slots):
            slot.close()
        for console in self._consoles.values():
            console.close()
        self._consoles.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class SlotOutput:
    """The output of one slot, of one worker after the other.  Owns its streams."""

    __slots__ = (
        "_journal",
        "_outputs",
        "_rings",
        "_said_at",
        "_said_bytes",
        "_spec",
        "_streams",
        "_targets",
        "_timer",
        "dropped_bytes",
        "name",
    )

    def __init__(
        self, outputs: Outputs, spec: OutputSpec, name: str, values: Mapping[str, str]
    ) -> None:
        """Only Outputs makes these; pipes come with the first start."""
        self.name = name
        self.dropped_bytes = 0  #: of output that had nowhere to go
        self._outputs = outputs
        self._spec = spec
        ours = outputs.journal
        self._targets = (
            ours.target(fill(spec.stdout, values), STDOUT),
            ours.target(fill(spec.stderr, values), STDERR),
        )
        self._journal: JournalStream | None = None
        if "journal" in self._targets:
            self._journal = JournalStream(outputs.loop, outputs.log, ours, name)
        self._rings: tuple[Ring, ...] = ()
        self._streams: dict[int, Stream] = {}
        self._said_at: float | None = None
        self._said_bytes = 0
        self._timer: Handle | None = None

    @property
    def rings(self) -> tuple[Ring, ...]:
        """Return the memory of its streams, made when it is first needed."""
        if not self._rings:
            piped = [n for n, target in enumerate(self._targets) if target not in _NO_PIPE]
            # Each has its own share: whatever floods stdout, the last words on stderr stay.
            self._rings = tuple(Ring(n, self._spec.memory_bytes // len(piped)) for n in piped)
        return self._rings

    # --- workers

    def fds(self, uid: int | None) -> dict[int, int]:
        """Return the pipes for one start, {1: fd, 2: fd}; none for inherit and null.

        *uid* is the worker's user, None if that is ours; the descriptors are borrowed.
        OSError without descriptors or threads.
        """
        owner = os.geteuid() if uid is None else uid
        streams = self._streams if len(self._streams) == len(self.rings) else self._open()
        pipes = {number + 1: stream.prepare(owner) for number, stream in streams.items()}
        if self._journal is not None:
            # Both are one stream: journald reads two in no particular order.
            fd = self._journal.prepare()
            pipes.update((n + 1, fd) for n, to in enumerate(self._targets) if to == "journal")
        if self._targets[STDERR] == "stdout" and 1 in pipes:
            pipes[2] = pipes[1]
        return pipes

    @property
    def variables(self) -> Mapping[str, str]:
        """Return what belongs into the environment with the descriptors of the last `fds`."""
        return {} if self._journal is None else self._journal.variables

    def _open(self) -> dict[int, Stream]:
        """Open the streams that are not open yet; OSError without descriptors or threads."""
        outputs = self._outputs
        for ring in self.rings:
            if ring.stream in self._streams:
                continue
            pipe = Pipe()
            try:
                way = outputs.way(self._spec, self._targets[ring.stream], self.name, ring.stream)
            except OSError:
                pipe.close()
                raise
            self._streams[ring.stream] = Stream(
                outputs.loop,
                outputs.kernel,
                pipe,
                ring=ring,
                way=way,
                dropped=self._dropped,
            )
        return self._streams

    def begin(self, serial: int) -> None:
        """Attribute what comes from now on to this worker."""
        for stream in self._streams.values():
            stream.begin(serial)

    def ended(self) -> None:
        """Take what the worker that has ended has left in the pipes, and end its last lines."""
        for stream in self._streams.values():
            stream.ended()
        if self._journal is not None:
            self._journal.ended()

    def last_lines(self, count: int) -> list[str]:
        """Return the last lines of the current or last worker: of its stderr, else stdout."""
        found: list[str] = []
        for ring in reversed(self._rings):
            if ring.stream in self._streams and not found:
                found = last_lines(ring, count, self._streams[ring.stream].serial)
        return found

    @property
    def is_held_up(self) -> bool:
        """Tell whether its worker has to wait with what it writes, at the moment."""
        return any(stream.is_held_up for stream in self._streams.values())

    # --- what is lost

    @property
    def trouble(self) -> str:
        """Say why its output cannot be written where it should go, and for how long; else ""."""
        all_ways = [*self._streams.values(), *([self._journal] if self._journal else ())]
        found = dict.fromkeys(filter(None, (one.trouble for one in all_ways)))
        now = self._outputs.loop.time()
        return "; ".join(trouble.worded(now) for trouble in found)

    def _dropped(self, count: int, say: bool) -> None:
        """Count what is dropped; say it at once, and then now and then."""
        self.dropped_bytes += count
        if not say:
            self._said_bytes += count
        elif self._timer is None:
            now = self._outputs.loop.time()
            at = now if self._said_at is None else max(now, self._said_at + _SAY_AGAIN_S)
            self._timer = self._outputs.loop.call_at(at, self._say_dropped)

    def _say_dropped(self) -> None:
        self._timer = None
        self._said_at = self._outputs.loop.time()
        more = self.dropped_bytes - self._said_bytes
        self._said_bytes = self.dropped_bytes
        self._outputs.log.warning(
            "output dropped", slot=self.name, bytes=more, in_all=self.dropped_bytes
        )
        self._outputs.on_dropped(self.name, more, self.dropped_bytes)

    def close(self) -> None:
        """Take what is in the pipes and close them; twice is once."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        if self._journal is not None:
            self._journal.close()
        if self._timer is not None:
            self._timer.cancel()
            self._say_dropped()
        self._outputs.forget(self)


def _kept(target: str) -> str:
    if target == "journal":
        return target
    return "none" if target in _NO_PIPE else "memory"


def _are_one(one: int, other: int) -> bool:
    """Tell whether two descriptors are of the same file: then lines come in order."""
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False
