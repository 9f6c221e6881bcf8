"""Changes: each accepted command, who asked, its tasks per slot, how it ended.

A change never steers anything.  Commands change what is wanted; a change only
watches until the slots are there, have failed, or a contrary wish has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from pidsup.policy.lifecycle import State
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import AT_REST, Watcher


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
            self.end(TaskState.FAILED, slot.reason or "the watcher was stopped")


class Change:
    """One accepted command."""

    def __init__(
        self, number: int, kind: str, actor: Actor, wall: float, tasks: list[Task]
    ) -> None:
        """Start out with all its tasks."""
        self.id = str(number)
        self.kind = kind
        self.actor = actor
        self.asked_at = wall  #: seconds since 1970
        self.tasks = tasks
        self.left = sum(task.state is TaskState.DOING for task in tasks)  #: tasks under way
        self.superseded_by: str | None = None
        self._waiters: list[Callable[[Change], object]] = []

    def __str__(self) -> str:
        """Name it for the one that it supersedes."""
        return f"{self.kind} (change {self.id})"

    @property
    def state(self) -> TaskState:
        """Sum up the tasks: doing while one is, else the worst of them."""
        states = {task.state for task in self.tasks}
        for state in (TaskState.DOING, TaskState.SUPERSEDED, TaskState.FAILED):
            if state in states:
                return state
        return TaskState.DONE

    def when_over(self, callback: Callable[[Change], object]) -> None:
        """Call back once it is over: now, if it is."""
        if self.left:
            self._waiters.append(callback)
        else:
            callback(self)

    def forget(self, callback: Callable[[Change], object]) -> None:
        """Do not call back any more."""
        if callback in self._waiters:
            self._waiters.remove(callback)

    def ended_one(self) -> None:
        """Count a task that has come to its end; with the last, call back all who wait."""
        self.left -= 1
        if not self.left:
            waiters, self._waiters = self._waiters, []
            for callback in waiters:
                callback(self)


class Changes:
    """The changes under way."""

    def __init__(self) -> None:
        """Start with none."""
        self.under_way: dict[str, Change] = {}  #: by id, oldest first
        self._open: dict[Slot, list[tuple[Change, Task]]] = {}
        self._number = 0

    def begin(self, kind: str, actor: Actor, wall: float, tasks: Iterable[Task]) -> Change:
        """Accept a command: earlier tasks with a contrary goal are superseded by it.

        To be called before the wishes change; `review` its slots afterwards.
        """
        self._number += 1
        change = Change(self._number, kind, actor, wall, list(tasks))
        if change.left:
            self.under_way[change.id] = change
        for task in change.tasks:
            if task.goal is not None:
                self._supersede(task, change)
                self._open.setdefault(task.slot, []).append((change, task))
        return change

    def _supersede(self, new: Task, by: Change) -> None:
        for change, task in self._open.get(new.slot, ()):
            if task.goal is not new.goal:
                task.end(TaskState.SUPERSEDED, f"superseded by {by}")
                change.superseded_by = change.superseded_by or str(by)
        self._close_ended(new.slot)

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
                if change.left == 1:
                    del self.under_way[change.id]
                change.ended_one()
