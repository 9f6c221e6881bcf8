"""The one door to the system: what a simulation replaces, and nothing above it.

Everything above takes a Kernel as an argument; `LINUX` is the real one.  The
protocol is small on purpose: each method is one facility of `linux`, raises
OSError, and never blocks, but for `Poller.poll`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pidsup.linux import pidfd as _pidfd
from pidsup.linux import proc, signalfd
from pidsup.linux.pidfd import Exit, Info
from pidsup.linux.signalfd import SignalInfo
from pidsup.linux.spawn import Born, Plan, SpawnError

if TYPE_CHECKING:
    from pidsup.linux.sockets import Connection
    from pidsup.systemd.notify_server import Received

__all__ = [
    "LINUX",
    "Born",
    "Exit",
    "Info",
    "Kernel",
    "LinuxKernel",
    "NotifySocket",
    "Plan",
    "Poller",
    "SpawnError",
]

IN = select.EPOLLIN
OUT = select.EPOLLOUT


class Poller(Protocol):
    """epoll(7), level-triggered, as `select.epoll` has it."""

    def register(self, fd: int, eventmask: int = ..., /) -> None:
        """Watch *fd*; EEXIST if it is watched, EPERM for a regular file."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Change what is watched."""

    def unregister(self, fd: int, /) -> None:
        """Stop watching; do it *before* the descriptor is closed."""

    def poll(self, timeout: float | None = ..., maxevents: int = ..., /) -> list[tuple[int, int]]:
        """Wait at most *timeout* seconds, None for ever; return (fd, events)."""

    def fileno(self) -> int:
        """Return the poller's own descriptor, itself pollable."""

    def close(self) -> None:
        """Close it."""


class NotifySocket(Protocol):
    """Where messages of sd_notify(3) come in, as systemd.notify_server has it."""

    capacity: int  #: how many datagrams can wait

    def fileno(self) -> int:
        """Return its descriptor, for a loop."""

    def receive(self) -> Received | None:
        """Return the next datagram, whose descriptors the caller owns; None when there is none."""

    def close(self) -> None:
        """Give it up; it is in no poller any more."""


class Kernel(Protocol):
    """What pidsup asks of Linux."""

    def now(self) -> float:
        """Return the seconds of CLOCK_MONOTONIC; no step of the wall clock moves it."""

    def wall(self) -> float:
        """Return the seconds since 1970, for people only."""

    def random(self) -> float:
        """Return a number in [0, 1), for jitter."""

    def poller(self) -> Poller:
        """Return a new epoll set; the caller owns it."""

    def spawn(
        self, plan: Plan, fds: Mapping[int, int] = {}, variables: Mapping[str, str] = {}
    ) -> Born:
        """Start a process; SpawnError when it could not be.  The caller owns the pidfd.

        *fds*, {the child's descriptor: ours}, and *variables* count for more than what the
        plan has.
        """

    def give_way(self) -> None:
        """Let those run first who are ready to on this processor."""

    def wait(self, pidfd: int) -> Exit | None:
        """Reap the child if it has ended."""

    def signal(self, pidfd: int, signo: int) -> None:
        """Signal the process; ProcessLookupError when it is gone."""

    def signal_group(self, pidfd: int, pid: int, signo: int) -> None:
        """Signal the group it leads; ProcessLookupError when that has no member."""

    @property
    def groups_outlive_leaders(self) -> bool:
        """Tell whether `signal_group` reaches a group whose leader has been reaped."""

    def is_zombie(self, pid: int) -> bool:
        """Tell whether our child *pid* has ended and is not reaped."""

    def group_of(self, pid: int) -> int:
        """Return the process group of a pinned process; ProcessLookupError when it is gone."""

    def group_lives(self, group: int) -> bool:
        """Tell whether a group has a member that is no zombie; slow, it walks all processes."""

    def session_of(self, pid: int) -> int:
        """Return the session of a pinned process; ProcessLookupError when it is gone."""

    def parent_of(self, pid: int) -> int:
        """Return the parent of a process, 0 when it is gone: a hint, as `children` is."""

    def variable(self, pid: int, name: str) -> str | None:
        """Return a variable that a process was started with; None also if it is not to be read."""

    def info(self, pidfd: int) -> Info | None:
        """Return what is known of a process, living or not; None where the kernel tells nothing."""

    def notify_socket(self, address: str) -> NotifySocket:
        """Return a new socket for sd_notify(3); the caller owns it."""

    def children(self, pid: int) -> list[int]:
        """Return the direct children of a process: a hint, to be pinned and checked."""

    def pidfd_open(self, pid: int) -> int:
        """Pin a process; ProcessLookupError when it is gone.  The caller owns the pidfd."""

    def adopted(self) -> list[int]:
        """Return our own direct children, living or not: orphans, once all workers are gone."""

    def zombie(self) -> int | None:
        """Return the pid of one dead child of ours that nobody has reaped."""

    def reap(self, pid: int) -> Exit | None:
        """Reap a zombie that `zombie` has named."""

    def sleeps_in(self, pid: int) -> str:
        """Say in which state and where a process sleeps: "D in nfs_wait", for people."""

    def has_stopped(self, pid: int) -> bool:
        """Tell whether no thread of a process runs or will, after SIGSTOP; or it is gone."""

    def run_time_ns(self, pid: int) -> int:
        """Return how long the threads of a process have been on a processor."""

    def is_readable(self, fd: int) -> bool:
        """Tell whether a connection or a datagram waits in a socket."""

    def in_use(self, fd: int) -> bool | None:
        """Tell whether a connection accepted from a listener is open; OSError: nobody tells.

        None for a socket of datagrams.
        """

    def accept(self, fd: int) -> Connection:
        """Take the next connection, OSError when there is none; the caller owns its descriptor."""

    def signals(self, signals: Iterable[int]) -> int:
        """Return a descriptor that is readable when one is pending; the caller owns it."""

    def read_signals(self, fd: int) -> list[SignalInfo]:
        """Return pending signals, [] when there is none."""

    def store(self) -> int:
        """Return a new memory file, memfd_create(2); the caller owns it."""

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """Write at *offset* in one system call."""

    def close(self, fd: int) -> None:
        """Close a descriptor; it is in no poller any more."""

    def close_aside(self, fd: int) -> None:
        """Close one that a worker has sent: that may take long, and is not waited for."""


