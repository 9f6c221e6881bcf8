"""tcgetpgrp(3), waitid(2) with WSTOPPED: whose a terminal is, and jobs that it stops.

Who changes that from the background blocks SIGTTOU, tty_ioctl(4).
"""

from __future__ import annotations

import os


def group_in_front(fd: int) -> int | None:
    """Return the process group that has the terminal; None if it is not that of our session."""
    try:
        return os.tcgetpgrp(fd)
    except OSError:
        return None


def bring_to_front(fd: int, group: int) -> None:
    """Give the terminal to a process group of our session; OSError if there is none."""
    os.tcsetpgrp(fd, group)


def stopped_by(pid: int) -> int | None:
    """Return, once, the signal that has stopped our child; None if it was not stopped."""
    try:
        found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:  # it has been reaped
        return None
    return found.si_status if found else None
