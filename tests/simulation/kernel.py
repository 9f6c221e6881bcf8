"""The fake of `pidsup.kernel.Kernel`: system calls on a machine of simulated processes.

It is strict where Linux forgives: what is used after it was closed, closed twice or
closed while an epoll set has it is a violation, and goes on as badly as it would.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import NamedTuple, TypeVar

from pidsup.kernel import Born, Exit, Info, Plan, SpawnError
from pidsup.linux.signalfd import SignalInfo
from pidsup.linux.sockets import Connection
from tests.simulation.machine import Machine
from tests.simulation.notify_socket import FakeNotifySocket
from tests.simulation.poller import (
    Description,
    FakePoller,
    MemoryDescription,
    PidDescription,
    QueueDescription,
    SignalDescription,
)
from tests.simulation.process import Process, Status
from tests.simulation.talk import Talk
from tests.simulation.traffic import Traffic

_D = TypeVar("_D", bound=Description)
_FIRST_FD = 3
_LONG_S = 3.0
_MOMENT_S = 2e-5
_LEAVES = ("pidfd", "signalfd")  # whose readiness is an event; an inner set's is not
_SPAWN_FAULTS = (
    (errno.EAGAIN, "clone", ""),
    (errno.ENOMEM, "clone", ""),
    (errno.EMFILE, "clone", ""),
    (errno.ENOENT, "exec", "/bin/worker"),
    (errno.EACCES, "exec", "/bin/worker"),
    (errno.ENOENT, "chdir", "/srv/worker"),
)


class Faults(NamedTuple):
    """How often system calls fail; each a probability."""

    plan: float = 0.0  #: a plan that cannot be made
    spawn: float = 0.0
    slow: float = 0.0  #: a spawn that a dead file system holds up
    pidfd_open: float = 0.0
    pwrite: float = 0.0  #: memory has run out
    recycled: float = 0.0  #: a pid that was listed is a stranger's when it is opened
    accept: float = 0.0  #: no descriptor is left for a connection
    diag: float = 0.0  #: nobody tells which connections are open


class Still:
    """What can be asked without time going by: for who looks from outside."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def now(self) -> float:
        """Return CLOCK_MONOTONIC."""
        return self._kernel.machine.now

    def zombie(self) -> int | None:
        """Name the first dead child."""
        return self._kernel.dead_child()