class LinuxKernel:
    """The real one."""

    def __init__(self, *, group_signals: bool | None = None) -> None:
        """Find out what this kernel has, unless a test says so."""
        if group_signals is None:
            group_signals = _pidfd.has_group_signals()
        self.groups_outlive_leaders = group_signals
        self._chance = int.from_bytes(os.urandom(8), "little")

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    poller = staticmethod(select.epoll)
    give_way = staticmethod(os.sched_yield)
    wait = staticmethod(_pidfd.wait)
    signal = staticmethod(_pidfd.send_signal)
    group_of = staticmethod(os.getpgid)
    group_lives = staticmethod(proc.group_lives)
    session_of = staticmethod(os.getsid)
    parent_of = staticmethod(proc.parent)
    variable = staticmethod(proc.variable)
    children = staticmethod(proc.children)
    has_stopped = staticmethod(proc.has_stopped)
    run_time_ns = staticmethod(proc.run_time_ns)
    pidfd_open = staticmethod(_pidfd.pidfd_open)
    signals = staticmethod(signalfd.create)
    read_signals = staticmethod(signalfd.read)
    close = staticmethod(os.close)

    def random(self) -> float:
        """Step Knuth's linear congruential generator; `import random` brings half a megabyte."""
        self._chance = (self._chance * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._chance >> 11) / 2**53

    def spawn(
        self, plan: Plan, fds: Mapping[int, int] = {}, variables: Mapping[str, str] = {}
    ) -> Born:
        """Start a process."""
        return plan.spawn(fds, variables)

    def signal_group(self, pidfd: int, pid: int, signo: int) -> None:
        """Signal the group; below Linux 6.9 by number, so before the leader is reaped.

        Until then it keeps the number taken.  Afterwards signal 0 still asks
        whether there is a group of that number, and harms nobody.
        """
        if self.groups_outlive_leaders:
            _pidfd.send_group_signal(pidfd, signo)
        else:
            os.killpg(pid, signo)

    def info(self, pidfd: int) -> Info | None:
        """Ask by PIDFD_GET_INFO."""
        try:
            return _pidfd.get_info(pidfd)
        except OSError:
            return None

    def notify_socket(self, address: str) -> NotifySocket:
        """Make one; the module is loaded for those who need it."""
        from pidsup.systemd import notify_server

        return notify_server.NotifySocket(address)

    def is_zombie(self, pid: int) -> bool:
        """Look, without reaping."""
        try:
            return bool(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        except ChildProcessError:
            return False

    def adopted(self) -> list[int]:
        """Read them from /proc."""
        return proc.children(os.getpid())

    def zombie(self) -> int | None:
        """Look, without reaping; always names the same one until that is reaped."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # no child at all
            return None
        return found.si_pid if found else None

    def reap(self, pid: int) -> Exit | None:
        """Reap by pid, which a zombie keeps taken."""
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return Exit(found.si_status, None)
        return Exit(None, found.si_status, found.si_code == os.CLD_DUMPED)

    def sleeps_in(self, pid: int) -> str:
        """Read it from /proc."""
        state, where = proc.state(pid), proc.wchan(pid)
        return f"{state} in {where}" if where else state

    def is_readable(self, fd: int) -> bool:
        """Ask poll(2)."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    def in_use(self, fd: int) -> bool | None:
        """Ask sock_diag(7)."""
        from pidsup.linux import sockdiag

        borrowed = socket.socket(fileno=fd)
        try:
            return sockdiag.in_use(borrowed)
        finally:
            borrowed.detach()

    def accept(self, fd: int) -> Connection:
        """Accept it."""
        from pidsup.linux import sockets

        return sockets.accept(fd)

    def close_aside(self, fd: int) -> None:
        """Close it on a thread.

        Facts: the last close of a TCP connection waits for SO_LINGER, socket(7), O_NONBLOCK or
        not, and that of a file for its file system; we may be the last.
        """
        from _thread import start_new_thread

        try:
            start_new_thread(_close, (fd,))
        except RuntimeError:  # no thread can be had: late is better than never
            _close(fd)

    def store(self) -> int:
        """Make a memory file."""
        return os.memfd_create("pidsup-table", os.MFD_CLOEXEC)

    def pwrite(self, fd: int, data: bytes, offset: int) -> None:
        """Write; a short write to a memory file means that memory ran out."""
        if os.pwrite(fd, data, offset) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _close(fd: int) -> None:
    with suppress(OSError):  # EIO, say, of what it has not written: it is closed all the same
        os.close(fd)


LINUX: Kernel = LinuxKernel()
