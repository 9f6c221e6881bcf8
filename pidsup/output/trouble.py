"""What keeps output from where it should go, and since when."""

from __future__ import annotations

from typing import NamedTuple

from pidsup.log import span


class Trouble(NamedTuple):
    """A sink cannot write."""

    what: str  #: "cannot write /x/log: No space left on device"
    since: float  #: on the loop's clock
    then: str = ""  #: what follows from it, where it does not go on by itself

    def worded(self, now: float) -> str:
        """Say it, and for how long it has been so."""
        text = f"{self.what}, for {span(now - self.since)}"
        return f"{text}; {self.then}" if self.then else text


def trouble(earlier: Trouble | None, what: str, now: float, then: str = "") -> Trouble:
    """Return the trouble of a sink that cannot write, which may have begun earlier."""
    return Trouble(what, now if earlier is None else earlier.since, then)