class FakeKernel:
    """System calls.  Owns all descriptors, as a kernel does."""

    def __init__(
        self, machine: Machine, faults: Faults, *, group_signals: bool, wall_jumps: bool
    ) -> None:
        """Stand on *machine*; without *group_signals* it is a Linux below 6.9."""
        self.machine = machine
        self.faults = faults
        self.groups_outlive_leaders = group_signals
        self.violations: list[str] = []
        self.descriptions: dict[int, Description] = {}
        self.readiness = 0  #: events delivered
        self.write_faults = 0  #: writes that failed, so far
        self.pin_faults = 0  #: pidfds that could not be opened, so far
        self.notify_sockets: dict[str, FakeNotifySocket] = {}  #: by address
        self.mains: dict[int, Process] = {}  #: all that was ever spawned, by inode
        self.on_spawn: Callable[[], None] = lambda: None
        self.on_signal: Callable[[int, Process, int], None] = lambda *_: None
        self.on_pwrite: Callable[[bytes, int], None] = lambda *_: None
        self._rng = machine.rng
        self._pollers: list[FakePoller] = []
        # Of its own, so that a run with steps and one without are the same otherwise.
        self._wall_rng = Random(machine.rng.random())
        self._wall_jumps = wall_jumps
        self._wall_offset_s = 1.7e9
        self.talk = Talk(self)
        self.traffic = Traffic(self)
        machine.on_exit, machine.on_resume = self.traffic.ended, self.traffic.resumed
        machine.on_suspend = self.traffic.suspended

    # --- clocks

    def now(self) -> float:
        """Return CLOCK_MONOTONIC; no two calls see the same."""
        self.machine.tick()
        return self.machine.now

    def wall(self) -> float:
        """Return a time that has been stepped by an hour, mostly."""
        if self._wall_jumps:
            self._wall_offset_s += self._wall_rng.choice((-3600.0, 0.0, 3600.0))
        return self.machine.now + self._wall_offset_s

    def random(self) -> float:
        """Draw from the seed."""
        return self._rng.random()

    # --- descriptors

    def open(self, description: Description) -> int:
        """Give out the lowest number that is free, as Linux does."""
        fd = _FIRST_FD
        while fd in self.descriptions:
            fd += 1
        self.descriptions[fd] = description
        return fd

    def description(self, fd: int) -> Description:
        """Return what is open; EBADF is a violation."""
        try:
            return self.descriptions[fd]
        except KeyError:
            self.violations.append(f"descriptor {fd} is used, but not open")
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _described(self, fd: int, kind: type[_D]) -> _D:
        description = self.description(fd)
        if not isinstance(description, kind):
            self.violations.append(f"descriptor {fd} is a {description.kind}: {kind.kind} expected")
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return description

    def process(self, pidfd: int) -> Process:
        """Return what a pidfd pins."""
        return self._described(pidfd, PidDescription).process

    def delivered(self, fd: int) -> None:
        """Count an event."""
        description = self.descriptions.get(fd)
        if description is not None and description.kind in _LEAVES:
            self.readiness += 1
            self.machine.note("ready", fd, description.kind)

    def close(self, fd: int) -> None:
        """Close, and complain if it is still in an epoll set."""
        self.machine.tick()
        description = self.description(fd)
        for poller in self._pollers:
            if poller.orphan(fd):
                self.violations.append(
                    f"descriptor {fd}, a {description.kind}, closed while registered"
                )
        if isinstance(description, FakePoller):
            self._pollers.remove(description)
        del self.descriptions[fd]

    def close_aside(self, fd: int) -> None:
        """Close it at once."""
        self.close(fd)

    def poller(self) -> FakePoller:
        """Make an epoll set."""
        poller = FakePoller(self)
        self._pollers.append(poller)
        return poller

    def queue(self) -> tuple[int, QueueDescription]:
        """Make what stands for the connections of clients."""
        queue = QueueDescription()
        return self.open(queue), queue

    # --- processes

    def spawn(
        self, plan: Plan, fds: Mapping[int, int] = {}, variables: Mapping[str, str] = {}
    ) -> Born:
        """Start a worker, unless that fails."""
        machine = self.machine
        machine.tick()
        self.on_spawn()
        if self._rng.random() < self.faults.slow:
            machine.hang(_LONG_S)
        if self._rng.random() < self.faults.spawn:
            raise SpawnError(*self._rng.choice(_SPAWN_FAULTS))
        if machine.is_full() and not machine.calm:
            raise SpawnError(errno.EAGAIN, "clone")
        process = machine.spawn()
        self.mains[process.inode] = process
        machine.note("spawn", process, repr(plan))
        if "NOTIFY_SOCKET" in variables:
            self.talk.begin(process, variables["NOTIFY_SOCKET"])
        self.traffic.begin(process, plan._command.rpartition("/")[2], fds)
        born = Born(process.pid, self.open(PidDescription(process)), process.inode)
        machine.tick()  # it may have died before we know of it
        return born

    def give_way(self) -> None:
        """Let others come further with their lives."""
        self.machine.hang(_MOMENT_S)

    def wait(self, pidfd: int) -> Exit | None:
        """Reap the child that the pidfd pins, if it has ended."""
        self.machine.tick()
        process = self.process(pidfd)
        if process.parent is not self.machine.supervisor or process.status is Status.GONE:
            self.violations.append(f"waited for {process}, which is gone or not ours")
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        return self._reap(process)

    def _reap(self, process: Process) -> Exit | None:
        if process.status is not Status.ZOMBIE:
            return None
        self.machine.reap(process)
        self.machine.note("reap", process)
        return process.ended

    def signal(self, pidfd: int, signo: int) -> None:
        """Signal the process that the pidfd pins, whatever has its number now."""
        self.machine.tick()
        process = self.process(pidfd)
        if process.status is Status.GONE:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        self._signal(pidfd, [process], signo)

    def signal_group(self, pidfd: int, pid: int, signo: int) -> None:
        """Signal a group: by the pidfd of its leader, or below 6.9 by number."""
        self.machine.tick()
        if self.groups_outlive_leaders:
            members = list(self.process(pidfd).members)
        else:
            members = [p for p in self.machine.processes.values() if p.group.pid == pid]
        if not members:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        self._signal(pidfd, members, signo)

    def _signal(self, pidfd: int, targets: list[Process], signo: int) -> None:
        if signo:
            self.machine.note("signal", signo, *targets)
            for target in targets:
                self.on_signal(pidfd, target, signo)
        reached = [target for target in targets if not target.nature.foreign]
        for target in reached:
            self.machine.signal(target, signo)
        if not reached:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def is_zombie(self, pid: int) -> bool:
        """Look at our child of that number."""
        self.machine.tick()
        process = self._child(pid)
        return process is not None and process.status is Status.ZOMBIE

    def _child(self, pid: int) -> Process | None:
        process = self.machine.processes.get(pid)
        ours = process is not None and process.parent is self.machine.supervisor
        return process if ours else None

    def group_of(self, pid: int) -> int:
        """Return the group of whatever has that number now."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        if process is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return process.group.pid

    def group_lives(self, group: int) -> bool:
        """Walk all processes for one of the group that is no zombie."""
        self.machine.tick()
        processes = self.machine.processes.values()
        return any(p.group.pid == group and p.status is Status.ALIVE for p in processes)

    def children(self, pid: int) -> list[int]:
        """List the children of whatever has that number now, zombies too."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        return [] if process is None else [child.pid for child in process.children]

    def pidfd_open(self, pid: int) -> int:
        """Pin whatever has that number now."""
        self.machine.tick()
        if self._rng.random() < self.faults.pidfd_open:
            self.pin_faults += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if self._rng.random() < self.faults.recycled:
            self.machine.recycle(pid)
        process = self.machine.processes.get(pid)
        if process is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return self.open(PidDescription(process))

    def session_of(self, pid: int) -> int:
        """Return the session of whatever has that number now."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        if process is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return process.session.pid

    def parent_of(self, pid: int) -> int:
        """Return the parent of whatever has that number now."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        return 0 if process is None else process.parent.pid

    def variable(self, pid: int, name: str) -> str | None:
        """Return the address that whatever has that number now was given."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        return None if process is None else self.talk.address(process)

    def info(self, pidfd: int) -> Info | None:
        """Return what is known of the process that the pidfd pins."""
        self.machine.tick()
        process = self.process(pidfd)
        if process.status is Status.GONE:
            return Info(0, 0, None, process.ended)
        return Info(process.pid, process.parent.pid, None, None)

    def notify_socket(self, address: str) -> FakeNotifySocket:
        """Make a socket that processes can say things to."""
        self.machine.tick()
        return FakeNotifySocket(self, address)

    def adopted(self) -> list[int]:
        """List the supervisor's children."""
        self.machine.tick()
        return [child.pid for child in self.machine.supervisor.children]

    def zombie(self) -> int | None:
        """Name the first dead child, always the same until it is reaped."""
        self.machine.tick()
        return self.dead_child()

    def dead_child(self) -> int | None:
        """Do the same in no time."""
        for child in self.machine.supervisor.children:
            if child.status is Status.ZOMBIE:
                return child.pid
        return None

    def reap(self, pid: int) -> Exit | None:
        """Reap by number, which must be a zombie's."""
        self.machine.tick()
        child = self._child(pid)
        if child is None:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        return self._reap(child)

    def has_stopped(self, pid: int) -> bool:
        """Look at whatever has that number now."""
        self.machine.tick()
        process = self.machine.processes.get(pid)
        return process is None or process.suspended or process.status is not Status.ALIVE

    def run_time_ns(self, pid: int) -> int:
        """Make something up: there are no datagrams."""
        return 0

    def is_readable(self, fd: int) -> bool:
        """Tell whether a connection waits."""
        self.machine.tick()
        return bool(self.description(fd).ready())

    def in_use(self, fd: int) -> bool:
        """Tell whether a connection accepted from a listener is open."""
        self.machine.tick()
        if self._rng.random() < self.faults.diag:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return self.traffic.in_use(fd)

    def accept(self, fd: int) -> Connection:
        """Take a connection off the queue."""
        self.machine.tick()
        return self.traffic.accept(fd)

    def sleeps_in(self, pid: int) -> str:
        """Make something up."""
        return "D in simulation"

    # --- signals and memory

    def signals(self, signals: Iterable[int]) -> int:
        """Make a signalfd."""
        return self.open(SignalDescription(self.machine, frozenset(map(int, signals))))

    def read_signals(self, fd: int) -> list[SignalInfo]:
        """Take what is pending, each signal at most once."""
        self.machine.tick()
        taken = self._described(fd, SignalDescription).signals & self.machine.pending
        self.machine.pending -= taken
        return [SignalInfo(signo, 4711, 0) for signo in sorted(taken)]

    def store(self) -> int:
        """Make a memory file."""
        return self.open(MemoryDescription())

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """Write to a memory file."""
        self.machine.tick()
        memory = self._described(fd, MemoryDescription).data
        if self._rng.random() < self.faults.pwrite:
            self.write_faults += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        memory.extend(bytes(max(0, offset + len(data) - len(memory))))
        memory[offset : offset + len(data)] = data
        self.on_pwrite(data, offset)
