"""What `doctor` looks at in supervisors: those there are, and the chosen one in detail."""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from pidsup import __version__
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_RIGHTS, Complaint
from pidsup.cli.ctl.finding import Finding, ok, problem, warning
from pidsup.cli.ctl.reach import answers, of_others, reach, whose
from pidsup.cli.ctl.words import clean, duration, many, size
from pidsup.client import CallFailed, Client, NotAnswering, NotRunning
from pidsup.control.paths import address, base, names, shown
from pidsup.control.protocol import Message

_NAMED = 5  # slots that are named
_READING_S = 35.0  # the supervisor gives up a reading before
#: Why output cannot be written -> what to do.
_CURES = {
    (errno.ENOSPC, errno.EDQUOT): "make room there, or let stdout and stderr go elsewhere",
    (errno.EACCES, errno.EPERM): "give the supervisor's user the right to write there",
    (errno.ENOENT, errno.ENOTDIR): "make the directory, or correct the path",
    (errno.EROFS,): "let stdout and stderr go where it can be written",
}


def findings(given: Given) -> Iterator[Finding]:
    """Look at all there are, and at the one that is meant."""
    alive = [name for name in names() if answers(address(name))]
    yield from _there(alive)
    if given.socket is None and given.name is None and len(alive) != 1:
        return
    try:
        with reach(given) as client:
            answer = client.call("Status", within_s=5)
            yield from of_one(answer, lambda: client.call("Diff", within_s=_READING_S))
    except NotAnswering:
        yield problem(
            "supervisor",
            "takes calls and does not answer: it is stopped, or hangs",
            "look at its state with ps; kill -CONT it if that is T",
        )
    except (Complaint, NotRunning, CallFailed, OSError) as error:
        yield problem("supervisor", str(error), _to_reach(given, error))


def _to_reach(given: Given, error: Exception) -> str:
    """Return what to do about one that cannot be asked: whose rights that takes."""
    is_complaint = isinstance(error, Complaint) and error.code == NO_RIGHTS
    is_denied = isinstance(error, CallFailed) and error.name == "Denied"
    if is_complaint or is_denied or isinstance(error, PermissionError):
        return f"run it as {_owner(given)}root, or be named in the [control] of its configuration"
    return "start it, or choose another by -n"


def _owner(given: Given) -> str:
    """Return "ann, " for the user of the supervisor that is meant, "" where that is root."""
    places = [given.socket or "", *(path for name, path, _ in of_others() if name == given.name)]
    for place in places:
        with suppress(OSError):
            uid = os.stat(place).st_uid
            return f"{whose(uid)}, or " if uid else ""
    return ""


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


def of_one(answer: Message, compare: Callable[[], Message]) -> Iterator[Finding]:
    """Look at type Status of one supervisor, and where its files were changed, at Diff."""
    yield _version(answer)
    yield from _files(answer, compare)
    if answer["state"] == "stopping":
        yield warning(
            "state", "it is shutting down", "nothing: pidsupctl status shows how far it is"
        )
    slots = [slot for watcher in answer["watchers"] for slot in watcher["slots"]]
    yield from _slots(slots)
    yield from _output(slots)
    yield from _limit(answer, len(slots))


def _version(answer: Message) -> Finding:
    running = answer["version"]
    if running != __version__:
        return warning(
            "version", f"{running} runs, {__version__} is installed", "restart it when it suits"
        )
    return ok("version", running)


def _files(answer: Message, compare: Callable[[], Message]) -> Iterator[Finding]:
    changed, files = _changed(answer), answer.get("files", ())
    if not changed:
        if files:
            yield ok("configuration", "as it was read")
        return
    what = f"changed since it was read {duration(_read_s(answer))} ago: {', '.join(changed)}"
    if answer.get("role") != "admin":
        yield warning("configuration", what, "as its user, or root: pidsupctl diff")
        return
    found = compare()
    if found["problems"]:
        first, *others = map(clean, found["problems"])
        why = f"cannot be used: {first}" + (f" (and {len(others)} more)" if others else "")
        check = f"pidsup check {shlex.quote(files[0])}; what was read before stays in force"
        yield problem("configuration", why, check)
    elif found["differences"]:
        yield warning("configuration", what, "pidsupctl diff, and then pidsupctl apply")
    else:
        yield ok("configuration", f"{what}; nothing differs")


def _read_s(answer: Message) -> float:
    return float(answer["read_s"] if "read_s" in answer else answer["up_s"])


def _changed(answer: Message) -> list[str]:
    """Return the files that are not as they were when they were read."""
    read_at = time.time() - _read_s(answer)
    files = answer.get("files", ())
    changed = []
    for path in files:
        try:
            if os.stat(path).st_mtime > read_at:
                changed.append(path)
        except OSError:
            changed.append(f"{path} (gone)")
    return changed + [f"{path} (new)" for path in _drop_ins(files) if path not in files]


def _drop_ins(files: Sequence[str]) -> list[str]:
    """Return those that the next start would read, besides the first file."""
    folder = os.path.splitext(files[0])[0] + ".d" if files else ""
    try:
        found = sorted(os.listdir(folder))
    except OSError:
        return []
    return [f"{folder}/{name}" for name in found if name.endswith(".toml") and name[0] != "."]


def _slots(slots: list[Message]) -> Iterator[Finding]:
    failed = [slot for slot in slots if slot["state"] == "failed"]
    trying = [slot for slot in slots if slot["state"] == "backoff"]
    for slot in failed[:_NAMED]:
        yield problem(
            "slots",
            f"{slot['name']} has failed: {clean(slot['reason'])}",
            f"{_look(slot)}, and then pidsupctl start {slot['name']}",
        )
    if len(failed) > _NAMED:
        yield problem("slots", f"{len(failed) - _NAMED} more have failed", "pidsupctl status")
    for slot in trying[:_NAMED]:
        yield warning(
            "slots",
            f"{slot['name']} fails and is tried again: {clean(slot['reason'])}",
            _look(slot),
        )
    if not failed and not trying:
        yield ok("slots", f"{many(len(slots), 'slot')}, none has failed")


def _look(slot: Message) -> str:
    """Return what tells more: nothing was written by what could not even be executed."""
    return f"pidsupctl {'explain' if slot['last_exit'] is None else 'logs'} {slot['name']}"


def _output(slots: list[Message]) -> Iterator[Finding]:
    troubled = [slot for slot in slots if slot.get("output_trouble")]
    for slot in troubled[:_NAMED]:
        trouble = clean(slot["output_trouble"])
        yield problem("output", f"{slot['name']}: {trouble}", _against(trouble))
    if len(troubled) > _NAMED:
        more = f"{len(troubled) - _NAMED} more cannot write their output"
        yield problem("output", more, "pidsupctl status")
    dropped = sum(slot.get("dropped_bytes", 0) for slot in slots)
    if dropped:
        what = f"{size(dropped)} had to be dropped, by {_listed(slots, 'dropped_bytes')}"
        if troubled:
            do = "mend what cannot be written first; the supervisor's log tells of the rest"
        else:
            do = (
                "what could not be written is in the supervisor's log; against too much at a time: "
                'faster disks, less output, or log_policy = "block"'
            )
        yield warning("output", what, do)
    elif not troubled:
        yield ok("output", "nothing was dropped")


def _against(trouble: str) -> str:
    """Return what to do about a reason for which output cannot be written."""
    if trouble.startswith("the journal"):
        return "start systemd-journald.socket, then restart the watcher"
    for errors, do in _CURES.items():
        if any(os.strerror(error) in trouble for error in errors):
            return f"{do}; it goes on by itself then"
    return "mend that; it goes on by itself then"


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
