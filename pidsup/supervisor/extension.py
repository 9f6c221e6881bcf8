"""More time for what gets on: sd_notify(3), EXTEND_TIMEOUT_USEC=.

Facts: systemd ends a start, a reload or a stop that takes longer than the unit allows,
unless it is asked for more time in time; how much the unit allows we are not told.
Decision: ask from the beginning, again and again, for a little, and only for what is sure
to come to an end: workers that were asked for, until their own deadlines.  A worker that
starts because another has failed gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidsup.loop.loop import Handle
from pidsup.policy.lifecycle import State
from pidsup.policy.upward import EXTEND_EVERY_S, MOST_S, PROGRESS_S, extension_s
from pidsup.supervisor.outbox import Outbox

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor
    from pidsup.watcher.slot import Slot

_TIMED = (State.STARTING, State.STOPPING)


class Extension:
    """Asks for more time while a start, a reload or a stop is under way.  Borrows both."""

    def __init__(self, supervisor: Supervisor, outbox: Outbox) -> None:
        """Ask for nothing yet."""
        self._supervisor = supervisor
        self._outbox = outbox
        self._wanted = False
        self._timer: Handle | None = None
        self._best = 0  # most workers that were ready
        self._until = 0.0  # for what has got on
        self._restarts: dict[Slot, int] = {}  # of each slot when it began

    def begin(self) -> None:
        """Ask at once, and from now on, for what begins now: it has a limit of its own."""
        self.end()
        self._wanted = True
        self._best = 0
        self._until = self._supervisor.kernel.now() + PROGRESS_S
        watchers = self._supervisor.watchers.values()
        self._restarts = {slot: slot.restarts for w in watchers for slot in w.slots.values()}
        self.look()

    def end(self) -> None:
        """Ask no more."""
        self._wanted = False
        self._restarts.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Hear that something has happened: ask again, if that stopped for want of progress."""
        if self._wanted:
            self._see_progress(self._supervisor.kernel.now())
            if self._timer is None:
                self._ask()

    def _ask(self) -> None:
        self._timer = None
        now = self._supervisor.kernel.now()
        more_s = extension_s(max(self._until, *self._deadlines(now)) - now)
        if more_s is not None:
            self._outbox.post(EXTEND_TIMEOUT_USEC=int(more_s * 1e6))
            self._timer = self._supervisor.loop.call_at(now + EXTEND_EVERY_S, self._ask)

    def _see_progress(self, now: float) -> None:
        """See whether more workers are ready than ever, and others will follow."""
        watchers = self._supervisor.watchers.values()
        ready = sum(watcher.counts[State.READY] for watcher in watchers)
        if ready > self._best:
            self._best = ready
            pauses = (w.spec.warmup_delay_s for w in watchers if w.waits_to_start())
            self._until = now + max(pauses, default=0.0) + PROGRESS_S

    def _deadlines(self, now: float) -> Iterator[float]:
        """Yield until when what is under way may take."""
        yield self._supervisor.leftovers.due_at or 0.0
        for watcher in self._supervisor.watchers.values():
            if any(watcher.counts[state] for state in _TIMED):
                for slot in watcher.slots.values():
                    yield self._deadline(slot, now)

    def _deadline(self, slot: Slot, now: float) -> float:
        """Return until when a slot may take; 0 where it need not, or has been restarted."""
        if slot.state not in _TIMED or slot.child is None:
            return 0.0
        if slot.restarts > self._restarts.get(slot, 0):
            return 0.0
        return now + MOST_S if slot.due_at is None else slot.due_at
