"""Changes: each accepted command, who asked, its tasks per slot, how it ended.

A change never steers anything.  Commands change what is wanted; a change only
watches until the slots are there, have failed, or a contrary wish has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from pidsup.policy.lifecycle import AT_REST, State
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

HISTORY = 200  #: changes that are over and can be looked back at
_MOST_UNDER_WAY = 1000
_MOST_OPEN = 100_000  # tasks under way, of all changes: each new change looks at those of its slots
_TASKS_KEPT = 20  # of a change that is looked back at: those that are not done
_LONGEST = 200  # characters of what was asked for, and of a reason that is kept


class Actor(NamedTuple):
    """Who asked, as the kernel says, SO_PEERCRED of unix(7)."""

    uid: int
    pid: int
    comm: str

    def __str__(self) -> str:
        """Word it for the log."""
        if not self.pid:
            return self.comm
        return f"uid {self.uid} ({self.comm} {self.pid})"


class Goal(Enum):
    """What a task waits for."""

    UP = "up"  #: a worker that was started late enough is ready
    DOWN = "down"  #: nothing runs in the slot


class TaskState(Enum):
    """How a task stands; the strings are API."""

    DOING = "doing"
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Task:
    """One slot's part in a change."""

    __slots__ = ("goal", "reason", "slot", "state", "watcher")

    def __init__(self, watcher: Watcher | None, slot: Slot, goal: Goal | None) -> None:
        """Start out under way; without a goal it is for the caller to end."""
        self.watcher = watcher
        self.slot = slot
        self.goal = goal
        self.state = TaskState.DOING
        self.reason = ""

    def end(self, state: TaskState, reason: str = "") -> None:
        """Come to an end."""
        self.state, self.reason = state, reason

    def review(self) -> None:
        """Look whether it has come to its end."""
        slot = self.slot
        if self.goal is Goal.DOWN:
            if slot.state in AT_REST:
                self.end(TaskState.DONE)
        elif slot.state is State.READY:
            if not slot.outdated():
                self.end(TaskState.DONE)
        elif slot.state is State.COMPLETED:
            self.end(TaskState.DONE, slot.reason)
        elif slot.state in (State.BACKOFF, State.FAILED):
            self.end(TaskState.FAILED, slot.reason)
        elif slot.state is State.STOPPED and self.watcher and not self.watcher.wants(slot):
            if not self.watcher.is_on_demand(slot):
                self.end(TaskState.FAILED, slot.reason or "the watcher was stopped")
            elif not self.watcher.is_becoming_idle():
                self.end(TaskState.DONE, "listening")


class Summary(NamedTuple):
    """A change as it stood, without slots and with few of its tasks: what can be kept."""

    id: str
    kind: str
    actor: Actor
    what: str
    asked_at: float
    ended_at: float | None
    state: TaskState
    total: int
    over: int
    tasks: tuple[tuple[str, TaskState, str], ...]  #: slot, state, reason
    watchers: frozenset[str]  #: that it is about
    problems: tuple[str, ...] = ()  #: why it was refused as a whole

    def __str__(self) -> str:
        """Word it for a person."""
        return (
            f"{self.kind} {self.what} by {self.actor}"
            if self.what
            else f"{self.kind} by {self.actor}"
        )


