"""The real shells over a fake kernel, in the hands of seeds.

A seed that turns red is printed with the end of its trace, and how to run it again.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from pidsup.policy import activation
from pidsup.policy.lifecycle import TABLE, Action, Event, State, step
from pidsup.watcher import activation as watcher_activation
from pidsup.watcher import slot
from tests.simulation.world import run

EVENTS = int(os.environ.get("PIDSUP_SIM_EVENTS", "200000"))
PARTS = 8  # so that none comes near faulthandler_timeout on a slow machine
LONG_PARTS = 80
LONG_PART_EVENTS = 50_000
SEEDS_OF_PART = 10_000_000  # more than a part will ever need


def run_seeds(first: int, events: int) -> None:
    """Run seed after seed for at least so many events."""
    seed, left = first, events
    while left > 0:
        left -= run(seed).events
        seed += 1
    print(f"{events - left} events, seeds {first} to {seed - 1}")  # noqa: T201  shown by -s


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_every_invariant_holds(part: int) -> None:
    """The same seeds each time: what is green stays green until the code changes."""
    run_seeds(part * SEEDS_OF_PART, -(-EVENTS // PARTS))


@pytest.mark.long
@pytest.mark.parametrize("part", range(LONG_PARTS))
def test_whatever_happens_every_invariant_holds_for_long(part: int) -> None:
    """Other seeds each time."""
    run_seeds(random.SystemRandom().randrange(10**12), LONG_PART_EVENTS)


@pytest.mark.parametrize("seed", [3, 7, 12, 51])
def test_a_seed_replays(seed: int) -> None:
    """Twice the same, to the microsecond and to the last system call."""
    first, second = run(seed), run(seed)
    assert (first.trace.digest, first.events) == (second.trace.digest, second.events)
    assert first.trace.digest != run(seed + 1).trace.digest


@pytest.mark.parametrize("seed", range(20))
def test_steps_of_the_wall_clock_change_nothing(seed: int) -> None:
    """By an hour, to and fro, with every look at it."""
    assert run(seed).trace.digest == run(seed, wall_jumps=False).trace.digest


#: What only workers of type notify, and those with a watchdog, come to.
_NOTIFY = {Event.START_DUE, Event.WATCHDOG_DUE}


def test_every_transition_of_a_watcher_on_demand_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of policy.activation, but for too many activations: processes live too long."""
    reached: set[tuple[activation.Standing, activation.Event]] = set()

    def noting(
        standing: activation.Standing, event: activation.Event
    ) -> tuple[activation.Standing, tuple[activation.Action, ...]]:
        reached.add((standing, event))
        return activation.step(standing, event)

    monkeypatch.setattr(watcher_activation, "step", noting)
    rare = {(standing, activation.Event.TOO_OFTEN) for standing in activation.Standing}
    rare |= {(activation.Standing.RESTING, event) for event in activation.Event}
    transitions = {
        (standing, event)
        for standing, row in activation.TABLE.items()
        for event, to in row.items()
        if to is not None and to != (standing, ())
    }
    for part in range(40):
        run_seeds(part * SEEDS_OF_PART, 5_000)
        if transitions - rare <= reached:
            break
    assert transitions - rare <= reached


def test_every_transition_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the simulation never sees it cannot break."""
    reached: Counter[tuple[State, Event]] = Counter()

    def counting(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
        reached[state, event] += 1
        return step(state, event)

    monkeypatch.setattr(slot, "step", counting)
    transitions = {
        (state, event)
        for state, row in TABLE.items()
        for event, to in row.items()
        if to is not None
        and to != (state, ())
        and event not in _NOTIFY
        and (state, event) != (State.STARTING, Event.EXITED)
    }
    for part in range(20):
        run_seeds(part * SEEDS_OF_PART, 5_000)
        if transitions <= reached.keys():
            break
    assert transitions <= reached.keys()
