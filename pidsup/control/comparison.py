"""The answer to Diff: when the configuration has been read again."""

from __future__ import annotations

from collections.abc import Callable

from pidsup.control.protocol import encode, reply
from pidsup.supervisor.applying import Applying
from pidsup.supervisor.rereading import Reading


class Comparison:
    """Waits for the next reading.  Borrows what reads."""

    endless = False

    def __init__(self, applying: Applying) -> None:
        """Ask for nothing yet."""
        self.over = False
        self._applying = applying
        self._answer: bytes | None = None
        self._ready: Callable[[], object] = bool

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* when it has been read."""
        self._ready = ready
        self._applying.look(self._read)

    def next(self) -> bytes | None:
        """Return what has been found."""
        self.over = self._answer is not None
        return self._answer

    def _read(self, reading: Reading) -> None:
        facts = {
            "differences": [each._asdict() for each in reading.differences],
            "problems": [*reading.errors],
            "warnings": [*reading.warnings],
        }
        self._answer = encode(reply(facts))
        self._ready()

    def close(self) -> None:
        """Wait no longer."""
        self._applying.forget(self._read)
