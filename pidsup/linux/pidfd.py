"""pidfd_open(2), pidfd_send_signal(2), waitid(2) with P_PIDFD, PIDFD_GET_INFO."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from pidsup.linux.native import check, error, ffi, lib

_PROCESS_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9
_CLD_EXITED = 1
_CLD_DUMPED = 3
_HAS_CGROUP = 4
_HAS_EXIT = 8


class Exit(NamedTuple):
    """How a process ended: *code* or *signal*, never both; None where it is not known."""

    code: int | None
    signal: int | None
    core: bool = False
    user_s: float = 0.0  #: CPU time of it and its waited-for children, getrusage(2)
    system_s: float = 0.0


class Info(NamedTuple):
    """What PIDFD_GET_INFO says; fields that the kernel did not fill are None."""

    pid: int
    ppid: int
    cgroup_id: int | None  #: inode of the cgroup v2 directory, also after the exit
    exit: Exit | None  #: Linux 6.15, once the process has been reaped


def pidfd_open(pid: int) -> int:
    """Return a new pidfd; ProcessLookupError when the process is gone.  The caller owns it."""
    return check(lib.pidsup_pidfd_open(pid), f"open process {pid}")


def send_signal(pidfd: int, signo: int) -> None:
    """Signal the process; ProcessLookupError once it has been reaped."""
    check(lib.pidsup_pidfd_send_signal(pidfd, signo, 0), f"send signal {signo}")


def send_group_signal(pidfd: int, signo: int) -> None:
    """Signal the process group that the process leads or led, also when it was reaped.

    ProcessLookupError when the group has no member; OSError(EINVAL) below Linux 6.9.
    """
    rc = lib.pidsup_pidfd_send_signal(pidfd, signo, _PROCESS_GROUP)
    if rc < 0:
        if rc == -errno.ESRCH:  # expected at each restart: nothing was left
            raise ProcessLookupError(errno.ESRCH, "no such process group")
        raise error(rc, f"send signal {signo}")


def has_group_signals() -> bool:
    """Tell whether this kernel signals process groups through a pidfd (Linux 6.9)."""
    fd = pidfd_open(os.getpid())
    try:
        send_group_signal(fd, 0)
    except OSError as error:
        return error.errno == errno.ESRCH  # understood, but we lead no group
    finally:
        os.close(fd)
    return True


def wait(pidfd: int) -> Exit | None:
    """Reap the child when it has ended, else return None; ChildProcessError if it is not ours."""
    ret = ffi.new("struct pidsup_exit *")
    if not check(lib.pidsup_waitid_pidfd(pidfd, ret), "wait for a child"):
        return None
    by_exit = ret.code == _CLD_EXITED
    return Exit(
        ret.status if by_exit else None,
        None if by_exit else ret.status,
        ret.code == _CLD_DUMPED,
        ret.user_us / 1e6,
        ret.system_us / 1e6,
    )


def get_info(pidfd: int) -> Info:
    """Ask the kernel about a process, ours or not; OSError below Linux 6.13."""
    ret = ffi.new("struct pidsup_pidfd_info *")
    check(lib.pidsup_pidfd_get_info(pidfd, ret), "ask about a process")
    return Info(
        ret.pid,
        ret.ppid,
        ret.cgroup_id if ret.mask & _HAS_CGROUP else None,
        _from_wait_status(ret.exit_code) if ret.mask & _HAS_EXIT else None,
    )


def _from_wait_status(status: int) -> Exit:
    if os.WIFEXITED(status):
        return Exit(os.WEXITSTATUS(status), None)
    return Exit(None, os.WTERMSIG(status), os.WCOREDUMP(status))
