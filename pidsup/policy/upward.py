"""Decide what the service manager is told: sd_notify(3), READY= and EXTEND_TIMEOUT_USEC=.

Pure.  Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

#: How often more time is asked for, and for how long at most.
EXTEND_EVERY_S = 5.0
MOST_S = 15.0
#: How long a further worker that is ready shows that a start gets on.
PROGRESS_S = 5.0


class Standing(NamedTuple):
    """How one watcher stands, in numbers of its slots."""

    wanted: int
    up: int  #: ready or done
    failed: int = 0  #: for good: nothing but a command changes it
    min_ready: int | None = None  #: None: all that are wanted; 0: it does not count

    @property
    def needed(self) -> int:
        """Return how many have to be up."""
        return self.wanted if self.min_ready is None else min(self.min_ready, self.wanted)

    def is_up(self) -> bool:
        """Tell whether it has its minimum."""
        return self.up >= self.needed

    def is_hopeless(self) -> bool:
        """Tell whether it will never have it by itself."""
        return self.wanted - self.failed < self.needed


class Readiness(Enum):
    """How a start stands."""

    READY = "ready"
    LATER = "later"
    NEVER = "never"


def readiness(standings: Iterable[Standing]) -> Readiness:
    """Sum up watchers: one that is hopeless makes all the others' readiness vain."""
    found = Readiness.READY
    for standing in standings:
        if standing.is_hopeless():
            return Readiness.NEVER
        if not standing.is_up():
            found = Readiness.LATER
    return found


def extension_s(left_s: float) -> float | None:
    """Return how much time to ask for while *left_s* may pass until something has to happen.

    None where nothing gets on.  There is slack for what follows it, and for us to ask again.
    """
    return min(left_s, MOST_S - EXTEND_EVERY_S) + EXTEND_EVERY_S if left_s > 0 else None
