"""The watcher that has the terminal, if there is one."""

from __future__ import annotations

from collections.abc import Iterable

from pidsup.policy.lifecycle import State
from pidsup.process.terminal import stop_with, take_back
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher


class Foreground:
    """Its slots; there is one terminal, and so at most one such watcher.  Borrows them."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        in_front = (watcher for watcher in watchers if watcher.spec.foreground)
        watcher = next(in_front, None)
        self._slots = {} if watcher is None else watcher.slots

    def entered(self, slot: Slot) -> None:
        """Take the terminal back from a worker that has ended."""
        mine = slot.state is State.CLEANING and self._slots.get(slot.index) is slot
        if mine and slot.child is not None:
            take_back(slot.child.pid)

    def look(self) -> None:
        """Stop, as a job of a shell does, with a worker that was stopped from the keyboard."""
        for slot in self._slots.values():
            if slot.child is not None:
                stop_with(slot.child.pid)
