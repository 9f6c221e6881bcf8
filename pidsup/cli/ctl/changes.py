"""`pidsupctl changes`: who asked for what, and what became of it."""

from __future__ import annotations

import time

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_SUCH_NAME, OK, Complaint
from pidsup.cli.ctl.layout import table
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import STATES, Terminal, put, put_json, standard_output
from pidsup.cli.ctl.words import Times, actor, clean, duration
from pidsup.client import CallFailed, Client
from pidsup.control.protocol import Message

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Any

_HEADS = ["ID", "STATE", "WHAT", "BY", "WHEN", "TOOK", "SLOTS"]


def run(given: Given, client: Client) -> int:
    """Print the latest, or those with the ids."""
    try:
        answer = client.call("Changes", within_s=PATIENCE_S, **_asked(given))
    except CallFailed as error:
        if error.name != "Invalid" or error.parameters.get("field") != "ids":
            raise
        raise Complaint(
            f"{error.parameters['why']}; pidsupctl changes lists them", NO_SUCH_NAME
        ) from error
    if given.output == "json":
        put_json(answer)
        return OK
    terminal, times = standard_output(given.color), Times(given)
    here = not given.host
    if given.ids:
        for change in answer["changes"]:
            put(in_detail(change, terminal, times, here=here))
    else:
        put(as_table(answer["changes"], terminal, times, here=here) or ["no changes yet"])
    return OK


def _asked(given: Given) -> dict[str, Any]:
    return {"ids": given.ids} if given.ids else {"limit": given.limit}


def as_table(changes: list[Message], terminal: Terminal, times: Times, *, here: bool) -> list[str]:
    """Return a line per change, below a line of heads; [] without any."""
    if not changes:
        return []
    rows = [_row(change, times, here=here) for change in changes]
    lines = table(rows, _HEADS, right=("ID", "TOOK", "SLOTS"))
    shown = [terminal.paint("bold", lines[0])]
    for change, line in zip(changes, lines[1:], strict=True):
        cut = line if terminal.columns is None else terminal.cut(line, terminal.columns)
        state = change["state"]
        shown.append(cut.replace(state, terminal.paint(STATES.get(state, ""), state), 1))
    return shown


def _row(change: Message, times: Times, *, here: bool) -> list[str]:
    return [
        change["id"],
        change["state"],
        clean(f"{change['kind']} {change['what']}".strip()),
        actor(change["actor"], here=here),
        times.at(change["asked_at"]),
        took(change),
        f"{change['over']}/{change['total']}",
    ]


def took(change: Message) -> str:
    """Word how long a change took, or has been under way."""
    end = time.time() if change["ended_at"] is None else change["ended_at"]
    return duration(max(0.0, end - change["asked_at"]))


def in_detail(change: Message, terminal: Terminal, times: Times, *, here: bool) -> list[str]:
    """Return the lines of one change with its tasks."""
    what = clean(f"{change['kind']} {change['what']}".strip())
    verb = "under way for" if change["ended_at"] is None else "took"
    who = actor(change["actor"], here=here)
    asked = f"  asked by {who}, pid {change['actor']['pid']}, {times.at(change['asked_at'])}"
    lines = [
        f"change {change['id']}: {terminal.paint('bold', what)}  {terminal.state(change['state'])}",
        f"{asked}; {verb} {took(change)}",
        f"  {change['over']} of {change['total']} slots are over",
    ]
    lines += [f"  {clean(problem)}" for problem in change.get("problems", ())]
    names = max((len(task["slot"]) for task in change["tasks"]), default=0)
    for task in change["tasks"]:
        state = terminal.state(task["state"], 10)
        lines.append(f"  {task['slot']:{names}}  {state}  {clean(task['reason'])}".rstrip())
    hidden = change["total"] - len(change["tasks"])
    if hidden > 0 and change["tasks"]:
        lines.append(f"  and {hidden} more")
    return lines
