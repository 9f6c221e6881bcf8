"""Bugs to be planted in the real shells, each of which has to turn the simulation red.

A mutant is a change of source text, so that it reads as the slip that it stands for.
Where the text is no longer there, the mutant has to follow the code.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any, NamedTuple

import pytest

from pidsup.policy.lifecycle import TABLE, Event, State
from pidsup.process.child import Child
from pidsup.process.orphans import Orphans
from pidsup.process.spawner import Spawner
from pidsup.supervisor.applying import Applying
from pidsup.supervisor.changes import Changes
from pidsup.supervisor.events import Events
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.table import Table
from pidsup.supervisor.turnover import Turnover
from pidsup.supervisor.wishes import Wishes
from pidsup.watcher import slot as slot_module
from pidsup.watcher.accepting import Accepting
from pidsup.watcher.activation import OnDemand
from pidsup.watcher.inbox import Inbox
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher


class Edit(NamedTuple):
    """A change of the text of one method."""

    owner: type
    method: str
    old: str
    new: str = ""

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        """Put the changed method in place of the real one."""
        real = getattr(self.owner, self.method)
        source = textwrap.dedent(inspect.getsource(real))
        if source.count(self.old) != 1:
            raise LookupError(f"{self.owner.__name__}.{self.method} has no {self.old!r} any more")
        made: dict[str, Any] = {}
        exec(source.replace(self.old, self.new), real.__globals__, made)
        patch.setattr(self.owner, self.method, made[self.method])
        for action, perform in slot_module._PERFORM.items():
            if perform is real:
                patch.setitem(slot_module._PERFORM, action, made[self.method])


class Row(NamedTuple):
    """A change of the lifecycle's table: nothing happens at *event*."""

    state: State
    event: Event

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        """Put it into the table."""
        patch.setitem(TABLE[self.state], self.event, (self.state, ()))


Mutant = tuple[Edit | Row, ...]

