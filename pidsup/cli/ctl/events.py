"""`pidsupctl events`: what happens, as it happens."""

from __future__ import annotations

import json

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.reader import end_with_reader
from pidsup.cli.ctl.terminal import Terminal, standard_output
from pidsup.cli.ctl.words import Times, actor, clean, many
from pidsup.client import Client
from pidsup.control.protocol import Message


def run(given: Given, client: Client) -> int:
    """Print until the supervisor ends, or somebody interrupts."""
    terminal, times = standard_output(given.color), Times(given)
    here = not given.host
    end_with_reader()
    asked = {"selectors": given.selectors or None, "cursor": given.cursor}
    for answer in client.stream("Events", **asked):
        if given.output == "json":
            print(json.dumps(answer), flush=True)
        else:
            for line in worded(answer, terminal, times, here=here):
                print(line, flush=True)
    return OK


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
    change = event["change"]
    subject = event["subject"]
    details: list[str] = []
    if event["kind"] == "change":
        subject = f"change {subject}"
        if change is not None:
            what = f"{change['kind']} {change['what']}".strip()
            details.append(clean(what))
            details.append(f"by {actor(change['actor'], here=here)}")
            details.append(f"{change['over']} of {change['total']}")
    if event["pid"] is not None:
        details.append(f"pid {event['pid']}")
    if event["reason"]:
        details.append(clean(event["reason"]))
    if event["workers"] is not None:
        details.append(many(event["workers"], "worker") + " wanted")
    if event["running"] is False:
        details.append("to be stopped")
    state = terminal.state(event["state"], 10)
    text = f"{times.clock(event['at'])}  {subject:14}  {state}  {'  '.join(details)}"
    return text.rstrip()