class Change:
    """One accepted command."""

    def __init__(
        self,
        number: int,
        kind: str,
        actor: Actor,
        *,
        what: str,
        asked_at: float,
        tasks: list[Task],
        of_nothing: TaskState,
    ) -> None:
        """Start out with all its tasks; *of_nothing* is its state if there are none."""
        self.id = str(number)
        self.kind = kind
        self.actor = actor
        self.what = what if len(what) <= _LONGEST else f"{what[: _LONGEST - 3]}..."
        self.asked_at = asked_at  #: seconds since 1970
        self.ended_at: float | None = None
        self.tasks = tasks
        self._of_nothing = of_nothing
        self.left = _under_way(tasks)  #: tasks under way
        #: Its tasks are still to be found out, or what is wanted to be changed: counts as one.
        self.prepares = False
        self.on_over: Callable[[Change], object] = bool  #: hears of it before those who wait
        self.problems: list[str] = []  #: why nothing was done of it
        self.superseded_by: str | None = None
        self._waiters: list[Callable[[Change], object]] = []
        self._followers: list[Callable[[], object]] = []

    def __str__(self) -> str:
        """Name it for the one that it supersedes."""
        return f"{self.kind} (change {self.id})"

    def because(self) -> str:
        """Name it as what something is wanted for."""
        return f"{self} by {self.actor}"

    @property
    def state(self) -> TaskState:
        """Sum up the tasks: doing while one is, else the worst of them."""
        if self.prepares:
            return TaskState.DOING
        if self.problems:
            return TaskState.SUPERSEDED if self.superseded_by else TaskState.FAILED
        states = {task.state for task in self.tasks}
        for state in (TaskState.DOING, TaskState.SUPERSEDED, TaskState.FAILED):
            if state in states:
                return state
        return TaskState.DONE if states else self._of_nothing

    def summary(self) -> Summary:
        """Return what can be kept of it."""
        undone = [task for task in self.tasks if task.state is not TaskState.DONE]
        tasks = ((t.slot.name, t.state, t.reason[:_LONGEST]) for t in undone[:_TASKS_KEPT])
        return Summary(
            id=self.id,
            kind=self.kind,
            actor=self.actor,
            what=self.what,
            asked_at=self.asked_at,
            ended_at=self.ended_at,
            state=self.state,
            total=len(self.tasks),
            over=len(self.tasks) - self.left + self.prepares,
            tasks=tuple(tasks),
            watchers=frozenset(t.slot.name.partition(":")[0] for t in self.tasks),
            problems=tuple(problem[:_LONGEST] for problem in self.problems[:_TASKS_KEPT]),
        )

    def when_over(self, callback: Callable[[Change], object]) -> None:
        """Call back once it is over: now, if it is."""
        if self.left:
            self._waiters.append(callback)
        else:
            callback(self)

    def follow(self, callback: Callable[[], object]) -> None:
        """Call back whenever a task has come to its end, but for the last."""
        self._followers.append(callback)

    def forget(self, *callbacks: Callable[..., object]) -> None:
        """Do not call back any more."""
        for callback in callbacks:
            for told in (self._waiters, self._followers):
                if callback in told:
                    told.remove(callback)

    def is_waited_for(self) -> bool:
        """Tell whether somebody wants to hear how it ends."""
        return bool(self._waiters)

    def tell(self) -> None:
        """Call back those who follow it; once it is over, all who wait."""
        if self.left:
            for follower in list(self._followers):
                follower()
            return
        self.on_over(self)
        waiters, self._waiters, self._followers = self._waiters, [], []
        for callback in waiters:
            callback(self)


