"""The events that have a MESSAGE_ID in the journal, one that never changes.

`journalctl -x` explains each, from units/pidsup.catalog; what programs look for is listed
in docs/journal.md.  `python -m pidsup.log.messages` prints that list.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple


class Message(NamedTuple):
    """What is the same of all entries of an event."""

    id: str
    text: str  #: what has happened


_NO_OUTPUT = Message("c84b957d9b054ea1b0742aa88ca077ce", "Output of workers cannot be written")
_COMMAND = Message("386f6d3a89ba4008b65747a8f7cda373", "A command changes what is wanted")

MESSAGES = {
    "supervisor started": Message(
        "17a803da1d0940a39ab6e691332c150c", "The supervisor starts its watchers"
    ),
    "shutting down": Message("b2185b1cec5a409291eb4dfa9eea1455", "The supervisor stops everything"),
    "killing what has not stopped yet": Message(
        "9afd4c7840cb41af885bc8c7727bc302", "Every stop that is under way jumps to SIGKILL"
    ),
    "supervisor ended": Message("662af088ee7246098fa4a1da837b41d6", "The supervisor has ended"),
    "worker started": Message("cf284245a5d54e8cae53d642aba3d46f", "A worker was started"),
    "worker ready": Message(
        "6dfb876010f646fd8b4d453859c1f91b", 'A worker of type = "notify" has said that it is ready'
    ),
    "worker stopped": Message("4faecdc328a94d8faa0e21feaf394838", "A worker has ended as asked"),
    "worker ended": Message("f510b1bef34e4468ad29c1b334219416", "A worker has ended by itself"),
    "ending worker": Message(
        "d26959a4e8b74becbdad1df06219efc3",
        "A worker did not do what it had to in time, and is ended",
    ),
    "cannot start worker": Message(
        "5e7d1c12343245e7a97417c9bda66b68", "A worker could not be started"
    ),
    "worker does not die": Message(
        "0865504774fc4d21911a713af056d33b", "A worker is still there after SIGKILL"
    ),
    "cannot signal worker": Message(
        "b021b660a2094a15a2d739a6175a8b03", "A worker could not be signalled"
    ),
    "stopping watcher": Message(
        "5ed2afdc5335434cb30d3d25e7e44740", "A watcher is stopped, as one of its slots has failed"
    ),
    "giving up": Message(
        "2f71671621d6401da170332337a01f2d", "The supervisor ends, as a slot has failed"
    ),
    "critical watcher has ended": Message(
        "e76b2c71898d4e529ec21e4b80011ced", "The supervisor ends with a critical watcher"
    ),
    "left behind": Message(
        "865a1621919e4d19b94ab10cb5085402", "A process was left behind by a worker, and is ended"
    ),
    "output dropped": Message(
        "dddc97ebf9c6451b81ca75830643f39c", "Output of a worker came faster than it was taken"
    ),
    "cannot write output": _NO_OUTPUT,
    "cannot write file of output": _NO_OUTPUT,
    "cannot write the table": Message(
        "a283383797204560a59765dba8bcf611", "The supervisor cannot write down what runs"
    ),
    "log lines dropped": Message(
        "c724ff4ac7914d01b7a4ba3f5a0e3722", "Entries of the supervisor came faster than they went"
    ),
    "internal error": Message("cb3eec31c2af4181a7676feead408699", "A bug of pidsup"),
    "configuration applied": Message(
        "4aefc810262644d1a232646419019bda", "A configuration was put in force"
    ),
    "cannot apply": Message(
        "3c00eb04514e49e980ecb1eca73d9840", "A configuration could not be put in force"
    ),
    "supervision does not work": Message(
        "1ca044e20ada429aa9e2cc02afd81a40", "The supervisor finds that it does not supervise"
    ),
    "cannot become ready": Message(
        "a47cd2c7ab754ee09bcb58c048c53618", "The supervisor cannot have what it needs to be ready"
    ),
    "watcher activated": Message(
        "838de5c2243a4fc88a165eaac617082e", "A connection starts a watcher that is on demand"
    ),
    "watcher idle": Message(
        "d969d0c9eb6c4ee08f3a32277477d94d",
        "A watcher that is on demand is stopped, as nobody uses it",
    ),
    "watcher rests": Message(
        "43e89792ab2145e0a113318cef35a2a8", "A watcher is started by connections too often"
    ),
    "message ignored": Message(
        "eea62b231f2f49ad8f3f24a809773da1",
        "A message of sd_notify(3) was ignored, as its sender may not send it",
    ),
    **dict.fromkeys(("start", "stop", "restart", "scale", "signal", "apply"), _COMMAND),
}


def message_of(event: str, facts: Mapping[str, object]) -> Message | None:
    """Return what is the same of all entries of an event; of a command its first word counts."""
    found = MESSAGES.get(event)
    if found is None and "change" in facts:
        found = MESSAGES.get(event.partition(" ")[0])
    return found


def as_markdown() -> str:
    """Return the list as docs/journal.md has it."""
    events: dict[Message, list[str]] = {}
    for event, message in MESSAGES.items():
        events.setdefault(message, []).append(f"`{event}`")
    lines = ["| MESSAGE_ID | MESSAGE begins with | |", "|---|---|---|"]
    for message, begins in events.items():
        lines.append(f"| `{message.id}` | {', '.join(begins)} | {message.text}. |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
