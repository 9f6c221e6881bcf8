"""Decide when a watcher on demand starts, stops, and listens again; as a table.

Pure: no clock, no descriptors.  The shell (watcher/activation.py) feeds events to `step`
and performs the actions.  Every pair of standing and event is in the table, as in
lifecycle.py.  Times are seconds on CLOCK_MONOTONIC.

To lose nothing that arrives while an idle watcher is being stopped, its processes are
first suspended: what they have accepted by then is seen, and keeps them; what comes
later stays in the queue, and starts it again.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pidsup.errors import ImpossibleStep


class Standing(Enum):
    """How a watcher on demand stands."""

    OFF = "off"  #: not to run
    LISTENING = "listening"  #: no worker runs; its sockets are watched
    RESTING = "resting"  #: the same, but it was activated too often: not watched for a while
    ACTIVE = "active"  #: its workers are wanted
    QUIESCING = "quiescing"  #: idle, and being suspended for the last look
    STOPPING = "stopping"  #: idle, its workers are not wanted any more


class Event(Enum):
    """What can happen to it."""

    ON = "on"  #: it is to run
    OFF = "off"  #: it is not
    TRAFFIC = "traffic"  #: something waits in one of its sockets
    TOO_OFTEN = "too-often"  #: the same, beyond the limit
    RESTED = "rested"
    IDLE = "idle"  #: for idle_timeout
    QUIET = "quiet"  #: all of it is suspended, and has nothing in hand
    BUSY = "busy"  #: it has, or cannot be suspended
    DOWN = "down"  #: no worker is left


class Action(Enum):
    """What the shell is to do."""

    START = "start"  #: reconcile the slots: they are wanted now
    LISTEN = "listen"  #: have the slots be as good as new, and the sockets watched
    REST = "rest"  #: set the timer
    SUSPEND = "suspend"  #: SIGSTOP to all, and look until they have stopped
    RESUME = "resume"
    STOP = "stop"  #: reconcile the slots: they are not wanted any more
    DROP_TIMER = "drop-timer"


Row = dict[Event, tuple[Standing, tuple[Action, ...]] | None]
_S, _E, _A = Standing, Event, Action


def _row(
    standing: Standing, ignored: tuple[Event, ...], **to: tuple[Standing, *tuple[Action, ...]]
) -> Row:
    """Make a full row: *ignored* are no-ops, what is not named is impossible."""
    row: Row = dict.fromkeys(Event)
    row.update(dict.fromkeys(ignored, (standing, ())))
    for name, (target, *actions) in to.items():
        row[_E[name]] = (target, tuple(actions))
    return row


TABLE: dict[Standing, Row] = {
    _S.OFF: _row(_S.OFF, (_E.OFF, _E.DOWN), ON=(_S.LISTENING, _A.LISTEN)),
    _S.LISTENING: _row(
        _S.LISTENING,
        (_E.ON, _E.DOWN),
        OFF=(_S.OFF,),
        TRAFFIC=(_S.ACTIVE, _A.START),
        TOO_OFTEN=(_S.RESTING, _A.REST),
    ),
    _S.RESTING: _row(
        _S.RESTING,
        (_E.ON, _E.DOWN),
        OFF=(_S.OFF, _A.DROP_TIMER),
        RESTED=(_S.LISTENING,),
    ),
    _S.ACTIVE: _row(
        _S.ACTIVE,
        (_E.ON,),
        OFF=(_S.OFF, _A.DROP_TIMER),
        IDLE=(_S.QUIESCING, _A.SUSPEND),
        DOWN=(_S.LISTENING, _A.DROP_TIMER, _A.LISTEN),
    ),
    _S.QUIESCING: _row(
        _S.QUIESCING,
        (_E.ON,),
        OFF=(_S.OFF, _A.DROP_TIMER, _A.RESUME),
        QUIET=(_S.STOPPING, _A.STOP),
        BUSY=(_S.ACTIVE, _A.DROP_TIMER, _A.RESUME),
        DOWN=(_S.LISTENING, _A.DROP_TIMER, _A.LISTEN),
    ),
    _S.STOPPING: _row(
        _S.STOPPING,
        (_E.ON,),
        OFF=(_S.OFF, _A.DROP_TIMER, _A.RESUME),
        DOWN=(_S.LISTENING, _A.DROP_TIMER, _A.LISTEN),
    ),
}


def step(standing: Standing, event: Event) -> tuple[Standing, tuple[Action, ...]]:
    """Return the next standing and what is to be done; ImpossibleStep names the pair."""
    to = TABLE[standing][event]
    if to is None:
        raise ImpossibleStep(f"{event.value} while {standing.value}")
    return to


# --- the trigger limit

#: More activations than this within TRIGGER_INTERVAL_S, and it rests, systemd.socket(5).
TRIGGER_BURST = 20
TRIGGER_INTERVAL_S = 2.0
LEAST_REST_S = 1.0
MOST_REST_S = 30.0
#: A rest is forgotten so long after it: the next is short again.
FORGIVEN_AFTER_S = 60.0


class Memory(NamedTuple):
    """What is remembered between activations."""

    at: tuple[float, ...] = ()  #: those within the interval, oldest first
    rest_s: float = 0.0  #: of the last rest
    rested_at: float = 0.0  #: when that was over


FRESH = Memory()


class Activate(NamedTuple):
    """Start the workers."""

    memory: Memory


class Rest(NamedTuple):
    """Do not listen for a while: workers end, and leave what they were started for."""

    memory: Memory
    delay_s: float
    reason: str


def trigger(memory: Memory, now: float) -> Activate | Rest:
    """Return the verdict on traffic at *now*."""
    at = (*(one for one in memory.at if now - one < TRIGGER_INTERVAL_S), now)
    if len(at) <= TRIGGER_BURST:
        return Activate(memory._replace(at=at))
    recent = memory.rest_s and now - memory.rested_at < FORGIVEN_AFTER_S
    rest_s = min(memory.rest_s * 2, MOST_REST_S) if recent else LEAST_REST_S
    reason = f"activated {len(at)} times within {TRIGGER_INTERVAL_S:g} s"
    return Rest(Memory((), rest_s, now + rest_s), rest_s, reason)


# --- the idle watch

LEAST_PERIOD_S = 0.05
MOST_PERIOD_S = 5.0
#: How long its processes may take to stop at SIGSTOP: one that hangs in the kernel does not.
SUSPEND_WITHIN_S = 0.25
#: How soon to look whether they have, doubled each time.
SUSPEND_CHECK_S = 0.0005
#: How long the other processes of a tree stay suspended when the main one was asked to stop:
#: time to pass the signal on, before they can accept anything.
RESUME_AFTER_S = 0.05


class LookAgain(NamedTuple):
    """Look again after delay_s.  Also the memory: pass since in with the next look."""

    delay_s: float
    since: float | None  #: when it was first seen idle; None if it is not


class Stop(NamedTuple):
    """It has been idle for long enough."""

    idle_s: float


def watch(
    since: float | None, idle_timeout_s: float, *, idle: bool, now: float
) -> LookAgain | Stop:
    """Return the verdict on a look at *now*."""
    period_s = min(max(idle_timeout_s / 4, LEAST_PERIOD_S), MOST_PERIOD_S)
    if not idle:
        return LookAgain(period_s, None)
    since = now if since is None else since
    left_s = since + idle_timeout_s - now
    if left_s <= 0:
        return Stop(now - since)
    return LookAgain(min(period_s, left_s), since)
