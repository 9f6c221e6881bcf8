"""The answer to a wish: when it has come true, has failed or takes too long; and its progress."""

from __future__ import annotations

from collections.abc import Callable

from pidsup.control.protocol import Message, encode, error, reply
from pidsup.errors import ControlError, Failed, Superseded, TimedOut
from pidsup.loop.loop import Handle, Loop
from pidsup.supervisor.changes import Change, TaskState
from pidsup.supervisor.facts import change_facts

_EVERY_S = 0.1  # progress, at most


def refusal(problem: ControlError) -> Message:
    """Return the answer that an error is."""
    return error(problem.name, dict(problem.parameters))


class Progress:
    """Follows a change to its end.  Borrows change and loop, owns its timers."""

    endless = False

    def __init__(self, change: Change, loop: Loop, *, timeout_s: float | None, more: bool) -> None:
        """Answer once, with *more* also in between."""
        self.change = change
        self.over = False
        self._loop = loop
        self._timeout_s = timeout_s
        self._more = more
        self._due = more  # progress is to be told
        self._told_at = 0.0
        self._last: Callable[[], Message] | None = None
        self._ready: Callable[[], object] = bool
        self._timeout: Handle | None = None
        self._pause: Handle | None = None

    def begin(self, ready: Callable[[], object]) -> None:
        """Call *ready* when the change is over, or the limit has passed."""
        self._ready = ready
        if self._timeout_s is not None and self.change.left:
            self._timeout = self._loop.call_at(self._loop.time() + self._timeout_s, self._timed_out)
        if self._more:
            self.change.follow(self._task_over)
        self.change.when_over(self._change_over)

    def next(self) -> bytes | None:
        """Return how it has ended, or how it stands."""
        if self._last is not None:
            self.over = True
            return encode(self._last())
        if not self._due:
            return None
        self._due = False
        self._told_at = self._loop.time()
        return encode(reply({"change": change_facts(self.change)}, continues=True))

    def _task_over(self) -> None:
        """Tell of it in a later turn: this one is the worker's."""
        if not self._due and self._pause is None:
            at = max(self._loop.time(), self._told_at + _EVERY_S)
            self._pause = self._loop.call_at(at, self._rested)

    def _rested(self) -> None:
        self._pause = None
        self._due = True
        self._ready()

    def _change_over(self, _: Change) -> None:
        self._end(self._result)

    def _result(self) -> Message:
        facts = change_facts(self.change)
        state = self.change.state
        if state is TaskState.FAILED:
            return refusal(Failed(facts))
        if state is TaskState.SUPERSEDED:
            lost = Superseded(self.change.superseded_by or "")
            lost.parameters["change"] = facts
            return refusal(lost)
        return reply({"change": facts})

    def _timed_out(self) -> None:
        self._timeout = None
        self._end(lambda: refusal(TimedOut(change_facts(self.change))))

    def _end(self, last: Callable[[], Message]) -> None:
        self.close()
        self._last = last
        self._ready()

    def timers(self) -> list[Handle]:
        """Return those that are set."""
        return [timer for timer in (self._timeout, self._pause) if timer is not None]

    def close(self) -> None:
        """Follow it no longer; it goes on."""
        self.change.forget(self._change_over, self._task_over)
        for timer in self.timers():
            timer.cancel()
        self._timeout = self._pause = None
