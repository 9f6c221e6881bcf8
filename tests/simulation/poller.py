"""Descriptors of a fake kernel, and epoll over them."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pidsup.kernel import IN, OUT
from tests.simulation.machine import Machine
from tests.simulation.process import Process, Status

if TYPE_CHECKING:
    from tests.simulation.kernel import FakeKernel

HUP = 16  # EPOLLHUP, always reported


class Quiet(Exception):
    """The supervisor would sleep for ever."""


class Description:
    """What a descriptor stands for, an open file description."""

    kind = ""

    def ready(self) -> int:
        """Return the events that it has."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class PidDescription(Description):
    """A pidfd: readable from the end on, hung up once it is reaped."""

    kind = "pidfd"

    def __init__(self, process: Process) -> None:
        self.process = process

    def ready(self) -> int:
        status = self.process.status
        if status is Status.ALIVE:
            return 0
        return IN if status is Status.ZOMBIE else IN | HUP


class SignalDescription(Description):
    """A signalfd."""

    kind = "signalfd"

    def __init__(self, machine: Machine, signals: frozenset[int]) -> None:
        self._machine = machine
        self.signals = signals

    def ready(self) -> int:
        return 0 if self.signals.isdisjoint(self._machine.pending) else IN


class MemoryDescription(Description):
    """A memory file, which epoll refuses."""

    kind = "memfd"

    def __init__(self) -> None:
        self.data = bytearray()


class QueueDescription(Description):
    """Where commands come in: stands for the connections of clients."""

    kind = "queue"

    def __init__(self) -> None:
        self.commands: list[Callable[[], None]] = []

    def ready(self) -> int:
        return IN if self.commands else 0


class FakePoller(Description):
    """An epoll set: level-triggered, in no particular order, itself pollable.

    An entry belongs to a descriptor and its description.  One whose descriptor
    was closed is not forgotten: somebody may hold a copy, a child between vfork
    and exec does.  It cannot be removed any more, and stays ready for ever.
    """

    kind = "epoll"

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._machine = kernel.machine
        self._fd = kernel.open(self)
        self.entries: dict[int, tuple[Description, int]] = {}
        self._stale: list[tuple[int, Description, int]] = []

    def fileno(self) -> int:
        return self._fd

    def register(self, fd: int, eventmask: int = IN | OUT, /) -> None:
        self._machine.tick()
        description = self._kernel.description(fd)
        description.ready()
        if fd in self.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.entries[fd] = (description, eventmask | HUP)

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._machine.tick()
        self.entries[fd] = (self._entry(fd)[0], eventmask | HUP)

    def unregister(self, fd: int, /) -> None:
        self._machine.tick()
        self._entry(fd)
        del self.entries[fd]

    def _entry(self, fd: int) -> tuple[Description, int]:
        self._kernel.description(fd)
        if fd not in self.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.entries[fd]

    def orphan(self, fd: int) -> bool:
        """Hear that a descriptor was closed; True if it should not have been yet."""
        entry = self.entries.pop(fd, None)
        if entry is not None:
            self._stale.append((fd, *entry))
        return entry is not None

    def ready(self) -> int:
        for description, mask in self.entries.values():
            if description.ready() & mask:
                return IN
        return IN if self._stale_ready() else 0

    def _stale_ready(self) -> list[tuple[int, int]]:
        return [(fd, d.ready() & mask) for fd, d, mask in self._stale if d.ready() & mask]

    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]:
        """Sleep until something is ready; Quiet when nothing ever will be."""
        machine = self._machine
        machine.tick()
        until = None if timeout is None else machine.now + math.ceil(timeout * 1000) / 1000
        while True:
            found = self._stale_ready()
            for fd, (description, mask) in self.entries.items():
                events = description.ready() & mask
                if events:
                    found.append((fd, events))
            if found:
                return self._some(found, maxevents)
            if until is not None and machine.now >= until:
                return []
            if not machine.sleep(until):
                raise Quiet

    def _some(self, found: list[tuple[int, int]], maxevents: int) -> list[tuple[int, int]]:
        """Return a few of what is ready: mostly one, so that each is looked at by itself."""
        rng = self._machine.rng
        if len(found) > 1:
            rng.shuffle(found)
            most = 1 if rng.random() < 0.6 else rng.randrange(1, len(found) + 1)
            del found[most if maxevents < 0 else min(most, maxevents) :]
        for fd, _ in found:
            self._kernel.delivered(fd)
        return found

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._kernel.close(fd)
