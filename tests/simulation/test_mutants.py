"""A simulation that finds nothing proves nothing: planted bugs have to turn it red."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import BELOW_6_9, MUTANTS, plant
from tests.simulation.world import World

WITHIN = 60_000  # events; most are found within a thousand, the slowest within ten on average


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_turns_red(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first seeds that come; the same seeds are green without it."""
    plant(name, monkeypatch)
    group_signals = False if name in BELOW_6_9 else None
    events = seed = 0
    while events < WITHIN:
        world = World(seed, group_signals=group_signals)
        try:
            world.run()
        except Exception:  # noqa: BLE001  red is red: a violation, or an error in a callback
            return
        events += world.events
        seed += 1
    pytest.fail(f"still green after {events} events")
