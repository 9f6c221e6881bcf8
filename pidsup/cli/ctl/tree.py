"""`pidsupctl tree`: the processes of each slot, drawn as pstree(1) does."""

from __future__ import annotations

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, put_as_asked
from pidsup.cli.ctl.words import clean, size
from pidsup.client import Client
from pidsup.control.protocol import Message

#: Before a child that others follow, the last, and below each.
_DRAWN = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def run(given: Given, client: Client) -> int:
    """Print the tree of each selected slot."""
    answer = client.call("Stats", within_s=PATIENCE_S, selectors=given.selectors or None)
    put_as_asked(given, answer, lines)
    return OK


def lines(answer: Message, terminal: Terminal) -> list[str]:
    """Return a line per slot, and below it one per process."""
    shown: list[str] = []
    for slot in answer["slots"]:
        state = terminal.state(slot["state"])
        shown.append(f"{terminal.paint('bold', slot['name'])}  {state}")
        known = {process["pid"] for process in slot["processes"]}
        below: dict[int, list[Message]] = {}
        for process in slot["processes"]:
            parent = process["ppid"] if process["ppid"] in known else 0
            below.setdefault(parent, []).append(process)
        shown += _below(0, "", below, terminal)
    return shown or ["no slots"]


def _below(
    parent: int, indent: str, below: dict[int, list[Message]], terminal: Terminal
) -> list[str]:
    middle, last, on, off = _DRAWN if terminal.unicode else _ASCII
    children = below.get(parent, [])
    shown = []
    for number, process in enumerate(children, 1):
        is_last = number == len(children)
        shown.append(_line(indent + (last if is_last else middle), process, terminal))
        shown += _below(process["pid"], indent + (off if is_last else on), below, terminal)
    return shown


def _line(drawn: str, process: Message, terminal: Terminal) -> str:
    command = clean(" ".join(process["command"]) or f"[{process['name']}]")
    threads = f", {process['threads']} threads" if process["threads"] > 1 else ""
    facts = f"  ({process['user']}, {process['state']}, {size(process['rss_bytes'])}{threads})"
    start = f"{drawn}{process['pid']} "
    if terminal.columns is not None:
        command = terminal.cut(command, max(12, terminal.columns - len(start) - len(facts)))
    return start + command + terminal.paint("dim", facts)
