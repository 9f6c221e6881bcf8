"""`pidsupctl stats`: what each slot uses."""

from __future__ import annotations

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.layout import table
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, put_as_asked
from pidsup.cli.ctl.words import duration, size
from pidsup.client import Client
from pidsup.control.protocol import Message

_HEADS = ["SLOT", "STATE", "PID", "UP", "PROCS", "THREADS", "CPU TIME", "MEM", "RESTARTS"]


def run(given: Given, client: Client) -> int:
    """Print a line per slot, and the totals."""
    answer = client.call("Stats", within_s=PATIENCE_S, selectors=given.selectors or None)
    put_as_asked(given, answer, lines)
    return OK


def lines(answer: Message, terminal: Terminal) -> list[str]:
    """Return the table."""
    rows = [_row(slot) for slot in answer["slots"]]
    every = [process for slot in answer["slots"] for process in slot["processes"]]
    total = ["total", "", "", "", *_sums(every), str(sum(s["restarts"] for s in answer["slots"]))]
    shown = table([*rows, total], _HEADS, right=_HEADS[2:])
    if terminal.columns is not None:
        shown = [terminal.cut(line, terminal.columns) for line in shown]
    return [terminal.paint("bold", shown[0]), *shown[1:]]


def _row(slot: Message) -> list[str]:
    processes = slot["processes"]
    return [
        slot["name"],
        slot["state"],
        str(processes[0]["pid"]) if processes else "",
        "" if slot["up_s"] is None else duration(slot["up_s"]),
        *_sums(processes),
        str(slot["restarts"]),
    ]


def _sums(processes: list[Message]) -> list[str]:
    return [
        str(len(processes)),
        str(sum(process["threads"] for process in processes)),
        duration(sum(process["cpu_s"] for process in processes)),
        size(sum(process["rss_bytes"] for process in processes)),
    ]
