"""What `doctor` looks at in supervisors: those there are, and the chosen one in detail."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from pidsup import __version__
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import Complaint
from pidsup.cli.ctl.finding import Finding, ok, problem, warning
from pidsup.cli.ctl.reach import answers, of_others, reach, whose
from pidsup.cli.ctl.words import clean, duration, many, size
from pidsup.client import CallFailed, Client, NotAnswering, NotRunning
from pidsup.control.paths import address, base, names, shown
from pidsup.control.protocol import Message

_NAMED = 5  # slots that are named


def findings(given: Given) -> Iterator[Finding]:
    """Look at all there are, and at the one that is meant."""
    alive = [name for name in names() if answers(address(name))]
    yield from _there(alive)
    if given.socket is None and given.name is None and len(alive) != 1:
        return
    try:
        with reach(given) as client:
            answer = client.call("Status", within_s=5)
    except NotAnswering:
        yield problem(
            "supervisor",
            "takes calls and does not answer: it is stopped, or hangs",
            "look at its state with ps; kill -CONT it if that is T",
        )
    except (Complaint, NotRunning, CallFailed, OSError) as error:
        yield problem("supervisor", str(error), "start it, or choose another by -n")
    else:
        yield from of_one(answer)


def _there(alive: list[str]) -> Iterator[Finding]:
    for name in names():
        place = shown(address(name))
        if name not in alive:
            yield warning(
                "supervisor",
                f"{name!r} has gone and left {place}",
                "nothing: its next start clears it",
            )
        elif not _may_ask(address(name)):
            yield warning(
                "supervisor", f"{name!r} listens at {place}, and may not be asked by you",
                "ask as its user, or root, or be named in its [control]",
            )  # fmt: skip
        else:
            yield ok("supervisor", f"{name!r} listens at {place}")
    for name, path, uid in of_others():
        if answers(path):
            yield ok("supervisor", f"{name!r} of {whose(uid)} listens at {shown(path)}")
    if not alive:
        yield ok("supervisor", f"none of yours runs, looked in {base()}")


def _may_ask(path: str) -> bool:
    try:
        Client(path).close()
    except (PermissionError, NotRunning):
        return False
    return True


def of_one(answer: Message) -> Iterator[Finding]:
    """Look at type Status of one supervisor."""
    yield _version(answer)
    yield from _files(answer)
    if answer["state"] == "stopping":
        yield warning(
            "state", "it is shutting down", "nothing: pidsupctl status shows how far it is"
        )
    slots = [slot for watcher in answer["watchers"] for slot in watcher["slots"]]
    yield from _slots(slots)
    dropped = sum(slot.get("dropped_bytes", 0) for slot in slots)
    if dropped:
        yield warning(
            "output",
            f"{size(dropped)} had to be dropped, by {_listed(slots, 'dropped_bytes')}",
            'faster disks, less output, or log_policy = "block"',
        )
    else:
        yield ok("output", "nothing was dropped")
    yield from _limit(answer, len(slots))


def _version(answer: Message) -> Finding:
    running = answer["version"]
    if running != __version__:
        return warning(
            "version", f"{running} runs, {__version__} is installed", "restart it when it suits"
        )
    return ok("version", running)


def _files(answer: Message) -> Iterator[Finding]:
    started_at = time.time() - answer["up_s"]
    changed = []
    for path in answer.get("files", ()):
        try:
            if os.stat(path).st_mtime > started_at:
                changed.append(path)
        except OSError:
            changed.append(f"{path} (gone)")
    if changed:
        yield warning(
            "configuration",
            f"changed since it was read {duration(answer['up_s'])} ago: {', '.join(changed)}",
            "pidsup check FILE, then restart the supervisor",
        )
    elif answer.get("files"):
        yield ok("configuration", "as it was read")


def _slots(slots: list[Message]) -> Iterator[Finding]:
    failed = [slot for slot in slots if slot["state"] == "failed"]
    trying = [slot for slot in slots if slot["state"] == "backoff"]
    for slot in failed[:_NAMED]:
        yield problem(
            "slots",
            f"{slot['name']} has failed: {clean(slot['reason'])}",
            f"pidsupctl logs {slot['name']}, and then pidsupctl start {slot['name']}",
        )
    if len(failed) > _NAMED:
        yield problem("slots", f"{len(failed) - _NAMED} more have failed", "pidsupctl status")
    for slot in trying[:_NAMED]:
        yield warning(
            "slots",
            f"{slot['name']} fails and is tried again: {clean(slot['reason'])}",
            f"pidsupctl logs {slot['name']}",
        )
    if not failed and not trying:
        yield ok("slots", f"{many(len(slots), 'slot')}, none has failed")


def _listed(slots: list[Message], field: str) -> str:
    found = [slot["name"] for slot in slots if slot.get(field)]
    return ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")


def _limit(answer: Message, slots: int) -> Iterator[Finding]:
    """Compare the descriptors that it may have with those that it needs."""
    try:
        with open(f"/proc/{answer['pid']}/limits", encoding="utf-8") as file:
            soft = next(line.split()[3] for line in file if line.startswith("Max open files"))
        held = len(os.listdir(f"/proc/{answer['pid']}/fd"))
    except (OSError, StopIteration):  # another machine's, or another user's
        return
    if soft.isdecimal() and held > int(soft) * 0.8:
        yield warning(
            "descriptors",
            f"{held} of {soft} are in use, by {many(slots, 'slot')}",
            "LimitNOFILE= of its unit, or fewer workers",
        )
    else:
        yield ok("descriptors", f"{held} of {soft} are in use")
