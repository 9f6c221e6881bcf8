"""The watcher that has the terminal, if there is one."""

from __future__ import annotations

from collections.abc import Iterable

from pidsup.policy.lifecycle import State
from pidsup.process.terminal import stop_with, take_back
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher


class Foreground:
    """Its slots; there is one terminal, and so one such watcher, or another's last worker too.

    Borrows them.
    """

    def __init__(self) -> None:
        """Know of none."""
        self._watchers: list[Watcher] = []

    def look_at(self, watchers: Iterable[Watcher]) -> None:
        """Know these; one that had the terminal may have it until its last worker is gone."""
        had = set(self._watchers)
        self._watchers = [w for w in watchers if w.spec.foreground or w in had]

    def entered(self, slot: Slot) -> None:
        """Take the terminal back from a worker that has ended."""
        if slot.state is not State.CLEANING or slot.child is None:
            return
        if any(watcher.slots.get(slot.index) is slot for watcher in self._watchers):
            take_back(slot.child.pid)

    def look(self) -> None:
        """Stop, as a job of a shell does, with a worker that was stopped from the keyboard."""
        for watcher in self._watchers:
            for slot in watcher.slots.values():
                if slot.child is not None:
                    stop_with(slot.child.pid)
