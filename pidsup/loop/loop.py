"""The event loop: epoll(7), timers, and calls from elsewhere.

The library layers are written against `Loop`, which asyncio's and uvloop's
loops satisfy too.  The daemon runs EpollLoop, which is 30 kB where asyncio is
10 MB, and which knows what has to be heard first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pidsup.kernel import IN, LINUX, OUT, Kernel
from pidsup.loop.timers import TimerHandle, Timers

_MOST_EVENTS = 64  # one poll; the rest is level-triggered and comes with the next
_MOST_TIMERS = 256  # of one turn: a thousand that are due at once hold nobody up
_LONGEST_S = 86400.0  # of one wait; epoll_wait(2) counts milliseconds in an int, 24 days


class Handle(Protocol):
    """What a scheduled call can be cancelled by."""

    def cancel(self) -> None:
        """Drop the call."""


class Loop(Protocol):
    """The part of asyncio's event loop that pidsup needs, with its meaning."""

    def add_reader(self, fd: int, callback: Callable[..., object], /, *args: object) -> None:
        """Call when *fd* is readable or hung up, for as long as it is."""

    def remove_reader(self, fd: int, /) -> bool:
        """Stop; True if there was one."""

    def add_writer(self, fd: int, callback: Callable[..., object], /, *args: object) -> None:
        """Call when *fd* is writable, for as long as it is."""

    def remove_writer(self, fd: int, /) -> bool:
        """Stop; True if there was one."""

    def call_at(self, when: float, callback: Callable[..., object], /, *args: object) -> Handle:
        """Call once, at *when* on the clock that `time` reads."""

    def call_soon(self, callback: Callable[..., object], /, *args: object) -> Handle:
        """Call once, in the next turn, in the order of asking."""

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: object) -> Handle:
        """Do the same from another thread."""

    def time(self) -> float:
        """Return the seconds of CLOCK_MONOTONIC."""


