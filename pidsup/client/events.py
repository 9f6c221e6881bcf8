"""What happens in a supervisor, across lost connections: neither hole nor double unsaid."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

from pidsup.client.sync import Client, NotRunning, connect
from pidsup.control.protocol import Message

FIRST_PAUSE_S = 0.05  #: before it connects again
LONGEST_PAUSE_S = 2.0


class Snapshot(NamedTuple):
    """How everything stood, with which what is known begins anew."""

    cursor: str
    status: Message  #: as Status answers


class Event(NamedTuple):
    """Something that has happened behind the last snapshot; see type Event of the interface."""

    cursor: str  #: to go on behind it
    seq: int
    at: float
    kind: str
    subject: str
    state: str
    reason: str
    pid: int | None
    exit: Message | None
    change: Message | None
    running: bool | None
    workers: int | None
    due_s: float | None


class Gap(NamedTuple):
    """Events are missing, of another run of the supervisor, or because we were too slow."""

    cursor: str
    missed: int


Happening = Snapshot | Event | Gap


def events(
    selectors: Sequence[str] | None = None,
    *,
    cursor: str | None = None,
    connecting: Callable[[], Client] = connect,
) -> Generator[Happening, None, None]:
    """Yield what happens, for ever, from *cursor* on or from a snapshot.

    A lost connection is made again by *connecting*, and what was missed meanwhile comes
    first.  Who is refused gets CallFailed or PermissionError, and it is over.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            with connecting() as client:
                for answer in client.stream("Events", selectors=selectors, cursor=cursor):
                    pause_s = FIRST_PAUSE_S
                    for happening in happenings(answer):
                        cursor = happening.cursor
                        yield happening
        except NotRunning:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def happenings(answer: Message) -> Iterator[Happening]:
    """Take one answer apart."""
    cursor: str = answer["cursor"]
    if answer["kind"] == "snapshot":
        yield Snapshot(cursor, answer["status"])
    elif answer["kind"] == "gap":
        yield Gap(cursor, answer["missed"])
    else:
        instance = cursor.rpartition(":")[0]
        for event in answer["events"]:
            yield _event(f"{instance}:{event['seq']}", event)


def _event(cursor: str, told: dict[str, Any]) -> Event:
    """Make an event, without what a newer supervisor tells of it."""
    known: dict[str, Any] = {name: told.get(name) for name in Event._fields[1:]}
    return Event(cursor, **known)
