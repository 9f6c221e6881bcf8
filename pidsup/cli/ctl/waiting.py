"""`pidsupctl wait`: until the selected are as somebody needs them."""

from __future__ import annotations

import signal

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import FAILED, OK, TIMED_OUT, Complaint
from pidsup.cli.ctl.reach import reach
from pidsup.cli.ctl.slots import is_as_wanted
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.client import Client
from pidsup.control.protocol import Message


def run(given: Given, client: Client) -> int:
    """Look whenever something has happened; the events themselves only wake us up."""
    if given.timeout is not None:
        signal.signal(signal.SIGALRM, _too_late)
        signal.setitimer(signal.ITIMER_REAL, max(given.timeout, 0.001))
    with reach(given) as asking:
        for _ in client.stream("Events", selectors=given.selectors):
            answer = asking.call("Status", within_s=PATIENCE_S, selectors=given.selectors)
            what = getattr(given, "for")
            if is_there(what, answer):
                signal.setitimer(signal.ITIMER_REAL, 0)
                if not given.quiet:
                    print(f"{', '.join(given.selectors)}: {came(what, answer)}")
                return OK
    raise Complaint("the supervisor has ended", FAILED)


def _too_late(*_: object) -> None:
    raise Complaint("timed out: it is not there yet, see: pidsupctl status", TIMED_OUT)


def is_there(what: str, answer: Message) -> bool:
    """Tell whether it has come; Complaint when it cannot come by itself."""
    slots = _slots(answer)
    if what == "down":
        return all(slot["state"] in ("stopped", "completed", "failed") for slot in slots)
    for slot in slots:
        if slot["wanted"] and slot["state"] == "failed":
            raise Complaint(f"{slot['name']} has failed: {slot['reason']}", FAILED)
    if what == "wanted":
        return all(map(is_as_wanted, slots))
    wanted = [slot for slot in slots if slot["wanted"]]
    if not wanted:
        raise Complaint("none of it is wanted: start it first", FAILED)
    return all(slot["state"] in ("ready", "completed") for slot in wanted)


def came(what: str, answer: Message) -> str:
    """Word what has come: a one-shot is not ready for anything, it has completed."""
    if what != "ready":
        return what
    wanted = [slot["state"] for slot in _slots(answer) if slot["wanted"]]
    completed = wanted.count("completed")
    if completed in (0, len(wanted)):
        return "completed" if completed else "ready"
    return f"{len(wanted) - completed} ready, {completed} completed"


def _slots(answer: Message) -> list[Message]:
    return [slot for watcher in answer["watchers"] for slot in watcher["slots"]]
