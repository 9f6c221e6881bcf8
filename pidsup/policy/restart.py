"""Decide whether a worker that has ended is started again, and when.

Pure.  A slot calls `decide` once per end and obeys.  Terms follow
systemd.service(5), Restart= and StartLimitBurst=, and Erlang's supervisor
(intensity, period).  Times are seconds on CLOCK_MONOTONIC.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Restart(Enum):
    """Which ends lead to a restart, systemd.service(5)."""

    NO = "no"
    ALWAYS = "always"
    ON_SUCCESS = "on-success"
    ON_FAILURE = "on-failure"
    ON_ABNORMAL = "on-abnormal"
    ON_ABORT = "on-abort"
    ON_WATCHDOG = "on-watchdog"

    __hash__ = object.__hash__  # Enum's own is a Python call


class Ending(Enum):
    """How a worker ended, in the classes of systemd's table."""

    __hash__ = object.__hash__  # Enum's own is a Python call

    CLEAN = "clean"  #: exit 0, or HUP, INT, TERM, PIPE
    CODE = "code"  #: another exit code, or it could not be started
    SIGNAL = "signal"  #: another signal
    TIMEOUT = "timeout"
    WATCHDOG = "watchdog"


_RESTARTED: dict[Restart, frozenset[Ending]] = {
    Restart.NO: frozenset(),
    Restart.ALWAYS: frozenset(Ending),
    Restart.ON_SUCCESS: frozenset({Ending.CLEAN}),
    Restart.ON_FAILURE: frozenset(Ending) - {Ending.CLEAN},
    Restart.ON_ABNORMAL: frozenset({Ending.SIGNAL, Ending.TIMEOUT, Ending.WATCHDOG}),
    Restart.ON_ABORT: frozenset({Ending.SIGNAL}),
    Restart.ON_WATCHDOG: frozenset({Ending.WATCHDOG}),
}


class GiveUpAction(Enum):
    """What becomes of the others when a slot is given up."""

    STAY = "stay"  #: nothing; the slot is failed
    STOP = "stop"  #: the watcher stops, failed
    EXIT = "exit"  #: the supervisor stops everything and exits with a code


class RestartPolicy(NamedTuple):
    """The limits of one watcher; `config` has checked them."""

    restart: Restart = Restart.ALWAYS
    min_uptime_s: float = 1.0  #: a run of at least this is good; 0: every run is
    delay_s: float = 0.1  #: after the first bad run
    factor: float = 2.0  #: growth of the delay with each further one
    max_delay_s: float = 30.0
    jitter: float = 0.2  #: up to this part is added, so that a herd spreads
    burst: int = 5  #: restarts after bad runs that are allowed within ...
    interval_s: float = 60.0  #: ... this sliding window; 0: no limit


class Memory(NamedTuple):
    """What a slot remembers between bad runs; a good run starts afresh."""

    delay_s: float = 0.0  #: granted last, without the jitter
    bad_at: tuple[float, ...] = ()  #: bad ends within the interval, oldest first


class Again(NamedTuple):
    """Start it again, at once."""

    reason: str


class Later(NamedTuple):
    """Start it again after delay_s."""

    delay_s: float
    memory: Memory
    reason: str


class Finished(NamedTuple):
    """Ended as configured; *failed* tells "failed" from "completed"."""

    failed: bool
    reason: str


class GiveUp(NamedTuple):
    """Failed too often."""

    reason: str


Verdict = Again | Later | Finished | GiveUp
FRESH = Memory()
#: After a bad run, whatever is configured: what fails at once must not keep a processor busy.
LEAST_DELAY_S = 0.01


def decide(
    policy: RestartPolicy,
    memory: Memory,
    ending: Ending,
    *,
    ran_s: float | None,
    now: float,
    chance: float,
) -> Verdict:
    """Return the verdict on an end at *now* that nobody asked for.

    *ran_s* is how long the worker was ready, None if it never was (it could not
    be started); *chance* in [0, 1) makes the jitter.
    """
    if ending not in _RESTARTED[policy.restart]:
        return Finished(ending is not Ending.CLEAN, f"restart={policy.restart.value}")
    if ran_s is not None and ran_s >= policy.min_uptime_s:
        return Again("restarting at once")

    window = policy.interval_s
    bad_at = (*(at for at in memory.bad_at if now - at < window), now) if window else ()
    if len(bad_at) > policy.burst and window:
        failures = f"{len(bad_at)} failures within {window:g} s"
        return GiveUp(f"given up: {failures}, start_limit_burst={policy.burst}")
    # Grown step by step, not as factor ** n: a large burst would overflow.
    grown = memory.delay_s * policy.factor if memory.delay_s else policy.delay_s
    delay_s = max(LEAST_DELAY_S, min(grown, policy.max_delay_s))
    wait_s = delay_s * (1 + policy.jitter * chance)
    return Later(wait_s, Memory(delay_s, bad_at), f"retrying in {wait_s:.2g} s")
