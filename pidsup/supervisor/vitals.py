"""Whether supervision works: what has to hold for systemd's watchdog to be fed.

Each look can fail: by a bug of ours, or a kernel that does not tell us what it should.
Then a worker's death may go unseen, and a new supervisor is better than this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor
    from pidsup.watcher.slot import Slot

#: Far more than a machine with a thousand workers and no processor to spare needs.
LATE_S = 10.0


class Witness(Protocol):
    """What the kernel is asked."""

    def now(self) -> float:
        """Return the seconds of CLOCK_MONOTONIC."""

    def zombie(self) -> int | None:
        """Return the pid of one dead child of ours that nobody has reaped."""


class Vitals:
    """Looks at the supervisor from outside.  Borrows it.

    A thousand slots take 0.6 ms (a core of an AMD EPYC, 2026).
    """

    def __init__(self, supervisor: Supervisor, witness: Witness) -> None:
        """Know of nothing dead."""
        self._supervisor = supervisor
        self._witness = witness
        self._zombie: tuple[int, float] | None = None  # pid, and when it was first seen

    def trouble(self) -> str:
        """Say what does not work, "" if all does."""
        now = self._witness.now()
        return self._spawning(now) or self._slots(now) or self._reaping(now)

    def _spawning(self, now: float) -> str:
        """Look whether starts that were asked for are made."""
        since = self._supervisor.spawner.stuck_since()
        if since is None or now - since < LATE_S:
            return ""
        return f"a start waits, and none has been tried for {now - since:.0f} s"

    def _slots(self, now: float) -> str:
        """Look whether each worker's death would be heard, and each deadline is kept."""
        late = now - LATE_S
        for watcher in self._supervisor.watchers.values():
            for slot in watcher.slots.values():
                if slot.due_at is not None and slot.due_at < late:
                    return f"a deadline of {slot.name} has passed {now - slot.due_at:.0f} s ago"
                if slot.child is not None and not self._is_watched(slot):
                    return f"nobody would hear of the end of {slot.name}, pid {slot.child.main_pid}"
        return ""

    def _is_watched(self, slot: Slot) -> bool:
        child = slot.child
        if child is None or child.exit is not None:
            return True
        known = self._supervisor.spawner.children.get(child.main_pid)
        return known is child and child.is_watched()

    def _reaping(self, now: float) -> str:
        """Look whether the dead are reaped: the kernel names the first that is not."""
        pid = self._witness.zombie()
        if pid is None:
            self._zombie = None
        elif self._zombie is None or self._zombie[0] != pid:
            self._zombie = (pid, now)
        elif now - self._zombie[1] >= LATE_S:
            return f"process {pid} has been dead for {now - self._zombie[1]:.0f} s, and not reaped"
        return ""
