"""The lifecycle of a slot, as a table.

Pure.  A slot feeds its events to `step` and performs the actions; an action that
fails is the next event.  Every pair of state and event is in the table: a
transition, a legal no-op (same state, no action), or None, an impossibility
that raises.  `python -m pidsup.policy.lifecycle` prints the table for the docs.
"""

from __future__ import annotations

from enum import Enum

from pidsup.errors import ImpossibleStep


class _Fast(Enum):
    """An Enum whose hash is not a Python call, which would be half of a step's time."""

    __hash__ = object.__hash__


class State(_Fast):
    """Where a slot stands; the strings are API."""

    STOPPED = "stopped"  #: not wanted, nothing runs
    WAITING = "waiting"  #: wanted; for what it comes after, or for warmup_delay
    STARTING = "starting"  #: a process was asked for, or runs and is not ready
    READY = "ready"
    STOPPING = "stopping"  #: the stop plan is under way
    KILLING = "killing"  #: SIGKILL was sent to the tree
    CLEANING = "cleaning"  #: the worker is gone, something of its tree is not
    BACKOFF = "backoff"  #: failed; started again when the delay is over
    FAILED = "failed"  #: down for good, until a command says otherwise
    COMPLETED = "completed"  #: ended well, and restart= leaves it at that


#: Down for good: nothing but a command, or a connection, changes it.
AT_REST = frozenset({State.STOPPED, State.FAILED, State.COMPLETED})


class Event(_Fast):
    """What can happen to a slot."""

    START = "start"  #: wanted, and may start now
    WAIT = "wait"  #: wanted, but others come first
    STOP = "stop"  #: not wanted, or to be replaced
    RESET = "reset"  #: a command forgives what failed
    SPAWNED = "spawned"
    SPAWN_FAILED = "spawn-failed"  #: or was cancelled
    READY = "ready"  #: by its type: exec at once, notify when it says so
    START_DUE = "start-due"  #: it was not ready in time
    WATCHDOG_DUE = "watchdog-due"  #: it has not said in time that it lives, or says it does not
    EXITED = "exited"
    STEP_DUE = "step-due"  #: a step of the stop plan took too long, the next follows
    KILL_DUE = "kill-due"  #: the last one did, or there is a hurry
    OVERDUE = "overdue"  #: SIGKILL was a while ago, and something still lives
    RETRY_DUE = "retry-due"
    # The tree is empty, and the verdict is:
    AGAIN = "again"
    LATER = "later"
    GIVE_UP = "give-up"
    FAIL = "fail"
    COMPLETE = "complete"
    DOWN = "down"  #: it was asked for, or is not wanted any more


class Action(_Fast):
    """What a slot is to do."""

    SPAWN = "spawn"
    CANCEL_SPAWN = "cancel-spawn"  #: too late: feed spawned again
    AWAIT_READY = "await-ready"  #: feed ready at once, or set the deadline for it
    SET_WATCHDOG = "set-watchdog"
    ABORT = "abort"  #: send the watchdog's signal, set a deadline for SIGKILL
    STOP_STEP = "stop-step"  #: signal as the plan says, set the deadline
    KILL = "kill"  #: SIGKILL to the tree, set a deadline to look again
    CLEAN = "clean"  #: kill stragglers; feed the verdict once there is none
    SET_RETRY = "set-retry"
    DROP_TIMER = "drop-timer"


Row = dict[Event, tuple[State, tuple[Action, ...]] | None]

_S, _E, _A = State, Event, Action
_VERDICTS = (_E.AGAIN, _E.LATER, _E.GIVE_UP, _E.FAIL, _E.COMPLETE, _E.DOWN)
_WISHES = (_E.START, _E.WAIT, _E.STOP, _E.RESET)


def _row(state: State, ignored: tuple[Event, ...], **to: tuple[State, *tuple[Action, ...]]) -> Row:
    """Make a full row: *ignored* are no-ops, what is not named is impossible."""
    row: Row = dict.fromkeys(Event)
    row.update(dict.fromkeys(ignored, (state, ())))
    for name, (target, *actions) in to.items():
        row[_E[name]] = (target, tuple(actions))
    return row


