"""What happened in a run, to be told and to be compared."""

from __future__ import annotations

import zlib
from typing import Any

_TOLD = 60  # lines of a failure


class Trace:
    """The story of a run: instants, and what came about."""

    def __init__(self) -> None:
        self.digest = 0  #: of all of it
        self._entries: list[tuple[Any, ...]] = []

    def note(self, *what: object) -> None:
        """Take note of an instant and what came about."""
        self._entries.append(what)
        self.digest = zlib.crc32(repr(what).encode(), self.digest)

    def tell(self, *, whole: bool = False) -> str:
        """Tell it, or only the end of it."""
        told = self._entries if whole else self._entries[-_TOLD:]
        return "".join(f"  {at:.6f} {' '.join(map(str, what))}\n" for at, *what in told)
