"""`pidsupctl diff`, and `apply --dry-run`: what applying the configuration would change."""

from __future__ import annotations

import sys

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import FAILED, OK, USAGE
from pidsup.cli.ctl.terminal import Terminal, put_as_asked
from pidsup.cli.ctl.words import clean
from pidsup.client import Client
from pidsup.control.protocol import Message

_DIFFERENT = 1  # as diff(1) has it
_WITHIN_S = 90.0  # two readings may hang with a file system; the supervisor gives up before

#: Sign and style of a line, and what applying it takes, by section where that matters.
_SIGNS = {"add": ("+", "green"), "remove": ("-", "red"), "never": ("!", "red")}
_EFFECTS = {
    "live": "no restart",
    "restart": "restarts {name}",
    "reopen": "opens it anew, restarts who has it",
    "never": "cannot change while the supervisor runs",
}
_OF_WHOLE = {
    ("watchers", "add"): "new",
    ("watchers", "remove"): "stops",
    ("sockets", "add"): "opens",
    ("sockets", "remove"): "closes",
    ("sockets", "never"): "is systemd's: its unit says that, not the supervisor",
}


def run(given: Given, client: Client) -> int:
    """Print what differs; the exit code tells, as that of diff(1)."""
    answer = _ask(given, client)
    if answer["problems"]:
        return USAGE
    return _DIFFERENT if answer["differences"] else OK


def dry_run(given: Given, client: Client) -> int:
    """Print the same; the exit code tells whether it can be applied."""
    answer = _ask(given, client)
    never = any(each["takes"] == "never" for each in answer["differences"])
    return FAILED if answer["problems"] or never else OK


def _ask(given: Given, client: Client) -> Message:
    answer = client.call("Diff", within_s=_WITHIN_S)
    put_as_asked(given, answer, lines)
    for problem in answer["problems"]:
        print(clean(problem), file=sys.stderr)
    for warning in answer["warnings"]:
        print(f"warning: {clean(warning)}", file=sys.stderr)
    return answer


def lines(answer: Message, terminal: Terminal) -> list[str]:
    """Return a line per difference."""
    if answer["problems"]:
        return []
    return [_line(each, terminal) for each in answer["differences"]] or ["nothing differs"]


def _line(one: Message, terminal: Terminal) -> str:
    sign, style = _SIGNS.get(one["takes"], ("~", "yellow"))
    key = ".".join(filter(None, (one["section"], one["name"], one["option"])))
    effect = _OF_WHOLE.get((one["section"], one["takes"])) or _EFFECTS[one["takes"]]
    words = terminal.paint("dim", f"  ({effect.format(name=one['name'])})")
    return f"{terminal.paint(style, sign)} {terminal.paint('bold', key)}: {_values(one)}{words}"


def _values(one: Message) -> str:
    shown = [None if value is None else clean(value) for value in (one["old"], one["new"])]
    if not one["option"]:
        return next(filter(None, shown), "")
    old, new = ("nothing" if value is None else value for value in shown)
    return f"{old} -> {new}"
