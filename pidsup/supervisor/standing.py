"""How the watchers stand as a whole: in numbers, and in one line that a person likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pidsup.log import span
from pidsup.output.harmless import clean
from pidsup.policy.lifecycle import AT_REST, State
from pidsup.policy.upward import Readiness, Standing, readiness

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor
    from pidsup.watcher.slot import Slot
    from pidsup.watcher.watcher import Watcher

_LONGEST = 240  # characters of a line


def standing(watcher: Watcher) -> Standing:
    """Return how a watcher stands, without a walk over its slots.

    A slot that is stopped is not wanted: one that is wanted is started in the same breath.
    """
    counts = watcher.counts
    return Standing(
        wanted=len(watcher.slots) - counts[State.STOPPED],
        up=counts[State.READY] + counts[State.COMPLETED],
        failed=counts[State.FAILED],
        min_ready=watcher.spec.min_ready,
    )


def is_ready(watchers: Iterable[Watcher]) -> bool:
    """Tell whether each watcher has its minimum of workers now."""
    return readiness(map(standing, watchers)) is Readiness.READY


def hopeless(watchers: Iterable[Watcher]) -> Watcher | None:
    """Return the first watcher that will never have its minimum by itself."""
    return next((watcher for watcher in watchers if standing(watcher).is_hopeless()), None)


def lacking(watchers: Iterable[Watcher]) -> Iterator[Watcher]:
    """Yield those that have not their minimum of workers now."""
    return (watcher for watcher in watchers if not standing(watcher).is_up())


def first_in(state: State, watchers: Iterable[Watcher]) -> Slot | None:
    """Return the first slot that is in a state."""
    having = (watcher for watcher in watchers if watcher.counts[state])
    slots = (slot for watcher in having for slot in watcher.slots.values())
    return next((slot for slot in slots if slot.state is state), None)


# --- in words


def one_line(parts: Iterable[str]) -> str:
    """Join what is to be said; no part of it ends the line or steers a terminal."""
    text = clean("; ".join(parts))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def status_line(supervisor: Supervisor) -> str:
    """Say how all stands: "5 of 6 workers ready; web:2 exited with 1, retrying in 3 s"."""
    if supervisor.shutting_down:
        return _left(supervisor)
    worst = next(_troubles(supervisor), None)
    ready = _ready(supervisor.watchers.values())
    return ready if worst is None else f"{ready}; {worst}"


def failure(slot: Slot) -> str:
    """Say why a slot is not up."""
    last = slot.last_exit
    is_end = last is not None and not last.cause and slot.start_errno is None
    return f"{slot.name} {slot.reason}" if is_end else f"{slot.name}: {slot.reason}"


def _failure_and_next(slot: Slot) -> str:
    """Say what comes next, too."""
    if slot.state is State.BACKOFF and slot.due_at is not None:
        return f"{failure(slot)}, retrying in {span(slot.due_at - slot.since)}"
    return failure(slot)


def _ready(watchers: Iterable[Watcher]) -> str:
    wanted = ready = done = listening = 0
    for watcher in watchers:
        wanted += standing(watcher).wanted
        ready += watcher.counts[State.READY]
        done += watcher.counts[State.COMPLETED]
        listening += _listens(watcher)
    running = wanted - done
    parts = []
    if running or not (done or listening):
        number = f"{ready} of {running}" if ready < running else str(ready)
        parts.append(f"{number} {_workers(running)} ready")
    if listening:
        parts.append(f"{listening} listening for connections")
    if done:
        parts.append(f"{done} done")
    return ", ".join(parts)


def _listens(watcher: Watcher) -> bool:
    """Tell whether it waits for its first connection."""
    return watcher.running and watcher.spec.on_demand and not standing(watcher).wanted


def _workers(number: int) -> str:
    return "worker" if number == 1 else "workers"


def _troubles(supervisor: Supervisor) -> Iterator[str]:
    """Yield what keeps workers from being ready, the worst first."""
    watchers = supervisor.watchers.values()
    for state in (State.FAILED, State.BACKOFF):
        slot = first_in(state, watchers)
        if slot is not None:
            others = sum(watcher.counts[state] for watcher in watchers) - 1
            text = _failure_and_next(slot)
            yield f"{text} (and {others} more)" if others else text
    for watcher in watchers:
        if watcher.waits_to_start():
            names = ", ".join(supervisor.held_up_by(watcher))
            yield f"{watcher.spec.name} waits for {names or 'warmup_delay'}"


def _left(supervisor: Supervisor) -> str:
    """Say what is still to end, and who takes long."""
    slots = (slot for watcher in supervisor.watchers.values() for slot in watcher.slots.values())
    left = [slot for slot in slots if slot.state not in AT_REST]
    if not left:
        others = supervisor.leftovers.due_at is not None
        return "what workers have left behind" if others else "no worker left"
    number = f"{len(left)} {_workers(len(left))} left"
    slow = next((slot for slot in left if slot.state is not State.READY and slot.reason), None)
    return number if slow is None else f"{number}; {slow.name}: {slow.reason}"
