"""`pidsupctl status`: a line per watcher, one per slot, and the changes under way."""

from __future__ import annotations

import sys

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NOT_AS_WANTED, OK
from pidsup.cli.ctl.layout import Fact, beside, flow, name_columns
from pidsup.cli.ctl.slots import Slots, is_as_wanted
from pidsup.cli.ctl.terminal import Terminal, put, put_json, standard_output
from pidsup.cli.ctl.words import Times, actor, clean, duration
from pidsup.client import CallFailed, Client
from pidsup.control.protocol import Message

PATIENCE_S = 5.0  #: for an answer that is due at once


def run(given: Given, client: Client) -> int:
    """Ask, print, and tell by the exit code whether all is as wanted."""
    selectors = given.selectors
    answer = client.call(
        "Status", when_slow=_slow, within_s=PATIENCE_S, selectors=selectors or None
    )
    if given.quiet:
        pass
    elif given.output == "json":
        put_json(answer)
    else:
        if answer.get("journal"):
            from pidsup.cli.ctl import last_words

            last_words.add(given, answer)
        terminal, times = standard_output(given.color), Times(given)
        if given.output == "table" and not given.all and names_one(selectors, answer):
            from pidsup.cli.ctl.detail import of_one

            put(of_one(answer, client, given, terminal, times))
        else:
            use = used_by_slot(client, selectors) if given.output == "wide" else None
            wide = given.output == "wide"
            put(lines(answer, terminal, times, use=use, everyone=given.all or wide, wide=wide))
        put(changes(answer, here=not given.host))
    return OK if as_wanted(answer) else NOT_AS_WANTED


def _slow() -> None:
    print("the supervisor does not answer yet, waiting", file=sys.stderr)


def names_one(selectors: list[str], answer: Message) -> bool:
    """Tell whether one thing was asked for by its name."""
    return (
        len(selectors) == 1
        and len(answer["watchers"]) == 1
        and not any(mark in selectors[0] for mark in "*?[")
    )


def as_wanted(status: Message) -> bool:
    """Tell whether each slot is up or down as it should be, and none was given up."""
    return all(
        is_as_wanted(slot) for watcher in status["watchers"] for slot in watcher["slots"]
    ) and not any(watcher["state"] == "failed" for watcher in status["watchers"])


def used_by_slot(client: Client, selectors: list[str]) -> dict[str, tuple[float, int]]:
    """Return seconds of processor time and bytes of memory by slot; {} if nobody tells."""
    try:
        stats = client.call("Stats", within_s=PATIENCE_S, selectors=selectors or None)
    except CallFailed:
        return {}
    return {
        slot["name"]: (
            sum(process["cpu_s"] for process in slot["processes"]),
            sum(process["rss_bytes"] for process in slot["processes"]),
        )
        for slot in stats["slots"]
    }


# --- printing


def lines(
    answer: Message,
    terminal: Terminal,
    times: Times,
    *,
    use: dict[str, tuple[float, int]] | None = None,
    everyone: bool = False,
    wide: bool = False,
) -> list[str]:
    """Return what shows type Status."""
    watchers = answer["watchers"]
    shown = supervisor(answer, terminal) if wide else []
    alone = [_is_alone(watcher) and not wide for watcher in watchers]
    names = name_columns(_widths(watchers, alone), terminal)
    every = [slot for watcher in watchers for slot in watcher["slots"]]
    below = Slots(every, terminal, times, use=use, names=names - 2)
    beside = Slots(every, terminal, times, use=use, indent=0, names=names)
    sockets = {socket["name"]: socket for socket in answer.get("sockets", ())}
    for watcher, is_alone in zip(watchers, alone, strict=True):
        facts = _sockets(watcher, sockets)
        if is_alone:
            shown += beside.line(watcher["slots"][0], watcher["name"], facts)
        else:
            shown += _head(watcher, facts, terminal, names)
            shown += below.of(watcher, everyone=everyone)
    if not watchers:
        shown.append("no watchers")
    if answer["state"] == "stopping":
        shown.append(terminal.paint("yellow", "the supervisor is shutting down"))
    return shown


def _is_alone(watcher: Message) -> bool:
    """Tell whether a watcher has one slot and wants no more: they share a line."""
    slots = watcher["slots"]
    if watcher["state"] == "listening":
        return False
    return len(slots) == 1 and watcher["workers"] == 1 and slots[0]["name"].endswith(":0")


def _widths(watchers: list[Message], alone: list[bool]) -> list[int]:
    """Return the columns of each name: those of slots stand two to the right."""
    columns = [len(watcher["name"]) for watcher in watchers]
    for watcher, is_alone in zip(watchers, alone, strict=True):
        if not is_alone:
            columns += [len(slot["name"]) + 2 for slot in watcher["slots"]]
    return columns


def _head(watcher: Message, facts: list[Fact], terminal: Terminal, columns: int) -> list[str]:
    before, name = beside(watcher["name"], columns, terminal, style="bold")
    ready = f"{watcher['ready']}/{watcher['workers']}"
    start = f"{name}  {terminal.state(watcher['state'])} {ready}"
    width = columns + 3 + len(watcher["state"]) + len(ready)
    return [*before, *flow(start, width, facts, terminal)]


def _sockets(watcher: Message, sockets: dict[str, Message]) -> list[Fact]:
    names = watcher.get("sockets", ())
    return [("", socket_facts(sockets[name])) for name in names if name in sockets]


def socket_facts(socket: Message) -> str:
    """Word type Socket: http=127.0.0.1:8080 from systemd queue 3/4096."""
    text = f"{socket['name']}={clean(socket['address'])}"
    if socket.get("systemd") is not None:
        text += " from systemd"
    if socket["queued"] is not None and socket["type"] != "datagram":
        text += f" queue {socket['queued']}/{socket['backlog']}"
    elif socket["queued"]:
        text += f" queue {socket['queued']} bytes"
    return text


def supervisor(answer: Message, terminal: Terminal) -> list[str]:
    """Return the line of the supervisor itself."""
    facts = [
        ("", f"pid {answer['pid']}"),
        ("", f"up {duration(answer['up_s'])}"),
        ("", f"pidsup {answer['version']}"),
        ("", f"your role {answer.get('role', '?')}"),
        *(("", file) for file in answer.get("files", ())),
    ]
    return flow(terminal.paint("bold", answer["name"]), len(answer["name"]), facts, terminal)


def changes(answer: Message, *, here: bool) -> list[str]:
    """Return a line per change that is under way."""
    shown = []
    for change in answer["changes"]:
        total = change.get("total", len(change["tasks"]))
        over = change.get("over", sum(task["state"] != "doing" for task in change["tasks"]))
        what = f"{change['kind']} {change.get('what', '')}".rstrip()
        who = actor(change["actor"], here=here)
        shown.append(
            f"change {change['id']} under way: {clean(what)} by {who}, {over} of {total} done"
        )
    return shown
