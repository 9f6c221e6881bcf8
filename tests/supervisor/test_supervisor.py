"""What a supervisor does in one turn."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.watcher import Watcher
from tests.supervisor import doubles


def test_whom_many_wait_for_is_looked_at_once_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand watchers after forty others each look took 25 ms otherwise."""
    looks: Counter[str] = Counter()

    def look(watcher: Any) -> bool:
        looks[watcher.name] += 1
        return bool(watcher.is_up)

    monkeypatch.setattr(Watcher, "is_started", look)
    monkeypatch.setattr(Watcher, "is_going_down", look)
    going_on: list[str] = []

    def watcher(name: str, *, is_up: bool = False, waits: bool = False) -> Any:
        return doubles.Standing(
            name=name, is_up=is_up, waits_to_start=lambda: waits, waits_to_stop=lambda: False,
            reconcile=lambda: going_on.append(name),
        )  # fmt: skip

    up, down = watcher("up", is_up=True), watcher("down")
    waiting = [watcher(f"w{n}", waits=True) for n in range(20)]
    after = {w.name: [up, down] if n % 2 else [up] for n, w in enumerate(waiting)}
    supervisor: Any = SimpleNamespace(
        watchers={w.name: w for w in (up, down, *waiting)},
        _after={"up": [], "down": [], **after},
        _before={},
        _end_if_down=lambda: None,
    )
    Supervisor._look(supervisor)
    assert going_on == [f"w{n}" for n in range(0, 20, 2)]
    assert looks == {"up": 1, "down": 1}
