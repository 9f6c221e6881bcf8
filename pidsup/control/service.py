"""From methods to the supervisor, and from its state to answers; no sockets here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pidsup import __version__
from pidsup.config.kinds import signal_number
from pidsup.control.protocol import INTERFACE, Message, error, reply
from pidsup.errors import ControlError, Failed, Invalid, Superseded, TimedOut
from pidsup.policy.lifecycle import State
from pidsup.process.child import Whom
from pidsup.process.exit import ExitReport
from pidsup.supervisor.changes import Actor, Change, Task, TaskState
from pidsup.supervisor.selectors import select
from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

#: Finds out who asks; only what changes something needs to know.
Who = Callable[[], Actor]
Method = Callable[["Parameters", Who], "Message | Wait"]

_LONGEST_MS = 10**12  # thirty years: what a clock can add
_SERVICE = "org.varlink.service"
_HERE = os.path.dirname(__file__)


class Wait(NamedTuple):
    """An answer that comes when a change is over."""

    change: Change
    timeout_s: float | None

    def answer(self) -> Message:
        """Return the answer of the change that is over."""
        facts = change_facts(self.change)
        state = self.change.state
        if state is TaskState.FAILED:
            return _error(Failed(facts))
        if state is TaskState.SUPERSEDED:
            lost = Superseded(self.change.superseded_by or "")
            lost.parameters["change"] = facts
            return _error(lost)
        return reply({"change": facts})

    def timed_out(self) -> Message:
        """Return the answer when the caller's limit has passed."""
        return _error(TimedOut(change_facts(self.change)))


class Service:
    """Answers calls on a supervisor.  Borrows it."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Note when it began."""
        self._supervisor = supervisor
        self._began_at = supervisor.kernel.now()
        self._methods: dict[str, Method] = {
            f"{INTERFACE}.Status": self._status,
            f"{INTERFACE}.Start": self._start,
            f"{INTERFACE}.Stop": self._stop,
            f"{INTERFACE}.Restart": self._restart,
            f"{INTERFACE}.Scale": self._scale,
            f"{INTERFACE}.Signal": self._signal,
            f"{INTERFACE}.Shutdown": self._shutdown,
            f"{_SERVICE}.GetInfo": self._get_info,
            f"{_SERVICE}.GetInterfaceDescription": self._get_description,
        }

    def call(self, message: Message, who: Who) -> Message | Wait:
        """Answer a request, at once or when a change is over; never raises for bad ones."""
        name = message.get("method")
        parameters = message.get("parameters", {})
        if not isinstance(name, str):
            return _error(Invalid("method", "must be a string"))
        if not isinstance(parameters, dict):
            return _error(Invalid("parameters", "must be an object"))
        method = self._methods.get(name)
        if method is None:
            interface = name.rpartition(".")[0]
            if interface in (INTERFACE, _SERVICE):
                return error(f"{_SERVICE}.MethodNotFound", {"method": name})
            return error(f"{_SERVICE}.InterfaceNotFound", {"interface": interface})
        try:
            return method(Parameters(parameters), who)
        except ControlError as problem:
            return _error(problem)
        except Exception as bug:  # noqa: BLE001  the border: a client gets an answer in any case
            self._supervisor.log.bug(bug)
            return error("Internal", {"why": f"{type(bug).__name__}: {bug}"})

    # --- methods

    def _status(self, given: Parameters, who: Who) -> Message:
        selectors = given.optional_strings("selectors")
        given.done()
        supervisor = self._supervisor
        chosen = select(supervisor.watchers, ["*"] if selectors is None else selectors)
        now = supervisor.kernel.now()
        return reply(
            {
                "schema": 1,
                "name": supervisor.name,
                "pid": os.getpid(),
                "version": __version__,
                "state": "stopping" if supervisor.shutting_down else "running",
                "up_s": now - self._began_at,
                "watchers": [watcher_facts(watcher, slots, now) for watcher, slots in chosen],
                "changes": [change_facts(c) for c in supervisor.changes.under_way.values()],
            }
        )

    def _start(self, given: Parameters, who: Who) -> Message | Wait:
        selectors, wait = given.strings("selectors"), given.wait()
        return wait(self._supervisor.start(selectors, who()))

    def _stop(self, given: Parameters, who: Who) -> Message | Wait:
        selectors, wait = given.strings("selectors"), given.wait()
        return wait(self._supervisor.stop(selectors, who()))

    def _restart(self, given: Parameters, who: Who) -> Message | Wait:
        selectors, wait = given.strings("selectors"), given.wait()
        return wait(self._supervisor.restart(selectors, who()))

    def _scale(self, given: Parameters, who: Who) -> Message | Wait:
        selectors = given.strings("selectors")
        workers, by = given.optional_integer("workers"), given.optional_integer("by")
        wait = given.wait()
        if (workers is None) == (by is None):
            raise Invalid("workers", "give either workers or by")
        return wait(self._supervisor.scale(selectors, who(), workers=workers, by=by or 0))

    def _signal(self, given: Parameters, who: Who) -> Message | Wait:
        selectors, whom = given.strings("selectors"), given.take("whom", "main")
        try:
            signo = signal_number(given.take("signal"))
        except ValueError as why:
            raise Invalid("signal", str(why)) from why
        if whom not in ("main", "children", "all"):
            raise Invalid("whom", "must be main, children or all")
        given.done()
        return Wait(self._supervisor.signal(selectors, who(), signo, Whom(whom)), None)

    def _shutdown(self, given: Parameters, who: Who) -> Message | Wait:
        return given.wait()(self._supervisor.shutdown(who()))

    def _get_info(self, given: Parameters, who: Who) -> Message:
        given.done()
        return reply(
            {
                "vendor": "pidsup",
                "product": "pidsup",
                "version": __version__,
                "url": "https://pypi.org/project/pidsup",
                "interfaces": [_SERVICE, INTERFACE],
            }
        )

    def _get_description(self, given: Parameters, who: Who) -> Message:
        interface = given.take("interface")
        given.done()
        if interface not in (INTERFACE, _SERVICE):
            return error(f"{_SERVICE}.InterfaceNotFound", {"interface": str(interface)})
        with open(f"{_HERE}/{interface}.varlink", encoding="utf-8") as file:
            return reply({"description": file.read()})