MUTANTS: dict[str, Mutant] = {
    "closes before it unregisters": (
        Edit(Child, "_reap_first", "self._sources.remove(self.pidfd)", "pass"),
        Edit(
            Child,
            "close",
            "self._sources.remove(fd)\n        self._kernel.close(fd)",
            "self._kernel.close(fd)\n        self._sources.remove(fd)",
        ),
    ),
    "drops a failed spawn": (
        Edit(Spawner, "_spawn", "self._loop.call_soon(requester.spawn_failed, error)"),
    ),
    "drops a cancelled spawn": (
        Edit(Spawner, "cancel", "self._loop.call_soon(requester.spawn_failed, None)"),
    ),
    "forgets to cancel a timer": (Edit(Slot, "_drop_timer", "self._timer.cancel()", "pass"),),
    "reaps without a word": (Edit(Child, "_end", "self._on_exit()", "pass"),),
    "does not listen for the end": (
        Edit(
            Slot,
            "spawned",
            "child.watch(self._exited, None if self.inbox is None else self.inbox.hear_out)",
            "pass",
        ),
    ),
    "takes the children of a recycled pid": (
        Edit(Child, "_children_of", "return found if lives else []", "return found"),
    ),
    "pins without looking again": (
        Edit(Child, "pin_descendants", "if pid in self._children_of(parent):", "if True:"),
    ),
    "does not pin before the stop signal": (
        Edit(Slot, "_stop_step", "self.child.pin_descendants()"),
    ),
    "does not signal the group": (Edit(Child, "signal", "partial(self._signal_group, signo), "),),
    "leaks the pidfd of a worker": (
        Edit(Child, "close", "self._sources.remove(fd)\n        self._kernel.close(fd)"),
    ),
    "leaks the pidfd of a descendant": (
        Edit(Child, "_unpin_gone", "self._kernel.close(pidfd)", "pass"),
    ),
    "leaves the tree to itself": (
        Edit(
            Slot,
            "_clean",
            "if not child.tree_is_empty(thorough=self._attempt >= PATIENT_LOOKS):",
            "if False:",
        ),
    ),
    "keeps a worker that a restart should replace": (
        Edit(Slot, "outdated", "self.child.started_at < self.not_before", "False"),
    ),
    "forgets a restart": (Edit(Watcher, "_outdate", "slot.not_before = now", "pass"),),
    "ignores a stop that crosses a start": (Row(State.STOPPING, Event.SPAWNED),),
    "gives up after the first kill": (Row(State.KILLING, Event.OVERDUE),),
    "is not in a hurry": (Edit(Watcher, "hurry", "slot.handle(Event.KILL_DUE)", "pass"),),
    "never looks for orphans": (Edit(Orphans, "look", "self._look()", "pass"),),
    "reaps only one orphan": (Edit(Orphans, "_look", "self._on_reaped(pid, ended)", "return"),),
    "loses count": (Edit(Watcher, "entered", "self.counts[slot.state] += 1"),),
    "leaves followers waiting": (Edit(Supervisor, "_look", "watcher.reconcile()", "pass"),),
    "starts out of order": (
        Edit(Watcher, "_take_turn", "if self._superior.held_up_by(self):", "if False:"),
    ),
    "stops out of order": (Edit(Supervisor, "may_stop", "other.is_going_down()", "False"),),
    "has no patience between starts": (
        Edit(Watcher, "_take_turn", "self._started_at = now", "pass"),
    ),
    "does not supersede": (Edit(Changes, "_supersede", "task.goal is not new.goal", "False"),),
    "does not review": (Edit(Supervisor, "slot_settled", "self.changes.review(slot)"),),
    "keeps the record of a slot that is gone": (
        Edit(Supervisor, "slot_dropped", "self._table.drop(slot)", "pass"),
    ),
    "does not tell of a state": (
        Edit(Supervisor, "slot_entered", "self.events.slot(watcher, slot)", "pass"),
    ),
    "does not tell that a slot is gone": (
        Edit(Supervisor, "slot_dropped", "self.events.removed(slot)", "pass"),
    ),
    "does not tell what is wanted": (
        Edit(
            Wishes,
            "run",
            "self._events.watcher(watcher.spec.name, wanted, watcher.workers, why)",
            "pass",
        ),
    ),
    "tells an event twice": (Edit(Events, "read", "range(position + 1", "range(position"),),
    "does not write down a pid": (
        Edit(
            Table,
            "write",
            "pid, inode, started_at = child.pid, child.inode, child.started_at",
            "pass",
        ),
    ),
    "does not write down who was born during a stop": (
        Edit(Slot, "spawned", "self.written = None", "pass"),
    ),
    "writes down a slot that is gone": (
        Edit(Supervisor, "slot_settled", " and watcher.slots.get(slot.index) is slot"),
    ),
    "renews nobody": (Edit(Turnover, "carry_out", "watcher.renew()", "pass"),),
    "never forgets a watcher": (Edit(Supervisor, "slot_dropped", "self._forget(watcher)", "pass"),),
    "takes another plan in the midst of a stop": (
        Edit(Slot, "_stop_step", "plan = self._stop_plan", "plan = self._owner.spec.stop_plan"),
    ),
    "does not read again for who came later": (
        Edit(Applying, "_read", "self._read_next(self.reader)", "pass"),
    ),
    "reads on through a shutdown": (Edit(Applying, "end", "tell(Reading([_TOO_LATE]))", "pass"),),
    "ends while somebody reads": (
        Edit(Supervisor, "_end_if_down", "self.applying.is_reading()", "False"),
    ),
    "takes another group of the same number for its own": (
        Edit(Child, "_number_is_taken", "return True", "return False"),
    ),
    "keeps a pin whose number was given away": (
        Edit(Child, "pin_descendants", "self._unpin_gone()", "pass"),
    ),
    "takes a worker for ready before it says so": (
        Edit(Slot, "_await_ready", 'if spec.type == "exec":', "if True:"),
    ),
    "waits for ever for a worker to be ready": (
        Edit(Slot, "_await_ready", "if spec.start_timeout_s:", "if False:"),
    ),
    "does not look whether a worker says that it lives": (
        Edit(Slot, "_set_watchdog", "if self._watchdog_s:", "if False:"),
    ),
    "forgets the deadline of a start": (Row(State.STARTING, Event.START_DUE),),
    "does not pin before the watchdog's signal": (
        Edit(Slot, "_abort", "self.child.pin_descendants()", "pass"),
    ),
    "believes whoever speaks": (
        Edit(Inbox, "_is_ours", "return self._belongs(sender.pid, child)", "return True"),
    ),
    "believes whoever has spoken": (
        Edit(Inbox, "_is_ours", "if sender.uid not in self._uids:", "if False:"),
    ),
    "keeps a socket that nobody talks to": (Edit(Slot, "close", "self.inbox.close()", "pass"),),
    "goes by the wall clock": (
        Edit(Slot, "_set_timer", "self._owner.kernel.now()", "self._owner.kernel.wall()"),
    ),
    "stops an idle watcher without a last look": (
        Edit(
            OnDemand,
            "_look_closely",
            "Event.BUSY if any(self._uses()) else Event.QUIET",
            "Event.QUIET",
        ),
    ),
    "does not look for connections": (
        Edit(OnDemand, "_is_idle", "uses = self._uses()", "uses = []"),
        Edit(OnDemand, "_look_closely", "any(self._uses())", "False"),
    ),
    "keeps its ears open": (Edit(OnDemand, "_listen_or_not", "self.mute()", "pass"),),
    "does not listen again": (Edit(OnDemand, "review", "self._handle(Event.DOWN)", "pass"),),
    "forgets to watch whether it is idle": (
        Edit(OnDemand, "review", "self._look_or_not()", "pass"),
    ),
    "keeps a copy of each connection": (
        Edit(Accepting, "settled", "self._watcher.kernel.close(connection.fd)", "pass"),
    ),
    "does not accept again after a pause": (Edit(Accepting, "_go_on", "self.review()", "pass"),),
    "lets EPERM get through": (
        Edit(Child, "_signal_one", "if signo:\n            raise", "raise"),
    ),
}


#: Seen only where a group is signalled by number.
BELOW_6_9 = frozenset({"takes another group of the same number for its own"})


def plant(name: str, patch: pytest.MonkeyPatch) -> None:
    """Put a mutant's changes in place, for as long as *patch* lasts."""
    for change in MUTANTS[name]:
        change.apply(patch)