class Changes:
    """The changes under way, and what is kept of those that are over."""

    def __init__(self, wall: Callable[[], float], announce: Callable[[Summary], object]) -> None:
        """Start with none; *announce* hears of each that begins and that ends."""
        self.under_way: dict[str, Change] = {}  #: by id, oldest first
        self.history: deque[Summary] = deque(maxlen=HISTORY)  #: in the order of their ends
        self._wall = wall
        self._announce = announce
        self._open: dict[Slot, list[tuple[Change, Task]]] = {}
        self._number = 0
        self._left = 0  # tasks under way

    def begin(
        self,
        kind: str,
        actor: Actor,
        what: str,
        tasks: Iterable[Task],
        *,
        of_nothing: TaskState = TaskState.DONE,
    ) -> Change:
        """Accept a command: earlier tasks with a contrary goal are superseded by it.

        To be called before the wishes change; `review` its slots afterwards.  *of_nothing*
        is how it has ended if it has no tasks.
        """
        change = self._accept(kind, actor, what, tasks=list(tasks), of_nothing=of_nothing)
        if not change.left:
            self._close(change)
            return change
        self._make_room(change.left)
        self.under_way[change.id] = change
        self._announce(change.summary())
        self._follow(change)
        return change

    def _accept(
        self, kind: str, actor: Actor, what: str, *, tasks: list[Task], of_nothing: TaskState
    ) -> Change:
        self._number += 1
        return Change(
            self._number,
            kind,
            actor,
            what=what,
            asked_at=self._wall(),
            tasks=tasks,
            of_nothing=of_nothing,
        )

    def _follow(self, change: Change) -> None:
        self._left += _under_way(change.tasks)
        for task in change.tasks:
            if task.goal is not None:
                self._supersede(task, change)
                self._open.setdefault(task.slot, []).append((change, task))

    # --- a command that has to find out first what it is about

    def prepare(self, kind: str, actor: Actor, what: str = "") -> Change:
        """Accept it; `go_on` follows and then `carried_out`, or `refuse`."""
        change = self._accept(kind, actor, what, tasks=[], of_nothing=TaskState.DONE)
        change.prepares, change.left = True, 1
        self._make_room(0)
        self.under_way[change.id] = change
        self._announce(change.summary())
        return change

    def go_on(self, change: Change, tasks: Iterable[Task]) -> None:
        """Give it its tasks, as `begin` does."""
        found = list(tasks)
        self._make_room(len(found))
        change.tasks = found
        change.left += _under_way(found)
        self._follow(change)

    def carried_out(self, change: Change) -> None:
        """Hear that all that belongs to it has been done: it is over with its last task."""
        change.prepares = False
        change.left -= 1
        self._end_if_over(change)

    def refuse(self, change: Change, problems: Sequence[str], *, by: Change | None = None) -> None:
        """End it with nothing done: it has failed, or *by* another it was superseded."""
        change.prepares, change.left = False, 0
        change.problems = list(problems)
        change.superseded_by = None if by is None else by.because()
        self._end_if_over(change)

    def _end_if_over(self, change: Change) -> None:
        if not change.left:
            del self.under_way[change.id]
            self._close(change)
        change.tell()

    def _supersede(self, new: Task, by: Change) -> None:
        for change, task in self._open.get(new.slot, ()):
            if task.goal is not new.goal:
                task.end(TaskState.SUPERSEDED, f"superseded by {by}")
                change.superseded_by = change.superseded_by or by.because()
        self._close_ended(new.slot)

    def _make_room(self, tasks: int) -> None:
        """Follow the oldest no longer that nobody waits for: who waits is bounded elsewhere."""
        for change in list(self.under_way.values()):
            if len(self.under_way) < _MOST_UNDER_WAY and self._left + tasks <= _MOST_OPEN:
                return
            for task in () if change.is_waited_for() else change.tasks:
                if task.state is TaskState.DOING:
                    task.end(TaskState.SUPERSEDED, "not followed any more: too many are under way")
                    self._close_ended(task.slot)

    def review(self, slot: Slot) -> None:
        """Look what the slot's new state means for those who wait."""
        waiting = self._open.get(slot)
        if waiting is not None:
            for _, task in waiting:
                task.review()
            self._close_ended(slot)

    def _close_ended(self, slot: Slot) -> None:
        waiting = self._open.pop(slot, [])
        left = [(change, task) for change, task in waiting if task.state is TaskState.DOING]
        if left:
            self._open[slot] = left
        for change, task in waiting:
            if task.state is not TaskState.DOING:
                change.left -= 1
                self._left -= 1
                self._end_if_over(change)

    def _close(self, change: Change) -> None:
        change.ended_at = self._wall()
        summary = change.summary()
        self.history.append(summary)
        self._announce(summary)

    def known(self) -> list[Summary]:
        """Return all that are known, oldest first."""
        alive = [change.summary() for change in self.under_way.values()]
        return sorted([*self.history, *alive], key=lambda change: int(change.id))


def _under_way(tasks: Iterable[Task]) -> int:
    return sum(task.state is TaskState.DOING for task in tasks)