class Parameters:
    """The parameters of one call: each is taken once, and none may be left."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take over a copy; null is as good as absent."""
        self._left = {key: value for key, value in given.items() if value is not None}

    def take(self, name: str, default: object = None) -> Any:
        """Take one, whatever it is."""
        return self._left.pop(name, default)

    def done(self) -> None:
        """Refuse what no method has asked for."""
        for name in self._left:
            raise Invalid(name, "unknown parameter")

    def optional_strings(self, name: str) -> list[str] | None:
        """Take an array of strings, if it is there."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Invalid(name, "must be an array of strings")
        return value

    def strings(self, name: str) -> list[str]:
        """Take an array of at least one string."""
        value = self.optional_strings(name)
        if not value:
            raise Invalid(name, "must name at least one")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Take a whole number, if it is there."""
        value = self.take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise Invalid(name, "must be a whole number")
        return value

    def wait(self) -> Callable[[Change], Message | Wait]:
        """Take wait and timeout_ms, the last; return what makes the answer of a change."""
        wait, timeout_ms = self.take("wait", True), self.optional_integer("timeout_ms")
        if not isinstance(wait, bool):
            raise Invalid("wait", "must be true or false")
        if timeout_ms is not None and not 0 <= timeout_ms <= _LONGEST_MS:
            raise Invalid("timeout_ms", f"must be from 0 to {_LONGEST_MS}")
        self.done()

        def answer(change: Change) -> Message | Wait:
            if not wait:
                return reply({"change": change_facts(change)})
            return Wait(change, None if timeout_ms is None else timeout_ms / 1000)

        return answer


# --- facts: what the interface file declares, from what the supervisor knows


def watcher_facts(watcher: Watcher, slots: list[Slot] | None, now: float) -> Message:
    """Return type Watcher."""
    if slots is None:
        slots = [watcher.slots[index] for index in sorted(watcher.slots)]
    return {
        "name": watcher.spec.name,
        "command": list(watcher.spec.command),
        "running": watcher.running,
        "workers": watcher.workers,
        "ready": watcher.counts[State.READY],
        "state": watcher_state(watcher),
        "slots": [slot_facts(watcher, slot, now) for slot in slots],
    }


def watcher_state(watcher: Watcher) -> str:
    """Say in one word how the slots of a watcher stand: what they share, else what counts most.

    Slots that are not wanted count only where none is.
    """
    slots = watcher.slots.values()
    present = {slot.state for slot in slots if watcher.wants(slot)} or {s.state for s in slots}
    if len(present) == 1:
        return str(present.pop().value)
    if not present:
        return "ready" if watcher.running else "stopped"
    if not watcher.running and State.FAILED in present:
        return "failed"  # on_give_up = "stop"
    if not present & {State.BACKOFF, State.FAILED}:
        for state in (State.KILLING, State.STOPPING, State.CLEANING, State.STARTING, State.WAITING):
            if state in present:
                return str(state.value)
    return "degraded"


def slot_facts(watcher: Watcher, slot: Slot, now: float) -> Message:
    """Return type Slot."""
    child, last = slot.child, slot.last_exit
    return {
        "name": slot.name,
        "state": slot.state.value,
        "wanted": watcher.wants(slot),
        "pid": None if child is None else child.pid,
        "serial": slot.serial,
        "for_s": round(now - slot.since, 3),
        "due_s": None if slot.due_at is None else round(max(0.0, slot.due_at - now), 3),
        "up_s": None if child is None or child.exit else round(now - child.started_at, 3),
        "restarts": slot.restarts,
        "reason": watcher.waits_for() if slot.state is State.WAITING else slot.reason,
        "last_exit": None if last is None else exit_facts(last),
    }


def exit_facts(last: ExitReport) -> Message:
    """Return type Exit."""
    facts = last._asdict()
    del facts["signo"]
    return {**facts, "signal": last.signal}


def change_facts(change: Change) -> Message:
    """Return type Change."""
    return {
        "id": change.id,
        "kind": change.kind,
        "actor": change.actor._asdict(),
        "asked_at": change.asked_at,
        "state": change.state.value,
        "tasks": [_task_facts(task) for task in change.tasks],
    }


def _task_facts(task: Task) -> Message:
    return {"slot": task.slot.name, "state": task.state.value, "reason": task.reason}


def _error(problem: ControlError) -> Message:
    return error(problem.name, dict(problem.parameters))
