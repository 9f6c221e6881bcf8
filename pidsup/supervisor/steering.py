"""Steering: each command changes what is wanted, and returns a Change to wait on.

A command is checked as a whole before anything happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pidsup.errors import Invalid, NoSuchSelector, ShuttingDown
from pidsup.process.child import Whom
from pidsup.process.exit import signal_name
from pidsup.supervisor.changes import Actor, Change, Goal, Task, TaskState
from pidsup.supervisor.selectors import Selection, select
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.turnover import TRIED
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

MOST_WORKERS = 100_000


class Steering:
    """What can be asked of a supervisor.  Borrows it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def start(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want the selected to run; what had failed is tried again."""
        return self._command("start", selectors, actor, Goal.UP, Watcher.start)

    def stop(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want the selected to be down."""
        return self._command("stop", selectors, actor, Goal.DOWN, Watcher.stop)

    def restart(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want workers in the selected that are started from now on."""
        return self._command("restart", selectors, actor, Goal.UP, Watcher.restart)

    def _command(
        self,
        kind: str,
        selectors: Sequence[str],
        actor: Actor,
        goal: Goal,
        wish: Callable[[Watcher, list[Slot] | None], None],
    ) -> Change:
        chosen = self._select(selectors, with_leaving=goal is Goal.DOWN)
        # Slots beyond the wanted number are on their way out: no wish brings them back.
        tasks = [
            Task(watcher, slot, goal)
            for watcher, slots in chosen
            for slot in (watcher.slots.values() if slots is None else slots)
            if slot.index < watcher.workers or goal is Goal.DOWN
        ]
        for _, slots in chosen:
            if slots and not any(task.slot in slots for task in tasks):
                raise NoSuchSelector(f"{slots[0].name}, which is on its way out", None)
        change = self._begin(kind, actor, tasks, selectors)
        # In start order, and down in reverse: who comes first holds up who comes after.
        for watcher, slots in reversed(chosen) if goal is Goal.DOWN else chosen:
            wanted = goal is Goal.UP
            self._supervisor.wishes.run(watcher, slots, wanted=wanted, why=change.because())
            wish(watcher, slots)
        self._supervisor.review(change)
        return change

    def scale(
        self, selectors: Sequence[str], actor: Actor, *, workers: int | None, by: int = 0
    ) -> Change:
        """Want *workers* workers, or *by* more than wanted now, in each selected watcher."""
        chosen = self._select(selectors)
        targets: list[tuple[Watcher, int]] = []
        for watcher, slots in chosen:
            if slots is not None:
                raise Invalid("selectors", "scale takes watchers, not slots")
            target = watcher.workers + by if workers is None else workers
            if not 0 <= target <= MOST_WORKERS:
                why = f"{watcher.spec.name} cannot have {target} workers: from 0 to {MOST_WORKERS}"
                raise Invalid("workers", why)
            if target > 1 and (watcher.spec.singleton or watcher.spec.foreground):
                why = "is a singleton" if watcher.spec.singleton else "has the terminal"
                raise Invalid("workers", f"{watcher.spec.name} {why}: one worker at most")
            targets.append((watcher, target))
        tasks = []
        for watcher, target in targets:
            watcher.resize(target)
            for slot in watcher.slots.values():
                if slot.index >= target and not watcher.wants(slot):
                    tasks.append(Task(watcher, slot, Goal.DOWN))
                elif is_to_run(watcher, slot) and slot.state not in TRIED:
                    tasks.append(Task(watcher, slot, Goal.UP))
        number = f"{by:+}" if workers is None else workers
        change = self._begin("scale", actor, tasks, [*selectors, str(number)])
        for watcher, _ in targets:
            self._supervisor.wishes.scale(watcher, change.because())
            watcher.reconcile()
        self._supervisor.review(change)
        return change

    def signal(self, selectors: Sequence[str], actor: Actor, signo: int, whom: Whom) -> Change:
        """Send a signal to the selected workers, to their children, or to their trees."""
        tasks = []
        for watcher, slots in self._select(selectors, with_leaving=True):
            everyone = list(watcher.slots.values())
            living = [slot for slot in everyone if slot.child is not None]
            for slot in (living or everyone) if slots is None else slots:
                tasks.append(Task(watcher, slot, None))
                self._send(tasks[-1], signo, whom)
        kind = f"signal {signal_name(signo)}"
        return self._begin(kind, actor, tasks, selectors, of_nothing=TaskState.FAILED)

    @staticmethod
    def _send(task: Task, signo: int, whom: Whom) -> None:
        try:
            reached = task.slot.send(signo, whom)
        except OSError as error:
            task.end(TaskState.FAILED, str(error.strerror))
            return
        if reached:
            task.end(TaskState.DONE)
        else:
            who = "no children" if whom is Whom.CHILDREN else "no worker runs"
            task.end(TaskState.FAILED, who)

    def _select(self, selectors: Sequence[str], *, with_leaving: bool = False) -> Selection:
        """Select; nothing brings back a watcher that the configuration has no more."""
        if self._supervisor.shutting_down:
            raise ShuttingDown
        watchers = self._supervisor.watchers.items()
        known = {name: w for name, w in watchers if with_leaving or not w.leaving}
        return select(known, selectors)

    def _begin(
        self,
        kind: str,
        actor: Actor,
        tasks: list[Task],
        what: Sequence[str],
        *,
        of_nothing: TaskState = TaskState.DONE,
    ) -> Change:
        begin = self._supervisor.changes.begin
        change = begin(kind, actor, " ".join(what), tasks, of_nothing=of_nothing)
        self._supervisor.log.info(kind, what=change.what, change=change.id, asked_by=actor)
        return change


def is_to_run(watcher: Watcher, slot: Slot) -> bool:
    """Tell whether a slot is wanted, or waits for a connection to be."""
    return watcher.wants(slot) or watcher.is_on_demand(slot)
