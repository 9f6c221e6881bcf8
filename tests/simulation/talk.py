"""What simulated workers say of themselves, sd_notify(3), and what strangers say in their name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pidsup.kernel import Exit
from tests.simulation import natures
from tests.simulation.natures import Nature
from tests.simulation.process import Process, Status

if TYPE_CHECKING:
    from tests.simulation.kernel import FakeKernel

_LIARS = 0.2  #: workers whom somebody else calls ready
_BLOCKED_S = 1e-3  # a sender waits for room
_MOMENT_S = 2e-6  # the life of who is only there to say something


class Talk:
    """Speaks to the notify sockets of a kernel.  Borrows it."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._machine = kernel.machine
        self._addresses: dict[Process, str] = {}  # by worker
        self.said_ready: set[Process] = set()  #: workers

    def begin(self, worker: Process, address: str) -> None:
        """Have a new worker speak as is its nature."""
        self._addresses[worker] = address
        nature, machine = worker.nature, self._machine
        if nature.ready_s is not None:
            machine.at(machine.now + nature.ready_s, self._be_ready, worker)
        if machine.rng.random() < _LIARS and not machine.calm:
            machine.at(machine.now + natures.span(machine.rng), self._lie, address)

    def address(self, process: Process) -> str | None:
        """Return the address that a process has from the worker that it descends from."""
        return None if process.tree is None else self._addresses.get(process.tree)

    def _be_ready(self, worker: Process) -> None:
        # In calm nothing is to happen for ever: no watchdog wants to be fed.
        self._say(worker, b"READY=1\nWATCHDOG_USEC=0" if self._machine.calm else b"READY=1")
        self._feed_later(worker, worker.nature.feeds)

    def _feed_later(self, worker: Process, times: int) -> None:
        if times and worker.status is Status.ALIVE:
            after_s = worker.nature.feeds_s
            self._machine.at(self._machine.now + after_s, self._feed, worker, times - 1)

    def _feed(self, worker: Process, times: int) -> None:
        if self._machine.calm:
            self._say(worker, b"WATCHDOG_USEC=0")
        else:
            self._say(worker, b"WATCHDOG=1")
            self._feed_later(worker, times)

    def _say(self, worker: Process, data: bytes) -> None:
        """Send what a worker says, by one of its processes; who is suspended says nothing."""
        socket = self._kernel.notify_sockets.get(self._addresses[worker])
        if socket is None or worker.status is not Status.ALIVE or worker.suspended:
            return
        if not socket.send(self._speaker(worker), data, uid=0):
            self._machine.at(self._machine.now + _BLOCKED_S, self._say, worker, data)
        elif data.startswith(b"READY=1"):
            self.said_ready.add(worker)

    def _speaker(self, worker: Process) -> Process:
        """Return the worker itself, another of its session, or one that is there for just that."""
        chance = self._machine.rng.random()
        if chance < 0.6 or self._machine.calm or self._machine.is_full():
            return worker
        if chance < 0.8:
            return self._machine._fork(worker, Nature(lives_s=_MOMENT_S))
        near = [p for p in worker.kin if p.status is Status.ALIVE and p.session is worker]
        return self._machine.rng.choice(near)

    def lie(self) -> None:
        """Have a stranger say that somebody's worker is ready."""
        if self._kernel.notify_sockets:
            self._lie(self._machine.rng.choice(list(self._kernel.notify_sockets)))

    def _lie(self, address: str) -> None:
        """Say so of one; who has said it may be gone when it is heard."""
        machine, socket = self._machine, self._kernel.notify_sockets.get(address)
        if not machine.strangers:
            machine.stranger()
        if socket is not None and machine.strangers:
            stranger = machine.rng.choice(list(machine.strangers))
            socket.send(stranger, b"READY=1", uid=4711)
            if machine.rng.random() < 0.5:
                machine.exit(stranger, Exit(0, None))
