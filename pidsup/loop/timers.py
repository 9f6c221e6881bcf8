"""Deadlines on the monotonic clock, in a heap."""

from __future__ import annotations

import heapq
from collections.abc import Callable

_FEW = 64  # cancelled entries that are not worth a clean-up


class TimerHandle:
    """A call that is due at `when`; cancel() may come at any time, also twice."""

    __slots__ = ("_timers", "args", "callback", "when")

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[object, ...], timers: Timers
    ) -> None:
        """Only Timers makes these."""
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self._timers = timers

    def cancel(self) -> None:
        """Drop the call, and all it refers to, at once."""
        if self.callback is not None:
            self.callback, self.args = None, ()
            self._timers.forget_one()

    def cancelled(self) -> bool:
        """Tell whether it was cancelled or has run."""
        return self.callback is None


class Timers:
    """A heap of deadlines; equal ones come in the order they were set."""

    __slots__ = ("_cancelled", "_heap", "_serial")

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, int, TimerHandle]] = []
        self._serial = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """Count those that will still run."""
        return len(self._heap) - self._cancelled

    def at(self, when: float, callback: Callable[..., object], *args: object) -> TimerHandle:
        """Set a deadline."""
        handle = TimerHandle(when, callback, args, self)
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, handle))
        return handle

    def forget_one(self) -> None:
        """Account for a cancelled entry, and clean up once most of them are."""
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_at(self) -> float | None:
        """Return the earliest deadline, None when there is none."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def due(self, now: float) -> TimerHandle | None:
        """Take the earliest deadline if it has passed."""
        at = self.next_at()
        if at is None or at > now:
            return None
        return heapq.heappop(self._heap)[2]
