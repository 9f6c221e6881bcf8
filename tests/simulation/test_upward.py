"""What systemd is told, whatever happens: the truth, in order, and up to date."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.loop.timers import TimerHandle
from pidsup.policy.lifecycle import State
from pidsup.supervisor.upward import Upward
from pidsup.watcher.watcher import Watcher
from tests.simulation.violation import demand
from tests.simulation.world import World

FIRST, SEEDS = 1024, 56
_PHASES = ("READY", "RELOADING", "STOPPING")


class ToldWorld(World):
    """A run under a service manager, who takes notes."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        outbox: Any = self
        self.upward = Upward(self.supervisor, outbox)
        self.phases: list[str] = []
        self.status_at = -1.0
        begin, timers = self.supervisor.begin, self.clients.timers

        def begin_and_tell() -> None:
            begin()
            self.upward.begin()

        self.supervisor.begin = begin_and_tell  # type: ignore[method-assign]
        self.clients.timers = lambda: [*timers(), *self._timers()]  # type: ignore[method-assign]

    def _timers(self) -> list[TimerHandle]:
        set_ = (self.upward._timer, self.upward._extension._timer)
        return [timer for timer in set_ if isinstance(timer, TimerHandle)]

    def _calm(self) -> None:
        super()._calm()
        if self.ended_with is not None or self.supervisor.shutting_down:
            return
        upward = self.upward
        demand(not self._timers(), "a timer is set though nothing happens")
        demand(upward._said == upward._line(), f"{upward._said!r} is not how it is")
        if "READY" not in self.phases:
            demand(not all(map(is_up, self.supervisor.watchers.values())), "nobody says READY=1")
            demand(not any(map(is_lost, self.supervisor.watchers.values())), "it cannot be ready")

    def _close(self) -> None:
        self.upward.close()
        demand(self.phases[-1] == "STOPPING", f"{self.phases} is no end")
        super()._close()

    def _heard(self, event: str, facts: dict[str, object]) -> None:
        if event == "cannot become ready":
            demand(any(map(is_lost, self.supervisor.watchers.values())), "it could be ready")
            self._expected_code = 1
        super()._heard(event, facts)

    # --- as the outbox

    def post(self, **assignments: object) -> None:
        """Take note, and check that it may be said now."""
        self._note("told", *assignments.items())
        said = [phase for phase in _PHASES if phase in assignments]
        demand(not (said and "STOPPING" in self.phases), f"{said} after STOPPING")
        if said == ["READY"] and "READY" not in self.phases:
            demand(all(map(is_up, self.supervisor.watchers.values())), "READY=1 is not true")
        self.phases += said
        status = assignments.get("STATUS")
        if status is not None:
            self._check_status(str(status), bare=len(assignments) == 1)

    def _check_status(self, text: str, *, bare: bool) -> None:
        now = self.machine.now
        demand(text.isprintable() and 0 < len(text) <= 240, f"{text!r} is no line")
        demand(not bare or now - self.status_at >= 1, "two lines within a second")
        self.status_at = now

    def close(self) -> None:
        """Be done."""


def is_up(watcher: Watcher) -> bool:
    """Tell whether it has its minimum, slot by slot."""
    states = [slot.state for slot in watcher.slots.values() if watcher.wants(slot)]
    up = sum(state in (State.READY, State.COMPLETED) for state in states)
    least = watcher.spec.min_ready
    return up >= (len(states) if least is None else min(least, len(states)))


def is_lost(watcher: Watcher) -> bool:
    """Tell whether so many have failed for good that it will never have it."""
    slots = watcher.slots.values()
    wanted = [slot for slot in slots if watcher.wants(slot) or slot.state is State.FAILED]
    left = sum(slot.state is not State.FAILED for slot in wanted)
    least = watcher.spec.min_ready
    return left < (len(wanted) if least is None else min(least, len(wanted)))


@pytest.mark.parametrize("part", range(4))
def test_what_systemd_is_told_is_true_and_up_to_date(part: int) -> None:
    said: set[str] = set()
    for seed in range(FIRST + part, FIRST + SEEDS, 4):
        world = ToldWorld(seed)
        try:
            world.run()
        except Exception as why:
            raise AssertionError(f"{world.trace.tell()}seed {seed}: {why!r}") from why
        said.update(world.phases)
    assert {"READY", "STOPPING"} <= said
