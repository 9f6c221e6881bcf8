"""Wishes: why each watcher and slot is wanted as it is, and since when.

What is wanted is the watchers' own affair; this is what `explain` and events say of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pidsup.supervisor.events import Events
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher


class Wish(NamedTuple):
    """Who wanted it: a change with its actor, or the configuration."""

    why: str
    at: float  #: CLOCK_MONOTONIC


class Wishes:
    """The latest wish of each kind.  Borrows the events."""

    def __init__(self, events: Events, now: Callable[[], float]) -> None:
        """Know of none."""
        self._events = events
        self._now = now
        self._to_run: dict[str, Wish] = {}  # by watcher and by slot
        self._to_be_many: dict[str, Wish] = {}  # by watcher
        self._workers: dict[str, int] = {}  # by watcher, where scaled

    def run(
        self, watcher: Watcher, slots: Iterable[Slot] | None, *, wanted: bool, why: str
    ) -> None:
        """Hear that a watcher, or slots of it, is about to be wanted running, or down."""
        wish = Wish(why, self._now())
        if slots is not None:
            self._to_run.update((slot.name, wish) for slot in slots)
            return
        for slot in watcher.slots.values():
            self._to_run.pop(slot.name, None)
        self._to_run[watcher.spec.name] = wish
        if wanted is not watcher.running:
            self._events.watcher(watcher.spec.name, wanted, watcher.workers, why)

    def scale(self, watcher: Watcher, why: str) -> None:
        """Hear that a watcher is wanted with the number of workers that it has now."""
        name = watcher.spec.name
        before = self._workers.get(name, watcher.spec.workers)
        self._to_be_many[name] = Wish(why, self._now())
        self._workers[name] = watcher.workers
        if watcher.workers != before:
            self._events.watcher(name, watcher.running, watcher.workers, why)

    def configured(self, watcher: Watcher, before: int, why: str) -> None:
        """Hear that the files say how many workers there are, after so many were wanted."""
        name = watcher.spec.name
        self._to_be_many.pop(name, None)
        self._workers.pop(name, None)
        if watcher.workers != before:
            self._events.watcher(name, watcher.running, watcher.workers, why)

    def forget_watcher(self, name: str) -> None:
        """Hear that there is no such watcher any more."""
        for known in (self._to_run, self._to_be_many, self._workers):
            known.pop(name, None)

    def forget(self, slot: Slot) -> None:
        """Hear that there is no such slot any more."""
        self._to_run.pop(slot.name, None)

    def to_run(self, name: str) -> Wish | None:
        """Return who wanted a watcher, or a slot by itself, to run or to be down."""
        return self._to_run.get(name)

    def to_be_many(self, watcher: str) -> Wish | None:
        """Return who wanted another number of workers than is configured."""
        return self._to_be_many.get(watcher)
