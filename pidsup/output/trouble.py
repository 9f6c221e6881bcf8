"""What keeps output from where it should go, and since when."""

from __future__ import annotations

from typing import NamedTuple

from pidsup.log import span


class Trouble(NamedTuple):
    """A sink cannot write."""

    what: str  #: "cannot write /x/log: No space left on device"
    since: float  #: on the loop's clock

    def worded(self, now: float) -> str:
        """Say it, and for how long it has been so."""
        return f"{self.what}, for {span(now - self.since)}"


def trouble(earlier: Trouble | None, what: str, now: float) -> Trouble:
    """Return the trouble of a sink that cannot write, which may have begun earlier."""
    return Trouble(what, now if earlier is None else earlier.since)
