"""Clients: they ask at any instant, and what they are told is held against what is.

They call `control.service.Service` as a connection does; the wire is tested elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from pidsup.control.progress import Progress
from pidsup.control.protocol import INTERFACE, Message, call, encode
from pidsup.control.request import Caller
from pidsup.control.roles import Role
from pidsup.control.service import Service
from pidsup.control.stream import Stream
from pidsup.loop.loop import EpollLoop
from pidsup.loop.timers import TimerHandle
from pidsup.policy.lifecycle import AT_REST, State
from pidsup.supervisor.changes import Actor, Change, Goal, TaskState
from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher
from tests.simulation.machine import Machine
from tests.simulation.reader import Reader
from tests.simulation.violation import Violation, demand

_AT_REST = tuple(AT_REST)
_NOT_UP = (State.FAILED, State.COMPLETED, State.BACKOFF)
_CALLER = Caller(0, Role.ADMIN, lambda: Actor(0, 4711, "client"))
_ERRORS_OF_STATE = {
    TaskState.DONE: None,
    TaskState.FAILED: f"{INTERFACE}.Failed",
    TaskState.SUPERSEDED: f"{INTERFACE}.Superseded",
}
_TIMED_OUT = f"{INTERFACE}.TimedOut"


def _is_to_run(watcher: Watcher, slot: Slot) -> bool:
    """Tell whether a slot is wanted, by a connection perhaps."""
    return watcher.wants(slot) or watcher.is_on_demand(slot)


class _Waiting:
    """A client whose answer is still to come, as control.connection waits for it."""

    def __init__(
        self, progress: Progress, tell: Callable[[_Waiting, Message, str | None], None]
    ) -> None:
        self.change = progress.change
        self.progress = progress
        self._told = False
        self._tell = tell

    def begin(self) -> None:
        self.progress.begin(self._ready)
        self._ready()

    def _ready(self) -> None:
        if self._told or (data := self.progress.next()) is None:
            return
        answer = json.loads(data[:-1])
        if not self.progress.over:
            demand(answer["continues"] and "error" not in answer, f"no progress: {answer}")
            return
        self._told = True
        self.progress.close()
        demand("continues" not in answer, f"more to come behind the last answer: {answer}")
        left = self.change.left
        self._tell(self, answer, _TIMED_OUT if left else _ERRORS_OF_STATE[self.change.state])


class Clients:
    """Ask for random things, and check the answers."""

    def __init__(
        self, supervisor: Supervisor, loop: EpollLoop, machine: Machine, rng: Random
    ) -> None:
        self._supervisor = supervisor
        self._service = Service(supervisor)
        self.reader = Reader(self._service, supervisor, _CALLER)
        self._machine = machine
        self._rng = rng
        self._waiting: dict[_Waiting, None] = {}
        self._restarts: list[tuple[Change, float, set[Slot]]] = []
        self.started_at: dict[Slot, float] = {}  #: birth of the last that was ready
        self.answers = 0
        self._latest: Change | None = None
        self._note_changes()
        self._asks: tuple[tuple[int, Callable[[], None]], ...] = (
            (4, self._start),
            (4, self._stop),
            (4, self._restart),
            (4, self._scale),
            (2, self._send_signal),
            (2, self._apply),
            (1, self._compare),
            (1, self._status),
            (1, self._nonsense),
            (1, lambda: self.reader.come_and_go(rng)),
        )

    def _note_changes(self) -> None:
        """Remember the change that was begun last, which may be over at once."""
        begin = self._supervisor.changes.begin

        def noting(*command: Any, **how: Any) -> Change:
            self._latest = begin(*command, **how)
            return self._latest

        setattr(self._supervisor.changes, "begin", noting)  # noqa: B010  mypy forbids the other

    def timers(self) -> list[TimerHandle]:
        """Return the deadlines that waiting clients have set."""
        timers = [timer for waiting in self._waiting for timer in waiting.progress.timers()]
        return [timer for timer in timers if isinstance(timer, TimerHandle)]

    def are_waiting(self) -> bool:
        """Tell whether an answer is still to come."""
        return bool(self._waiting)

    def ask(self) -> None:
        """Ask for something."""
        weights = [weight for weight, _ in self._asks]
        self._rng.choices([ask for _, ask in self._asks], weights)[0]()

    # --- what is asked

    def _start(self) -> None:
        self._wish("Start", _is_to_run)

    def _stop(self) -> None:
        self._wish("Stop", lambda watcher, slot: not watcher.wants(slot))

    def _restart(self) -> None:
        asked_at = self._machine.now
        change = self._wish("Restart", _is_to_run)
        if change is not None:
            self._restarts.append((change, asked_at, set()))

    def _wish(self, method: str, granted: Callable[[Watcher, Slot], bool]) -> Change | None:
        change = self._change(method, {"selectors": self._selectors(), **self._patience()})
        for task in change.tasks if change else ():
            watcher = task.watcher
            if watcher is not None and task.slot.index < watcher.workers:
                # A watcher may have been given up at once, and then wants nothing.
                fine = granted(watcher, task.slot) or task.state is not TaskState.DOING
                demand(fine, f"{method} did not make itself felt in {task.slot}")
        return change

    def _scale(self) -> None:
        rng = self._rng
        name = rng.choice(("*", *self._supervisor.watchers))
        target = rng.choice(({"workers": rng.randrange(7)}, {"by": 1}, {"by": -1}, {"by": 2}))
        before = {w.spec.name: w.workers for w in self._supervisor.watchers.values()}
        change = self._change("Scale", {"selectors": [name], **target, **self._patience()})
        for watcher in self._supervisor.watchers.values():
            if watcher.leaving:
                continue
            wanted = before[watcher.spec.name]
            if change is not None and name in ("*", watcher.spec.name):
                wanted = target["workers"] if "workers" in target else wanted + target["by"]
            demand(watcher.workers == wanted, f"{watcher} instead of {wanted} workers")

    def _apply(self) -> None:
        self._change("Apply", self._patience())

    def _compare(self) -> None:
        answer = self._call("Diff", {})
        assert not isinstance(answer, dict)
        answer.begin(partial(self._compared, answer))

    def _compared(self, answer: Stream) -> None:
        data = answer.next()
        demand(data is not None and answer.over, "no comparison")

    def _send_signal(self) -> None:
        rng = self._rng
        signo = rng.choice(("TERM", "KILL", "HUP", "USR1", "STOP", "SIGINT", 12))
        whom = rng.choice(("main", "main", "children", "all"))
        self._change("Signal", {"selectors": self._selectors(), "signal": signo, "whom": whom})

    def _status(self) -> None:
        answer = self._call("Status", {})
        if not isinstance(answer, dict):
            raise Violation("Status has to wait")
        for told in answer["parameters"]["watchers"]:
            watcher = self._supervisor.watchers[told["name"]]
            pids = [slot["pid"] for slot in told["slots"] if slot["state"] == "ready"]
            demand(told["ready"] == len(pids), f"{told['ready']} ready, but {len(pids)} pids")
            demand(None not in pids, "a ready slot without a pid")
            demand(len(told["slots"]) == len(watcher.slots), f"not all slots of {watcher} are told")

    def _nonsense(self) -> None:
        method, parameters = self._rng.choice(
            (
                ("Start", {"selectors": ["nobody"]}),
                ("Stop", {"selectors": []}),
                ("Restart", {"selectors": ["w0"], "colour": "blue"}),
                ("Scale", {"selectors": ["w0:0"], "workers": 1}),
                ("Scale", {"selectors": ["*"], "workers": -1}),
                ("Signal", {"selectors": ["*"], "signal": "NONSENSE"}),
                ("Fly", {}),
            )
        )
        answer = self._call(method, parameters)
        demand(isinstance(answer, dict) and "error" in answer, f"{method} made sense: {answer}")

    def shut_down(self) -> None:
        """Ask for the end."""
        self._change("Shutdown", self._patience())

    # --- how it is asked

    def _selectors(self) -> list[str]:
        rng = self._rng
        name = rng.choice(("*", *self._supervisor.watchers))
        one = rng.choice((name, name, f"{name}:*", f"{name}:{rng.randrange(4)}"))
        return [one] if rng.random() < 0.8 else [one, rng.choice(("w0", "w*:1"))]

    def _patience(self) -> dict[str, Any]:
        return self._rng.choice(
            ({}, {"wait": False}, {"timeout_ms": self._rng.choice((0, 1, 100, 5000))})
        )

    def _call(self, method: str, parameters: Message) -> Message | Stream:
        self._machine.note("ask", method, parameters)
        more = self._rng.random() < 0.3
        answer = self._service.call(call(method, parameters, more=more), _CALLER)
        if isinstance(answer, dict):
            self._answered(answer)
        return answer

    def _change(self, method: str, parameters: Message) -> Change | None:
        """Ask for a change; None when it was refused."""
        answer = self._call(method, parameters)
        if isinstance(answer, Progress):
            self._await(answer)
            return answer.change
        assert isinstance(answer, dict)
        if "error" not in answer:
            return self._latest
        self._demand_refusal_is_right(answer)
        return None

    def _demand_refusal_is_right(self, answer: Message) -> None:
        refused = answer["error"].rpartition(".")[2]
        if refused == "ShuttingDown":
            demand(self._supervisor.shutting_down, "refused as if shutting down")
        elif refused == "NoSuchSelector":
            selector = answer["parameters"]["name"]
            watcher, colon, slot = selector.partition(":")
            of = self._supervisor.watchers.get(watcher)
            known = of is not None and (not colon or slot in map(str, of.slots))
            known = known and not (of and of.leaving)
            demand(not known, f"{selector!r} is there, but not found")
        else:  # the one thing that was wrong about it: a number below 0
            demand(refused == "Invalid" and "workers" in str(answer), f"refused: {answer}")

    # --- waiting

    def _await(self, progress: Progress) -> None:
        waiting = _Waiting(progress, self._answer_late)
        self._waiting[waiting] = None
        waiting.begin()

    def _answer_late(self, waiting: _Waiting, answer: Message, expected: str | None) -> None:
        demand(waiting in self._waiting, f"answered twice: {answer}")
        del self._waiting[waiting]
        demand(answer.get("error") == expected, f"{answer} instead of {expected}")
        self._answered(answer)

    def _answered(self, answer: Message) -> None:
        encode(answer)
        self.answers += 1

    # --- what the answers promise

    def check(self) -> None:
        """Hold the changes under way and just over against the slots."""
        for change in self._supervisor.changes.under_way.values():
            self._check_open(change)
        self._restarts = [entry for entry in self._restarts if self._check_restart(*entry)]

    def _check_open(self, change: Change) -> None:
        doing = [task for task in change.tasks if task.state is TaskState.DOING]
        if len(doing) + change.prepares != change.left:
            raise Violation(f"{change} counts {change.left} tasks under way, has {doing}")
        for task in doing:
            slot = task.slot
            if task.goal is Goal.DOWN:
                over = slot.state in _AT_REST
            else:
                over = slot.state in _NOT_UP or (slot.state is State.READY and not slot.outdated())
                if task.watcher is not None and slot.state is State.STOPPED:
                    over = over or not task.watcher.is_becoming_idle()
            if over:
                raise Violation(f"{change} still waits for {slot} to be {task.goal}")

    def _check_restart(self, change: Change, asked_at: float, seen: set[Slot]) -> bool:
        """Demand a new worker of each task that is done; True while some are under way."""
        for task in change.tasks:
            if task.state is TaskState.DONE and task.slot not in seen:
                seen.add(task.slot)
                if task.reason == "listening" or (task.watcher and task.watcher.spec.accept):
                    continue
                started_at = self.started_at.get(task.slot, 0.0)
                demand(started_at > asked_at, f"{change}: {task.slot} has an old worker")
        return bool(change.left)
