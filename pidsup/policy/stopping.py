"""The escalation of a stop: which signal, to whom, how long to wait.

Pure.  A plan is a list of steps; when the last has passed, SIGKILL goes to the
whole tree, so every stop ends.  systemd.kill(5) and FinalKillSignal= are the
two-step case.
"""

from __future__ import annotations

from typing import NamedTuple


class StopStep(NamedTuple):
    """One step: send *signo*, then wait at most *timeout_s*."""

    signo: int
    timeout_s: float
    to_all: bool = False  #: to the whole tree, else to the worker alone


StopPlan = tuple[StopStep, ...]

#: How long after SIGKILL to look again: the kernel has taken longer than usual.
KILL_CHECK_S = 2.0
#: How long to wait before stragglers are killed again, doubled each time up to the above.
CLEAN_CHECK_S = 0.02

#: After so many looks, half a second, zombies do not count any more.
PATIENT_LOOKS = 5


def clean_check_s(attempt: int) -> float:
    """Return how long to wait after the *attempt*th look (from 0) at a tree not yet empty.

    Mostly the reaping of an orphan says it first; this is for what others reap.
    """
    return float(min(CLEAN_CHECK_S * 2 ** min(attempt, 10), KILL_CHECK_S))
