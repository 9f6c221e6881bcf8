"""`pidsupctl events`: what happens, as it happens."""

from __future__ import annotations

import json

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NOT_RUNNING, OK, Complaint
from pidsup.cli.ctl.reader import end_with_reader
from pidsup.cli.ctl.terminal import Terminal, standard_output
from pidsup.cli.ctl.words import Times, actor, clean, duration, many
from pidsup.client import Client, NotRunning
from pidsup.control.protocol import Message


def run(given: Given, client: Client) -> int:
    """Print until the supervisor ends, or somebody interrupts."""
    terminal, times = standard_output(given.color), Times(given)
    here = not given.host
    end_with_reader()
    asked = {"selectors": given.selectors or None, "cursor": given.cursor}
    is_ending = False
    try:
        for answer in client.stream("Events", **asked):
            is_ending = is_ending or _tells_the_end(answer)
            if given.output == "json":
                print(json.dumps(answer), flush=True)
            else:
                for line in worded(answer, terminal, times, here=here):
                    print(line, flush=True)
    except (NotRunning, Complaint) as error:  # the latter through ssh
        if not is_ending:
            raise
        raise Complaint("the supervisor has ended", NOT_RUNNING) from error
    return OK


def _tells_the_end(answer: Message) -> bool:
    """Tell whether the supervisor is stopping everything, and will hang up as ordered."""
    if answer["status"] is not None:
        return bool(answer["status"]["state"] == "stopping")
    return any(
        event["kind"] == "supervisor" and event["state"] == "stopping" for event in answer["events"]
    )


def worded(answer: Message, terminal: Terminal, times: Times, *, here: bool) -> list[str]:
    """Return the lines of one answer."""
    if answer["kind"] == "gap":
        missed = many(answer["missed"], "event")
        return [terminal.paint("red", f"{missed} missed: they came faster than they were read")]
    if answer["kind"] == "snapshot":
        return _snapshot(answer, terminal)
    return [line(event, terminal, times, here=here) for event in answer["events"]]


def _snapshot(answer: Message, terminal: Terminal) -> list[str]:
    status = answer["status"]
    if status is None:
        return []
    watchers = status["watchers"]
    ready = sum(watcher["ready"] for watcher in watchers)
    wanted = sum(watcher["workers"] for watcher in watchers if watcher["running"])
    text = (
        f"{status['name']}: {many(len(watchers), 'watcher')}, {ready} of {wanted} workers ready; "
        f"cursor {answer['cursor']}"
    )
    return [terminal.paint("dim", text)]


def line(event: Message, terminal: Terminal, times: Times, *, here: bool) -> str:
    """Word type Event."""
    subject, state, details = event["subject"], event["state"], []
    if event["change"] is not None:
        subject, details = f"change {subject}", _of_change(event["change"], here=here)
    elif event["kind"] == "watcher" and state in ("running", "stopped"):  # it is what is wanted
        state, details = "wanted", [_wanted(event)]
    if event["pid"] is not None:
        details.append(f"pid {event['pid']}")
    if event["reason"] and event["change"] is None:  # of which that is a summary
        details.append(clean(event["reason"]))
    if event.get("due_s") is not None:
        details.append(f"retry in {duration(event['due_s'])}")
    start = f"{times.clock(event['at'])}  {subject:14}  {terminal.state(state, 10)}"
    return f"{start}  {'  '.join(details)}".rstrip()


def _of_change(change: Message, *, here: bool) -> list[str]:
    return [
        clean(f"{change['kind']} {change['what']}".strip()),
        f"by {actor(change['actor'], here=here)}",
        f"{change['over']} of {change['total']}",
    ]


def _wanted(event: Message) -> str:
    workers = many(event["workers"], "worker")
    return f"running, {workers}" if event["running"] else f"stopped; {workers} when it is started"