class SoonHandle:
    """A call of the next turn."""

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        """Only EpollLoop makes these."""
        self.callback: Callable[..., object] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Drop the call."""
        self.callback, self.args = None, ()


class _Watch:
    """What is to be called for one descriptor, and how early in a turn."""

    __slots__ = ("reader", "urgent", "writer")

    def __init__(self) -> None:
        self.reader: tuple[Callable[..., object], tuple[object, ...]] | None = None
        self.writer: tuple[Callable[..., object], tuple[object, ...]] | None = None
        self.urgent = 0  # 0: the rest; higher is earlier

    def mask(self) -> int:
        return (IN if self.reader else 0) | (OUT if self.writer else 0)


class EpollLoop:
    """A lean loop.  Owns its epoll set and the eventfd that wakes it.

    Order within a turn: calls asked for by the turn before, urgent sources
    (signals, then processes), timers, the rest.  A callback that raises is
    handed to *on_error* with the exception, and its source stays.
    """

    def __init__(
        self,
        kernel: Kernel = LINUX,
        *,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Make the epoll set; without *on_error* an exception leaves `run`."""
        self._kernel = kernel
        self.on_error = on_error
        self._poller = kernel.poller()
        self._watches: dict[int, _Watch] = {}
        self._timers = Timers()
        self._soon: deque[SoonHandle] = deque()
        self._wake: dict[str, int] = {}
        self._stopping = False
        self.time = kernel.now

    # --- sources

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """Call when *fd* is readable; replaces an earlier reader."""
        self._watch(fd, urgent=0).reader = (callback, args)
        self._update(fd)

    def add_urgent_reader(
        self, fd: int, urgency: int, callback: Callable[..., object], *args: object
    ) -> None:
        """Do the same, before timers and others; the higher *urgency* goes first."""
        self._watch(fd, urgent=urgency).reader = (callback, args)
        self._update(fd)

    def remove_reader(self, fd: int) -> bool:
        """Stop; True if there was one."""
        watch = self._watches.get(fd)
        if watch is None or watch.reader is None:
            return False
        watch.reader = None
        self._update(fd)
        return True

    def add_writer(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """Call when *fd* is writable; replaces an earlier writer."""
        self._watch(fd, urgent=0).writer = (callback, args)
        self._update(fd)

    def remove_writer(self, fd: int) -> bool:
        """Stop; True if there was one."""
        watch = self._watches.get(fd)
        if watch is None or watch.writer is None:
            return False
        watch.writer = None
        self._update(fd)
        return True

    def _watch(self, fd: int, *, urgent: int) -> _Watch:
        watch = self._watches.get(fd)
        if watch is None:
            self._poller.register(fd, 0)
            watch = self._watches[fd] = _Watch()
        watch.urgent = max(watch.urgent, urgent)
        return watch

    def _update(self, fd: int) -> None:
        mask = self._watches[fd].mask()
        if mask:
            self._poller.modify(fd, mask)
        else:
            del self._watches[fd]
            self._poller.unregister(fd)

    # --- calls

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> TimerHandle:
        """Call once at *when*, seconds on CLOCK_MONOTONIC."""
        return self._timers.at(when, callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: object) -> SoonHandle:
        """Call once, in the next turn."""
        handle = SoonHandle(callback, args)
        self._soon.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> SoonHandle:
        """Call once, in the next turn, from any thread."""
        handle = self.call_soon(callback, *args)  # deque.append is atomic
        os.eventfd_write(self._alarm(), 1)
        return handle

    def _alarm(self) -> int:
        """Return the eventfd that wakes the loop, made by the first thread that needs it."""
        fd = self._wake.get("fd")
        if fd is None:
            made = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            fd = self._wake.setdefault("fd", made)  # atomic: of several threads, one wins
            if fd == made:
                self.add_reader(fd, os.eventfd_read, fd)
            else:
                os.close(made)
        return fd

    # --- running

    def run(self) -> None:
        """Run turns until `stop` is called."""
        self._stopping = False
        while not self._stopping:
            self.turn()

    def stop(self) -> None:
        """Let `run` return after this turn."""
        self._stopping = True

    def turn(self) -> None:
        """Handle what was asked for and what has happened; wait for it when there is nothing."""
        for _ in range(len(self._soon)):
            handle = self._soon.popleft()
            if handle.callback is not None:
                self._call(handle.callback, handle.args)

        events = self._poller.poll(self._patience(), _MOST_EVENTS)
        # By watch, not by number, which may be another file's before its event is handled.
        watches = self._watches
        found = [(watches[fd], mask) for fd, mask in events if fd in watches]
        later: list[tuple[_Watch, int]] = []
        if len(found) > 1:
            found.sort(key=_urgency, reverse=True)
        for watch, mask in found:
            if watch.urgent:
                self._dispatch(watch, mask)
            else:
                later.append((watch, mask))
        self._run_timers()
        for watch, mask in later:
            self._dispatch(watch, mask)

    def _patience(self) -> float | None:
        if self._soon or self._stopping:
            return 0
        at = self._timers.next_at()
        if at is None:
            return None
        return min(max(0.0, at - self._kernel.now()), _LONGEST_S)

    def _dispatch(self, watch: _Watch, mask: int) -> None:
        # Both are None in a watch that was removed by what ran before.
        if watch.reader is not None and mask & ~OUT:
            self._call(*watch.reader)
        if watch.writer is not None and mask & ~IN:
            self._call(*watch.writer)

    def _run_timers(self) -> None:
        now = self._kernel.now()
        for _ in range(_MOST_TIMERS):
            handle = self._timers.due(now)
            if handle is None:
                return
            callback, args = handle.callback, handle.args
            handle.callback, handle.args = None, ()
            if callback is not None:
                self._call(callback, args)

    def _call(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            callback(*args)
        except Exception as error:
            if self.on_error is None:
                raise
            self.on_error(error)

    def close(self) -> None:
        """Give up the descriptors; twice is once."""
        fd = self._wake.pop("fd", None)
        if fd is not None:
            self.remove_reader(fd)
            os.close(fd)
        self._poller.close()


def _urgency(found: tuple[_Watch, int]) -> int:
    return found[0].urgent
