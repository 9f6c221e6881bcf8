"""Watchers and slots that only stand there, for what looks at them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pidsup.policy.lifecycle import State
from pidsup.supervisor.changes import Actor

ANN = Actor(1000, 77, "ctl")


def slot(name: str, state: State = State.READY, **facts: Any) -> Any:
    """Make a slot in a state."""
    standing = {
        "name": name,
        "index": int(name.partition(":")[2]),
        "state": state,
        "why": "",
        "reason": "",
        "child": None,
        "last_exit": None,
        "output": None,
        "outdated": lambda: False,
    }
    return Standing(**{**standing, **facts})


def watcher(name: str, *slots: Any, running: bool = True) -> Any:
    """Make a watcher with these slots."""
    return SimpleNamespace(
        spec=SimpleNamespace(name=name, workers=len(slots)),
        running=running,
        workers=len(slots),
        slots={one.index: one for one in slots},
        wants=lambda _: running,
        waits_for=lambda: "after db",
    )


def watchers(**counts: int) -> dict[str, Any]:
    """Make watchers with so many slots each."""
    return {
        name: watcher(name, *(slot(f"{name}:{index}") for index in range(count)))
        for name, count in counts.items()
    }


class Standing(SimpleNamespace):
    """Facts that can be a key, as a slot is."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # what it inherits has none

    def __eq__(self, other: object) -> bool:
        return self is other
