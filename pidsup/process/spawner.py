"""Start processes a few at a time, and tell how it went as an event.

A start that fails is an event like any other.  Neither event is ever delivered from
inside the request: that is what lets a spawn move elsewhere one day without a
change above (a dead network file system can hold it up for minutes).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pidsup.kernel import Kernel, Plan
from pidsup.loop.loop import Loop
from pidsup.loop.sources import BATCH, Sources
from pidsup.process.child import Child

#: Of one turn, for starts: on a busy machine 32 of them take longer than a client should wait.
_SLICE_S = 0.005
_FEW = 2  # starts of one turn that we give way to


class Start(NamedTuple):
    """What one start is made from, as `Kernel.spawn` takes it."""

    plan: Plan
    fds: Mapping[int, int] = {}  #: of this start: {the child's descriptor: ours}
    variables: Mapping[str, str] = {}  #: of this start, beside those of the plan


class Requester(Protocol):
    """Who asks for a process."""

    def prepare(self) -> Start:
        """Return what to start from, now; OSError or LookupError if there is no plan."""

    def spawned(self, child: Child) -> None:
        """Take the child: the requester closes it in the end."""

    def spawn_failed(self, error: Exception | None) -> None:
        """Hear that there is no process; None: the request was cancelled."""


class Request:
    """A start that was asked for."""

    __slots__ = ("asked_at", "requester")

    def __init__(self, requester: Requester, asked_at: float) -> None:
        """Only Spawner makes these."""
        self.requester: Requester | None = requester
        self.asked_at = asked_at


class Spawner:
    """A queue of starts, of which a turn of the loop makes at most 32, and for 5 ms."""

    def __init__(self, loop: Loop, kernel: Kernel, sources: Sources) -> None:
        """Borrow all three."""
        self._loop = loop
        self._kernel = kernel
        self._sources = sources
        self._queue: deque[Request] = deque()
        self._tried_at = 0.0  # the latest
        self.children: dict[int, Child] = {}  #: those not reaped yet, by pid

    def request(self, requester: Requester) -> Request:
        """Ask for a start; the answer comes as `spawned` or `spawn_failed`."""
        request = Request(requester, self._kernel.now())
        if not self._queue:
            self._sources.after_batch(self._drain)
        self._queue.append(request)
        return request

    def cancel(self, request: Request) -> None:
        """Withdraw a request: `spawn_failed(None)` follows unless it was too late."""
        requester = request.requester
        if requester is not None:
            request.requester = None
            self._loop.call_soon(requester.spawn_failed, None)

    def stuck_since(self) -> float | None:
        """Return since when starts wait, and none was tried; None if none waits.

        However long that queue: where each takes seconds, on a dead disk, it gets on all the same.
        """
        return max(self._queue[0].asked_at, self._tried_at) if self._queue else None

    def _drain(self) -> None:
        until = self._kernel.now() + _SLICE_S
        made = 0
        while self._queue and made < BATCH and (now := self._kernel.now()) <= until:
            self._tried_at = now
            request = self._queue.popleft()
            if request.requester is not None:
                requester, request.requester = request.requester, None
                self._spawn(requester)
                made += 1
        if self._queue:
            self._loop.call_soon(self._drain)
        elif made <= _FEW:
            # A new process often shares our processor: without this it waits until our
            # bookkeeping is done, 0.15 ms of the 1.1 from a death to its successor.  Not
            # in a crowd: all of it would go first, and clients wait for us.
            self._kernel.give_way()

    def _spawn(self, requester: Requester) -> None:
        try:
            started_at = self._kernel.now()
            born = self._kernel.spawn(*requester.prepare())
        except Exception as error:  # noqa: BLE001  whoever asked must hear of it, of a bug too
            self._loop.call_soon(requester.spawn_failed, error)
            return
        child = Child(born, self._kernel, self._sources, known=self.children, started_at=started_at)
        self._loop.call_soon(requester.spawned, child)
