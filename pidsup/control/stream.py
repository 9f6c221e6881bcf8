"""Answers that come later, or one after another.

A stream is a position and a `next`: the next answer is made when the socket has taken
the last, so that of each connection no more than one is ever held, however slowly its
peer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

from pidsup.control.protocol import Message, encode
from pidsup.loop.loop import Handle, Loop


class Stream(Protocol):
    """The answers to one call."""

    endless: bool  #: it goes on until somebody hangs up
    over: bool  #: the last answer has been taken

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* whenever `next` has something after it had nothing."""

    def next(self) -> bytes | None:
        """Take the next answer, encoded; None while there is none."""

    def close(self) -> None:
        """Give up what it holds, and call nobody any more; twice is once."""


class Slices:
    """One answer that takes long to make: in slices, one a turn.  Borrows the loop."""

    endless = False

    def __init__(self, work: Generator[Message | bytes | None, None, None], loop: Loop) -> None:
        """Go through *work*, which yields None behind each slice, and at last the answer.

        The answer may be encoded already.
        """
        self.over = False
        self._work = work
        self._loop = loop
        self._ready: Callable[[], object] = bool
        self._soon: Handle | None = None

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* for each slice."""
        self._ready = ready

    def next(self) -> bytes | None:
        """Do one slice."""
        if self._soon is not None:
            return None
        answer = next(self._work)
        if answer is None:
            self._soon = self._loop.call_soon(self._go_on)
            return None
        self.over = True
        return answer if isinstance(answer, bytes) else encode(answer)

    def _go_on(self) -> None:
        self._soon = None
        self._ready()

    def close(self) -> None:
        """Do no more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._work.close()
