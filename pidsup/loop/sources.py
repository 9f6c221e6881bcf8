"""Sources in bulk or of another kind than readable, on any loop.

They sit in one inner epoll set, whose own descriptor is what the loop sees.
Facts: a loop of asyncio's kind knows only readers and writers, but cgroup.events
speaks by EPOLLPRI and an adopted pidfd by EPOLLHUP; and in one flat set a
thousand deaths stand in the queue before the client that asks for the status.
Decision: an inner set for all of these, of which a turn takes at most 32.
"""

from __future__ import annotations

from collections.abc import Callable

from pidsup.kernel import Kernel
from pidsup.loop.loop import Loop

BATCH = 32
PROCESSES, SIGNALS = 1, 2  # urgency, see EpollLoop.add_urgent_reader


def add_urgent_reader(loop: Loop, fd: int, urgency: int, callback: Callable[..., object]) -> None:
    """Add a reader that goes first where the loop can do that; asyncio's cannot."""
    add = getattr(loop, "add_urgent_reader", None)
    if add is None:
        loop.add_reader(fd, callback)
    else:
        add(fd, urgency, callback)


class Sources:
    """An inner epoll set.  Owns it; borrows what is in it."""

    __slots__ = ("_after", "_callbacks", "_in_batch", "_loop", "_poller")

    def __init__(self, loop: Loop, kernel: Kernel) -> None:
        """Hang the set into *loop*."""
        self._loop = loop
        self._poller = kernel.poller()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._after: list[Callable[[], object]] = []
        self._in_batch = False
        add_urgent_reader(loop, self._poller.fileno(), PROCESSES, self._ready)

    def add(self, fd: int, mask: int, callback: Callable[[], object]) -> None:
        """Call when *fd* has one of *mask* (EPOLLIN, EPOLLPRI; 0 for EPOLLHUP alone)."""
        self._poller.register(fd, mask)
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> bool:
        """Stop; True if it was there.  Comes *before* the descriptor is closed.

        A child between vfork and exec holds a copy of every descriptor, so that
        one which is closed but registered stays ready for ever, epoll(7).
        """
        if self._callbacks.pop(fd, None) is None:
            return False
        self._poller.unregister(fd)
        return True

    def has(self, fd: int) -> bool:
        """Tell whether *fd* is watched."""
        return fd in self._callbacks

    def after_batch(self, callback: Callable[[], object]) -> None:
        """Call once: behind the batch that is being handled, else in the next turn."""
        if self._in_batch:
            self._after.append(callback)
        else:
            self._loop.call_soon(callback)

    def _ready(self) -> None:
        callbacks = self._callbacks
        ready = [(fd, callbacks.get(fd)) for fd, _ in self._poller.poll(0, BATCH)]
        errors: list[Exception] = []
        self._in_batch = True
        try:
            for fd, callback in ready:
                # What ran before may have removed it, and given its number away.
                if callback is not None and callbacks.get(fd) is callback:
                    _call(callback, errors)
        finally:
            self._in_batch = False
        after, self._after = self._after, []
        for callback in after:
            _call(callback, errors)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several sources failed", errors)

    def close(self) -> None:
        """Take the set out of the loop and give it up."""
        self._loop.remove_reader(self._poller.fileno())
        self._poller.close()


def _call(callback: Callable[[], object], errors: list[Exception]) -> None:
    """Call, and keep what it raises for the border: one must not starve the others."""
    try:
        callback()
    except Exception as error:  # noqa: BLE001  raised again by the caller
        errors.append(error)
