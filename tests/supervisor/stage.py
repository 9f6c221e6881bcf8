"""A supervisor that only stands there, with a clock that is moved by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pidsup.loop.timers import TimerHandle, Timers
from pidsup.policy.lifecycle import State
from tests.supervisor import doubles


class Stage:
    """Who is asked and told by what observes a supervisor; it is all of that in one."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.timers = Timers()
        self.posted: list[tuple[float, dict[str, object]]] = []
        self.logged: list[str] = []
        self.waiting: dict[Callable[[], object], None] = {}
        self.is_open = True
        # As a supervisor has it:
        self.kernel = self.loop = self.log = self.events = self
        self.watchers: dict[str, Any] = {}
        self.held_up: dict[str, list[str]] = {}
        self.leftovers = SimpleNamespace(due_at=None)
        self.shutting_down = False
        self.exit_code = 0
        self.on_reloading: Callable[[bool, str], object] = lambda *_: None

    # --- the scenery

    def watcher(self, name: str, *states: State, **facts: Any) -> Any:
        """Put a watcher there, with a slot in each of these states."""
        slots = [
            doubles.slot(f"{name}:{n}", state, restarts=0, since=self.time, due_at=None,
                         start_errno=None, child=object() if state in _WITH_WORKER else None)
            for n, state in enumerate(states)
        ]  # fmt: skip
        spec = {"name": name, "min_ready": None, "on_demand": False, "warmup_delay_s": 0.0}
        running = facts.pop("running", True)
        self.watchers[name] = _Watcher(SimpleNamespace(**{**spec, **facts}), slots, running)
        return self.watchers[name]

    def slot(self, name: str) -> Any:
        """Return a slot by name."""
        watcher, _, index = name.partition(":")
        return self.watchers[watcher].slots[int(index)]

    def move(self, name: str, state: State, **facts: Any) -> None:
        """Put a slot into a state, and tell those who wait for events."""
        slot = self.slot(name)
        slot.state, slot.since = state, self.time
        vars(slot).update(facts)
        self.tell()

    def tell(self) -> None:
        """Call those back who wait for events."""
        waiting, self.waiting = self.waiting, {}
        for callback in waiting:
            callback()

    def go(self, seconds: float) -> None:
        """Let time go by, and timers fire."""
        until = self.time + seconds
        while (at := self.timers.next_at()) is not None and at <= until:
            self.time = max(self.time, at)
            handle = self.timers.due(self.time)
            assert handle is not None
            assert handle.callback is not None
            callback, handle.callback = handle.callback, None
            callback(*handle.args)
        self.time = until

    def said(self, key: str) -> list[object]:
        """Return all values that were posted for a key."""
        return [message[key] for _, message in self.posted if key in message]

    @property
    def status(self) -> object:
        """Return the last STATUS=."""
        return self.said("STATUS")[-1]

    # --- as kernel, loop, log, events and outbox

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> TimerHandle:
        return self.timers.at(when, callback, *args)

    def error(self, event: str, **facts: object) -> None:
        self.logged.append(" ".join([event, *map(str, facts.values())]))

    info = warning = error

    def when_more(self, callback: Callable[[], object]) -> None:
        self.waiting[callback] = None

    def forget(self, callback: Callable[[], object]) -> None:
        self.waiting.pop(callback, None)

    def post(self, **assignments: object) -> None:
        assert self.is_open
        self.posted.append((self.time, assignments))

    def close(self) -> None:
        self.is_open = False

    # --- as supervisor

    def held_up_by(self, watcher: Any) -> list[str]:
        return self.held_up.get(watcher.spec.name, [])

    def myself(self) -> object:
        return doubles.ANN

    def shutdown(self, actor: object, *, code: int = 0) -> None:
        self.shutting_down, self.exit_code = True, code


_WITH_WORKER = (State.STARTING, State.READY, State.STOPPING, State.KILLING)


class _Watcher:
    def __init__(self, spec: Any, slots: list[Any], running: bool) -> None:
        self.spec = spec
        self.slots = dict(enumerate(slots))
        self.running = running

    @property
    def counts(self) -> Counter[State]:
        return Counter(slot.state for slot in self.slots.values())

    def waits_to_start(self) -> bool:
        return self.counts[State.WAITING] > 0
