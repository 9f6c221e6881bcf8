"""Connections to watchers on demand: clients that come, and processes that accept them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pidsup.kernel import IN, Exit
from pidsup.linux.sockets import Connection
from tests.simulation.natures import span
from tests.simulation.poller import Description
from tests.simulation.process import Process, Status

if TYPE_CHECKING:
    from tests.simulation.kernel import FakeKernel


class Visit:
    """A connection, from the client's connect(2) to its last close(2)."""

    __slots__ = ("holder", "listener")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.holder: Process | None = None


class Listener(Description):
    """A socket that listens."""

    kind = "listener"

    def __init__(self) -> None:
        self.queue: list[Visit] = []
        self.accepted: dict[Visit, None] = {}  # and open in a process

    def ready(self) -> int:
        return IN if self.queue else 0


class Accepted(Description):
    """A connection that the supervisor has accepted."""

    kind = "connection"

    def __init__(self, visit: Visit) -> None:
        self.visit = visit


class Traffic:
    """All listeners, who connects to them, and who serves them."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._machine = kernel.machine
        self._rng = kernel.machine.rng
        self.fds: dict[str, int] = {}  #: by name
        self._servers: dict[Process, Listener] = {}
        self._visits: dict[Process, dict[Visit, None]] = {}

    def listen(self, name: str) -> None:
        """Open a listener for the watcher of that name."""
        self.fds[name] = self._kernel.open(Listener())

    def close(self) -> None:
        """Close all listeners: nobody can connect any more."""
        while self.fds:
            self._kernel.close(self.fds.popitem()[1])

    def listener(self, name: str) -> Listener:
        """Return that of a watcher."""
        found = self._kernel.description(self.fds[name])
        assert isinstance(found, Listener)
        return found

    def held_by(self, process: Process) -> list[Visit]:
        """Return the connections that a process has."""
        return list(self._visits.get(process, ()))

    def serving(self, name: str) -> list[Process]:
        """Return who could accept from a listener now."""
        found = self.listener(name)
        return [
            process
            for process, listener in self._servers.items()
            if listener is found and self._works(process)
        ]

    # --- clients

    def connect(self) -> None:
        """Have somebody connect somewhere."""
        if not self.fds:
            return
        name = self._rng.choice(list(self.fds))
        listener = self.listener(name)
        listener.queue.append(Visit(listener))
        self._machine.note("connects", name)
        for process, served in list(self._servers.items()):
            if served is listener:
                self._later(self._accept, process)

    # --- processes

    def begin(self, process: Process, name: str, fds: Mapping[int, int]) -> None:
        """Have a new worker do what it was started for."""
        given = self._kernel.descriptions.get(fds.get(3, -1))
        if isinstance(given, Accepted):
            self._take(process, given.visit)
            self._machine.at(self._machine.now + span(self._rng), self._end, process)
        elif name in self.fds:
            self._servers[process] = self.listener(name)
            self._later(self._accept, process)

    def suspended(self, process: Process) -> None:
        """Hear of a SIGSTOP on its way: a good moment for whatever would be in the way."""
        machine, chance = self._machine, self._rng.random()
        if process not in self._servers or machine.calm:
            return
        if chance < 0.3:
            self.connect()
        elif chance < 0.6:
            machine.at(machine.now + 1e-4, self._disturb)
        elif chance < 0.8:
            machine.at(machine.now + 1e-4, machine.exit, process, Exit(1, None))

    def _disturb(self) -> None:
        if not self._machine.calm:
            self._machine.somebody_asks()

    def resumed(self, process: Process) -> None:
        """Hear of a SIGCONT: what was due while it was suspended is done now."""
        self._later(self._accept, process)
        for visit in self.held_by(process):
            self._machine.at(self._machine.now + span(self._rng), self._finish, process, visit)

    def ended(self, process: Process) -> None:
        """Hear of the end of a process, and of all that it had."""
        self._servers.pop(process, None)
        for visit in self._visits.pop(process, {}):
            visit.listener.accepted.pop(visit, None)

    def _works(self, process: Process) -> bool:
        return process.status is Status.ALIVE and not process.suspended

    def _later(self, what: object, process: Process) -> None:
        delay_s = self._rng.choice((0.0, 2e-6, 1e-5, 1e-4, 1e-3)) * self._rng.random()
        self._machine.at(self._machine.now + delay_s, what, process)  # type: ignore[arg-type]

    def _accept(self, process: Process) -> None:
        listener = self._servers.get(process)
        if listener is None or not self._works(process) or not listener.queue:
            return
        visit = listener.queue.pop(0)
        self._take(process, visit)
        self._machine.at(self._machine.now + span(self._rng), self._finish, process, visit)
        self._later(self._accept, process)

    def _take(self, process: Process, visit: Visit) -> None:
        visit.holder = process
        visit.listener.accepted[visit] = None
        self._visits.setdefault(process, {})[visit] = None
        self._machine.note("accepts", process)

    def _finish(self, process: Process, visit: Visit) -> None:
        if self._works(process) and visit in self._visits.get(process, ()):
            del self._visits[process][visit]
            del visit.listener.accepted[visit]

    def _end(self, process: Process) -> None:
        self._machine.exit(process, Exit(0, None))

    # --- system calls of the supervisor

    def in_use(self, fd: int) -> bool:
        """Tell whether a connection accepted from a listener is open."""
        found = self._kernel.description(fd)
        assert isinstance(found, Listener)
        return bool(found.accepted)

    def accept(self, fd: int) -> Connection:
        """Take one off the queue."""
        found = self._kernel.description(fd)
        assert isinstance(found, Listener)
        if self._rng.random() < self._kernel.faults.accept:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not found.queue:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return Connection(self._kernel.open(Accepted(found.queue.pop(0))), "192.0.2.7", 4711)
