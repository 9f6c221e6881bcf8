"""The terminal that a child in the foreground has on loan, and jobs of a shell.

The child leads a group of its own, which the terminal's keys reach and we are not in.
So it is for us to come back to the front when it has ended, or nobody could be
interrupted any more, and to stop with it at Ctrl-Z, or the shell would not take over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU

from pidsup.linux.terminal import bring_to_front, group_in_front, stopped_by

_STDIN = 0


def take_back(group: int) -> None:
    """Come to the front again if *group*, which has ended or was stopped, is there."""
    _pass_on(group, os.getpgrp())


def stop_with(pid: int) -> None:
    """Stop as a job of the shell if our child has been stopped so; go on together.

    Returns when the shell has us go on.  Where no shell runs jobs our group is an
    orphan, and the kernel drops the signal, setpgid(2): the child goes on at once.
    """
    signo = stopped_by(pid)
    if signo not in (SIGTSTP, SIGTTIN, SIGTTOU):  # not SIGSTOP: that is somebody's wish
        return
    take_back(pid)
    os.killpg(0, SIGTSTP)
    in_front = _pass_on(os.getpgrp(), pid)
    if in_front or signo == SIGTSTP:  # else it would be stopped again for the same reason
        os.killpg(pid, SIGCONT)


def _pass_on(group: int, other: int) -> bool:
    """Give the terminal from one group to another; False if the one does not have it."""
    if group_in_front(_STDIN) != group:
        return False
    with suppress(OSError):  # the terminal is gone
        bring_to_front(_STDIN, other)
    return True
