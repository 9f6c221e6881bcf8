"""signalfd(2): signals as something to read."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import NamedTuple

from pidsup.linux.native import check, ffi, lib

_BATCH = 16


class SignalInfo(NamedTuple):
    """One pending signal; equal ones have been merged by the kernel, SIGCHLD above all."""

    signo: int
    pid: int  #: of the sender, as this process' pid namespace sees it
    uid: int


def block(signals: Iterable[int]) -> None:
    """Block *signals* in this thread and all it starts later.

    Call it before any other thread exists: one that does not block them takes
    them away from the signalfd, signalfd(2).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signals))


def create(signals: Iterable[int]) -> int:
    """Return a new non-blocking signalfd for *signals*; the caller owns it."""
    mask = sum(1 << (signo - 1) for signo in set(signals))
    return check(lib.pidsup_signalfd_create(mask), "create a signalfd")


def read(fd: int) -> list[SignalInfo]:
    """Return what is pending, at most 16 at once; an empty list when nothing is."""
    buf = ffi.new("struct pidsup_siginfo[]", _BATCH)
    n = check(lib.pidsup_signalfd_read(fd, buf, _BATCH), "read a signalfd")
    return [SignalInfo(buf[i].signo, buf[i].pid, buf[i].uid) for i in range(n)]
