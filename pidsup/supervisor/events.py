"""Events: what has happened, in one ring that all who want to know read from.

Facts: a restart takes 0.4 ms, and three events are in it; a hundred subscribers want
the same bytes; any of them may never read.
Decision: publishing appends raw facts, and is all that the restart pays for.  They are
worded and encoded once, when the first subscriber comes for them.  A subscriber is a
position in the ring, so that a slow one costs nothing but a gap of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from json import JSONEncoder
from typing import NamedTuple

from pidsup.loop.loop import Loop
from pidsup.policy.lifecycle import State
from pidsup.process.exit import ExitReport
from pidsup.supervisor.changes import Summary
from pidsup.supervisor.facts import exit_facts, summary_facts
from pidsup.supervisor.selectors import Filter
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

MOST = 4096  #: events that are kept
MOST_BYTES = 1 << 20  #: that they take, about
_AT_ONCE = 256  # events of one answer, and of one turn's work
_TOLD_AT_ONCE = 32  # subscribers
_PLAIN_BYTES = 256  # of an event as it is kept, sys.getsizeof on CPython 3.11
_EXIT_BYTES = 256
_TASK_BYTES = 256
_TOLD_BYTES = 200  # of an event beside its text

_encode = JSONEncoder(separators=(",", ":")).encode


class Raw(NamedTuple):
    """One event as it was published."""

    at: float
    kind: str
    subject: str
    state: State | str
    why: object  #: worded when somebody reads it
    pid: int | None = None
    exit: ExitReport | None = None
    change: Summary | None = None
    running: bool | None = None
    workers: int | None = None
    due_s: float | None = None  #: of a slot in backoff: until it is tried again


class Told(NamedTuple):
    """One event once it is encoded: what is left to decide is who gets it."""

    about: tuple[str, ...] | None  #: slots and watchers; None: everybody
    text: bytes


class Events:
    """The ring, and who waits for more.  Borrows the loop."""

    def __init__(self, loop: Loop, wall: Callable[[], float], instance: str) -> None:
        """Begin with nothing; *instance* tells this run of the supervisor from others."""
        self.instance = instance
        self.last = 0  #: number of the newest event, 0 before the first
        self.first = 1  #: number of the oldest that is kept
        self._loop = loop
        self._wall = wall
        self._ring: list[Raw | Told | None] = [None] * MOST
        self._weights = [0] * MOST
        self._bytes = 0
        self._fresh: Slot | None = None  # the last event is of this slot, in the midst of it
        self._waiting: dict[Callable[[], object], None] = {}
        self._due: dict[Callable[[], object], None] = {}

    # --- publishing

    def slot(self, watcher: Watcher, slot: Slot) -> None:
        """Publish that a slot has entered its state."""
        state, child = slot.state, slot.child
        pid = ended = None
        weight = _PLAIN_BYTES
        if child is not None:
            pid = child.main_pid
            if child.exit is not None and (ended := slot.last_exit) is not None:
                weight += _EXIT_BYTES + 2 * sum(map(len, ended.last_lines))
        why = watcher.waits_for() if state is State.WAITING else slot.why
        self._publish(Raw(self._wall(), "slot", slot.name, state, why, pid, ended), weight)
        self._fresh = slot

    def settled(self, slot: Slot) -> None:
        """Hear that the slot has done what belongs to its state: the reason may be another."""
        if self._fresh is not slot:
            return
        self._fresh = None
        at = self.last % MOST
        raw = self._ring[at]
        if not isinstance(raw, Raw):
            return
        if raw.why is not slot.why and raw.state is not State.WAITING:
            raw = self._ring[at] = raw._replace(why=slot.why)
        if raw.state is State.BACKOFF and slot.due_at is not None:
            self._ring[at] = raw._replace(due_s=max(0.0, slot.due_at - self._loop.time()))

    def removed(self, slot: Slot) -> None:
        """Publish that there is no such slot any more."""
        self._publish(Raw(self._wall(), "slot", slot.name, "removed", ""))

    def watcher(self, name: str, running: bool, workers: int, why: str) -> None:
        """Publish what is wanted of a watcher."""
        state = "running" if running else "stopped"
        raw = Raw(self._wall(), "watcher", name, state, why, running=running, workers=workers)
        self._publish(raw)

    def demand(self, watcher: Watcher) -> None:
        """Publish that a watcher on demand listens from now on, or that something came."""
        state = "listening" if watcher.is_listening() else "running"
        if watcher.running and watcher.demand is not None:
            why = watcher.demand.why()
            self._publish(
                Raw(
                    self._wall(),
                    "watcher",
                    watcher.spec.name,
                    state,
                    why,
                    running=True,
                    workers=watcher.workers,
                )
            )

    def watcher_added(self, name: str, workers: int, why: str) -> None:
        """Publish that there is a watcher that was not there before; it does not run yet."""
        raw = Raw(self._wall(), "watcher", name, "added", why, running=False, workers=workers)
        self._publish(raw)

    def watcher_removed(self, name: str) -> None:
        """Publish that there is no such watcher any more."""
        self._publish(Raw(self._wall(), "watcher", name, "removed", ""))

    def change(self, change: Summary) -> None:
        """Publish that a change begins, or has ended."""
        weight = _PLAIN_BYTES * 2 + _TASK_BYTES * len(change.tasks) + len(change.watchers) * 64
        raw = Raw(self._wall(), "change", change.id, change.state.value, change, change=change)
        self._publish(raw, weight)

    def dropped(self, slot: str, count: int, in_all: int) -> None:
        """Publish that output of a slot was dropped."""
        why = f"{count} bytes dropped, {in_all} in all"
        self._publish(Raw(self._wall(), "output", slot, "dropped", why))

    def supervisor(self, name: str, state: str, reason: str = "") -> None:
        """Publish how the supervisor stands."""
        self._publish(Raw(self._wall(), "supervisor", name, state, reason))

    def _publish(self, raw: Raw, weight: int = _PLAIN_BYTES) -> None:
        self.last += 1
        at = self.last % MOST
        self._fresh = None
        if self._weights[at]:
            self._drop_oldest()
        self._ring[at] = raw
        self._weights[at] = weight
        self._bytes += weight
        while self._bytes > MOST_BYTES:
            self._drop_oldest()
        if self._waiting:
            self._tell_later()

    def _drop_oldest(self) -> None:
        at = self.first % MOST
        self._bytes -= self._weights[at]
        self._weights[at] = 0
        self._ring[at] = None
        self.first += 1

    # --- reading

    def read(self, position: int, wanted: Filter | None = None) -> tuple[bytes, int]:
        """Return what comes behind *position*, encoded and joined by commas, and its end.

        No more than what one turn may take.  LookupError if the next is not kept any more.
        """
        if position < self.first - 1:
            raise LookupError(f"event {position + 1} is not kept: {self.first} is the oldest")
        end = min(self.last, position + _AT_ONCE)
        told = [self._told(seq) for seq in range(position + 1, end + 1)]
        while self._bytes > MOST_BYTES:  # not before: what is to be read must not be dropped
            self._drop_oldest()
        if wanted is None:
            return b",".join([text for _, text in told]), end
        chosen = [text for about, text in told if about is None or any(map(wanted.takes, about))]
        return b",".join(chosen), end

    def _told(self, seq: int) -> Told:
        at = seq % MOST
        event = self._ring[at]
        if isinstance(event, Told):
            return event
        assert event is not None  # noqa: S101  it is one that is kept
        told = self._ring[at] = Told(_about(event), _text(seq, event))
        weight = _TOLD_BYTES + len(told.text)
        self._bytes += weight - self._weights[at]
        self._weights[at] = weight
        return told

    # --- waiting

    def when_more(self, callback: Callable[[], object]) -> None:
        """Call back once, when something has been published."""
        self._waiting[callback] = None

    def call_again(self, callback: Callable[[], object]) -> None:
        """Call back once, in a later turn: there is more to read than one turn may take."""
        if not self._due:
            self._loop.call_soon(self._tell)
        self._due[callback] = None

    def forget(self, callback: Callable[[], object]) -> None:
        """Do not call back."""
        self._waiting.pop(callback, None)
        self._due.pop(callback, None)

    def _tell_later(self) -> None:
        """Tell those who wait: in the turn after next, when a death has led to its successor.

        So that what belongs together is one answer, and nobody's answer delays a start.
        """
        if not self._due:
            self._loop.call_soon(self._loop.call_soon, self._tell)
        self._due.update(self._waiting)
        self._waiting.clear()

    def _tell(self) -> None:
        now = [*self._due][:_TOLD_AT_ONCE]
        for callback in now:
            del self._due[callback]
        if self._due:
            self._loop.call_soon(self._tell)
        for callback in now:
            callback()


def _about(raw: Raw) -> tuple[str, ...] | None:
    if raw.change is not None:
        return tuple(raw.change.watchers)
    return None if raw.kind == "supervisor" else (raw.subject,)


def _text(seq: int, raw: Raw) -> bytes:
    """Encode type Event."""
    facts = {
        "seq": seq,
        "at": raw.at,
        "kind": raw.kind,
        "subject": raw.subject,
        "state": raw.state if isinstance(raw.state, str) else raw.state.value,
        "reason": str(raw.why),
        "pid": raw.pid,
        "exit": None if raw.exit is None else exit_facts(raw.exit),
        "change": None if raw.change is None else summary_facts(raw.change),
        "running": raw.running,
        "workers": raw.workers,
        "due_s": None if raw.due_s is None else round(raw.due_s, 3),
    }
    return _encode(facts).encode()
