"""One watcher or slot in detail, with what it has written last."""

from __future__ import annotations

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.layout import broken
from pidsup.cli.ctl.slots import Slots
from pidsup.cli.ctl.status import PATIENCE_S, socket_facts
from pidsup.cli.ctl.terminal import Terminal
from pidsup.cli.ctl.words import Times, clean, duration, how_it_ended, size
from pidsup.client import CallFailed, Client
from pidsup.control.protocol import Message

_LINES = 10


def of_one(
    answer: Message, client: Client, given: Given, terminal: Terminal, times: Times
) -> list[str]:
    """Return what shows the one watcher of the answer, or the one slot of it that is there."""
    watcher = answer["watchers"][0]
    slots = watcher["slots"]
    is_slot = len(slots) == 1 and watcher["workers"] != 1
    shown = _slot(slots[0], terminal, times) if is_slot else _watcher(answer, terminal, times)
    if "journal" in watcher.get("kept", {}).values():
        from pidsup.cli.ctl import last_words

        names = [slot["name"] for slot in slots]
        return shown + _printed(last_words.of_all(given, answer, names, _LINES), terminal)
    name = slots[0]["name"] if is_slot else watcher["name"]
    return shown + _output(name, client, terminal)


def _watcher(answer: Message, terminal: Terminal, times: Times) -> list[str]:
    watcher = answer["watchers"][0]
    ready = f"{watcher['ready']}/{watcher['workers']}"
    state = terminal.state(watcher["state"])
    wanted = "running" if watcher["running"] else "stopped"
    facts = [
        ("command", " ".join(map(_word, watcher["command"]))),
        ("wanted", f"{wanted}, {watcher['workers']} worker{'s' * (watcher['workers'] != 1)}"),
        *(
            ("socket", socket_facts(socket))
            for socket in answer.get("sockets", ())
            if socket["name"] in watcher.get("sockets", ())
        ),
    ]
    if watcher.get("generation"):
        facts.append(("generation", str(watcher["generation"])))
    slots = Slots(watcher["slots"], terminal, times)
    return [
        f"{terminal.paint('bold', watcher['name'])}  {state} {ready}",
        *_listed(facts, terminal),
        *slots.of(watcher, everyone=False),
    ]


def _word(word: str) -> str:
    """Quote a word of a command where it needs it."""
    word = clean(word)
    plain = word and all(c.isalnum() or c in "-_./:=,@%+{}" for c in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"


def _slot(slot: Message, terminal: Terminal, times: Times) -> list[str]:
    facts = [("wanted", "yes" if slot["wanted"] else "no")]
    facts.append(("since", times.ago(slot["for_s"])))
    if slot["reason"]:
        facts.append(("reason", clean(slot["reason"])))
    if slot["due_s"] is not None:
        what = "retry" if slot["state"] == "backoff" else "next step"
        facts.append((what, f"in {duration(slot['due_s'])}"))
    if slot["pid"] is not None:
        up = "" if slot["up_s"] is None else f", up {duration(slot['up_s'])}"
        facts.append(("worker", f"#{slot['serial']}, pid {slot['pid']}{up}"))
    if slot.get("generation"):
        facts.append(("generation", str(slot["generation"])))
    facts.append(("restarts", str(slot["restarts"])))
    if slot["last_exit"]:
        facts.append(("last exit", _exit(slot["last_exit"])))
    if slot.get("output_trouble"):
        facts.append(("output", clean(slot["output_trouble"])))
    if slot.get("dropped_bytes"):
        facts.append(("dropped", f"{size(slot['dropped_bytes'])} of output"))
    head = f"{terminal.paint('bold', slot['name'])}  {terminal.state(slot['state'])}"
    return [head, *_listed(facts, terminal)]


def _exit(last: Message) -> str:
    asked = ", as asked" if last["asked_for"] else ""
    return (
        f"{how_it_ended(last)}{asked}, after {duration(last['ran_s'])}, "
        f"cpu {duration(last['user_s'] + last['system_s'])}"
    )


def _listed(facts: list[tuple[str, str]], terminal: Terminal) -> list[str]:
    width = max(len(name) for name, _ in facts)
    shown = []
    for name, text in facts:
        room = None if terminal.columns is None else max(20, terminal.columns - width - 4)
        cut = name == "command" and room is not None  # of the rest the end counts, too
        lines = [terminal.cut(text, room)] if cut and room else broken(text, Terminal(room))
        shown.append(f"  {terminal.paint('dim', name.ljust(width))}  {lines[0]}")
        shown += [" " * (width + 4) + line for line in lines[1:]]
    return shown


def _output(name: str, client: Client, terminal: Terminal) -> list[str]:
    """Return the last lines it has written; [] where nobody tells."""
    try:
        answer = client.call("Logs", within_s=PATIENCE_S, selectors=[name], lines=_LINES)
    except CallFailed:
        return []
    return _printed(answer["lines"][-_LINES:], terminal)


def _printed(lines: list[Message], terminal: Terminal) -> list[str]:
    from pidsup.cli.ctl.logs import prefixed

    shown = [prefixed(line, terminal).decode(errors="replace") for line in lines]
    return ["", *shown] if shown else []