TABLE: dict[State, Row] = {
    _S.STOPPED: _row(
        _S.STOPPED,
        (_E.STOP, _E.RESET, _E.KILL_DUE),
        START=(_S.STARTING, _A.SPAWN),
        WAIT=(_S.WAITING,),
    ),
    _S.WAITING: _row(
        _S.WAITING,
        (_E.WAIT, _E.RESET, _E.KILL_DUE),
        START=(_S.STARTING, _A.SPAWN),
        STOP=(_S.STOPPED,),
    ),
    _S.STARTING: _row(
        _S.STARTING,
        (_E.START, _E.WAIT, _E.RESET),
        SPAWNED=(_S.STARTING, _A.AWAIT_READY),
        SPAWN_FAILED=(_S.CLEANING, _A.CLEAN),
        READY=(_S.READY, _A.DROP_TIMER, _A.SET_WATCHDOG),
        START_DUE=(_S.STOPPING, _A.STOP_STEP),
        WATCHDOG_DUE=(_S.STOPPING, _A.ABORT),
        EXITED=(_S.CLEANING, _A.DROP_TIMER, _A.CLEAN),
        # A start that crosses a stop: the answer to the request is still to come, or has come.
        STOP=(_S.STOPPING, _A.CANCEL_SPAWN),
        KILL_DUE=(_S.KILLING, _A.CANCEL_SPAWN),
    ),
    _S.READY: _row(
        _S.READY,
        (_E.START, _E.WAIT, _E.RESET, _E.READY),
        WATCHDOG_DUE=(_S.STOPPING, _A.ABORT),
        EXITED=(_S.CLEANING, _A.DROP_TIMER, _A.CLEAN),
        STOP=(_S.STOPPING, _A.STOP_STEP),
        KILL_DUE=(_S.KILLING, _A.KILL),
    ),
    _S.STOPPING: _row(
        _S.STOPPING,
        (*_WISHES, _E.READY, _E.WATCHDOG_DUE),
        SPAWNED=(_S.STOPPING, _A.STOP_STEP),
        SPAWN_FAILED=(_S.CLEANING, _A.CLEAN),
        EXITED=(_S.CLEANING, _A.DROP_TIMER, _A.CLEAN),
        STEP_DUE=(_S.STOPPING, _A.STOP_STEP),
        KILL_DUE=(_S.KILLING, _A.KILL),
    ),
    _S.KILLING: _row(
        _S.KILLING,
        (*_WISHES, _E.KILL_DUE, _E.READY, _E.WATCHDOG_DUE),
        SPAWNED=(_S.KILLING, _A.KILL),
        SPAWN_FAILED=(_S.CLEANING, _A.CLEAN),
        EXITED=(_S.CLEANING, _A.DROP_TIMER, _A.CLEAN),
        OVERDUE=(_S.KILLING, _A.KILL),
    ),
    _S.CLEANING: _row(
        _S.CLEANING,
        (*_WISHES, _E.KILL_DUE),
        OVERDUE=(_S.CLEANING, _A.CLEAN),
        AGAIN=(_S.STARTING, _A.SPAWN),
        LATER=(_S.BACKOFF, _A.SET_RETRY),
        GIVE_UP=(_S.FAILED,),
        FAIL=(_S.FAILED,),
        COMPLETE=(_S.COMPLETED,),
        DOWN=(_S.STOPPED,),
    ),
    _S.BACKOFF: _row(
        _S.BACKOFF,
        (_E.START, _E.WAIT, _E.KILL_DUE),
        RETRY_DUE=(_S.STARTING, _A.SPAWN),
        STOP=(_S.STOPPED, _A.DROP_TIMER),
        RESET=(_S.STOPPED, _A.DROP_TIMER),
    ),
    _S.FAILED: _row(
        _S.FAILED,
        (_E.START, _E.WAIT, _E.KILL_DUE),
        STOP=(_S.STOPPED,),
        RESET=(_S.STOPPED,),
    ),
    _S.COMPLETED: _row(
        _S.COMPLETED,
        (_E.START, _E.WAIT, _E.KILL_DUE),
        STOP=(_S.STOPPED,),
        RESET=(_S.STOPPED,),
    ),
}


def step(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """Return the next state and what is to be done; ImpossibleStep names the pair."""
    to = TABLE[state][event]
    if to is None:
        raise ImpossibleStep(f"{event.value} while {state.value}")
    return to


def as_markdown() -> str:
    """Render the table for the docs: one line per transition, no-ops in one list each."""
    lines = ["| state | event | next | actions |", "|---|---|---|---|"]
    for state, row in TABLE.items():
        quiet = [event.value for event, to in row.items() if to == (state, ())]
        for event, to in row.items():
            if to and to != (state, ()):
                actions = ", ".join(action.value for action in to[1])
                lines.append(f"| {state.value} | {event.value} | {to[0].value} | {actions} |")
        lines.append(f"| {state.value} | {', '.join(quiet)} | | (nothing) |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
