"""`pidsupctl completion`, and `pidsupctl _complete`, by which the shells ask what to offer.

Asked at each press of a key: without argparse, and a supervisor that is slow offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from pidsup.cli.ctl.arguments import Given, options_of
from pidsup.cli.ctl.commands import COMMANDS, LEADING, Argument, Command, Option, find
from pidsup.cli.ctl.leading import split
from pidsup.cli.ctl.words import clean

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from pidsup.control.protocol import Message

#: A word, and what it means.
Offer = tuple[str, str]

#: That of zsh is for both programs; the others look for one by the name of each.
SCRIPTS = {
    "bash": ("pidsupctl", "pidsup"),
    "zsh": ("_pidsupctl",),
    "fish": ("pidsupctl.fish", "pidsup.fish"),
}
_WITHIN_S = 1.0
_HELP = Option("-h --help", "explain it and exit")
_VERSION = Option("--version", "show the version and exit")
#: What the shells know better: printed alone, the script takes its own.
_THE_SHELLS = {"file": ":files", "command": ":commands", "host": ":hosts"}


def run(given: Given) -> int:
    """Print the scripts for a shell."""
    for script in SCRIPTS[given.shell]:
        path = f"{os.path.dirname(__file__)}/shells/{script}"
        with open(path, encoding="utf-8") as file:
            print(file.read(), end="")
    return 0


def complete(words: Sequence[str]) -> int:
    """Print what fits: the shell first, then the words of the line up to the cursor.

    For bash the line itself and the word that it completes, which begins behind a colon.
    """
    shell, *line = words
    cut = 0
    if shell == "bash":
        text, word = line
        line = _words(text)
        cut = len(line[-1]) - len(word) if line[-1].endswith(word) else 0
    current = line[-1]
    for word, meaning in _offers_of(line[0])(line[1:-1], current):
        if word.startswith(":"):
            print(word)
        elif word.startswith(current):
            print(_formatted(shell, word, clean(meaning), cut))
    return 0


def _offers_of(program: str) -> Callable[[Sequence[str], str], Iterable[Offer]]:
    if os.path.basename(program) != "pidsup":
        return offers
    from pidsup.cli.ctl import completion_pidsup

    return completion_pidsup.offers


def _words(text: str) -> list[str]:
    """Split a line as a shell does; the last word may be unfinished, or empty."""
    from shlex import split as split_line

    for closed in (text, text + "'", text + '"'):
        try:
            words = split_line(closed)
        except ValueError:  # within quotes
            continue
        return [*words, ""] if closed[-1:].isspace() else words
    return ["", ""]


def _formatted(shell: str, word: str, meaning: str, cut: int) -> str:
    if shell == "bash":
        return word[cut:]
    if shell == "zsh":
        return f"{word.replace(':', chr(92) + ':')}:{meaning}"
    return f"{word}\t{meaning}"


# --- what fits


def offers(before: Sequence[str], current: str) -> Iterable[Offer]:
    """Return what can stand behind the words *before*; *current* has been typed so far."""
    leading, rest = split(before)
    ask = _Asking(leading)
    command = find(rest[0]) if rest else None
    options = _flags([(o, o.flags) for o in (*LEADING, _VERSION)])
    if command is not None:
        options = _flags(options_of(command))
    waiting = options.get(rest[-1]) if rest else None
    if waiting is not None and waiting.takes_value:
        return ask.values(waiting.kind, waiting.choices, current)
    flag, equals, typed = current.partition("=")
    if equals and (option := options.get(flag)) is not None:
        values = ask.values(option.kind, option.choices, typed)
        return [(f"{flag}={word}", meaning) for word, meaning in values]
    if current.startswith("-") and current != "-1":
        return [(flag, option.text) for flag, option in options.items()]
    if command is None:
        return _commands() if not rest else []
    argument = _argument(command, _places(rest[1:], options))
    return [] if argument is None else ask.values(argument.kind, argument.choices, current)


def _commands() -> list[Offer]:
    return [(command.name, command.text) for command in COMMANDS.values() if not command.hidden]


def _flags(options: Iterable[tuple[Option, Sequence[str]]]) -> dict[str, Option]:
    """Return the options by their flags."""
    return {flag: option for option, flags in (*options, (_HELP, _HELP.flags)) for flag in flags}


def _places(words: Sequence[str], options: dict[str, Option]) -> int:
    """Count the words that are neither options nor their values."""
    count, is_value = 0, False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-"):
            is_value = word in options and options[word].takes_value
        else:
            count += 1
    return count


def _argument(command: Command, place: int) -> Argument | None:
    """Return the argument that stands at a place; an open end goes on."""
    arguments = command.arguments
    for at, argument in enumerate(arguments):
        if argument.many in ("*", "+", "...") and at == len(arguments) - 1:
            return argument
        if at == place:
            return argument
    if arguments and arguments[0].many == "+":  # WATCHER... COUNT: names, and then a number
        return Argument("", "", "watcher-or-count")
    return None


class _Asking:
    """Offers values of a kind; asks the supervisor that was named for those that live there."""

    def __init__(self, leading: Sequence[str]) -> None:
        """Take the global options."""
        self._given = dict(word[2:].split("=", 1) for word in leading)

    def values(self, kind: str, choices: Sequence[str], current: str) -> Iterable[Offer]:
        """Return what there is."""
        if choices:
            return [(choice, "") for choice in choices]
        if kind in _THE_SHELLS:
            return [(_THE_SHELLS[kind], "")]
        offer = OFFERS.get(kind)
        if offer is None:
            return [(word, "") for word in _FEW.get(kind, "").split()]
        return offer(self, current)

    def selectors(self, current: str) -> list[Offer]:
        """Offer watchers, and slots once it is clear of which."""
        watchers = self._call("Status", "watchers")
        chosen = current.partition(":")[0]
        slots = [slot for w in watchers if w["name"] == chosen for slot in w["slots"]]
        names = [_described(watcher) for watcher in watchers]
        return names + [(slot["name"], slot["state"]) for slot in slots]

    def watchers(self, current: str) -> list[Offer]:
        """Offer watchers alone."""
        return [_described(watcher) for watcher in self._call("Status", "watchers")]

    def watchers_or_count(self, current: str) -> list[Offer]:
        """Offer what `scale` takes behind its first watcher."""
        return [*self.watchers(current), ("+1", "one more"), ("-1", "one less")]

    def changes(self, current: str) -> list[Offer]:
        """Offer the latest changes."""
        return [
            (change["id"], f"{change['kind']} {change['what']}, {change['state']}")
            for change in self._call("Changes", "changes")
        ]

    def signals(self, current: str) -> list[Offer]:
        """Offer all there are, with SIG if it is typed."""
        from signal import Signals

        start = "SIG" if current.startswith("SIG") else ""
        return [(start + signal.name.removeprefix("SIG"), str(signal.value)) for signal in Signals]

    def supervisors(self, current: str) -> list[Offer]:
        """Offer names, of other users' too."""
        from pidsup.cli.ctl.reach import of_others, whose
        from pidsup.control.paths import names

        others = [(name, f"of {whose(uid)}") for name, _, uid in of_others()]
        return [*((name, "") for name in names()), *others]

    def topics(self, current: str) -> list[Offer]:
        """Offer commands."""
        return _commands()

    def _call(self, method: str, field: str) -> list[Message]:
        """Ask; nothing where nobody answers at once."""
        from pidsup.cli.ctl.reach import reach
        from pidsup.errors import PidsupError

        if "host" in self._given:  # ssh is slow, and may ask for a password
            return []
        given = Given(
            host=None,
            name=self._given.get("name") or os.environ.get("PIDSUP_NAME") or None,
            socket=self._given.get("socket"),
        )
        try:
            with reach(given) as client:
                found = client.call(method, within_s=_WITHIN_S)
        except (PidsupError, OSError):
            return []
        return list(found[field])


def _described(watcher: Message) -> Offer:
    return watcher["name"], f"{watcher['state']} {watcher['ready']}/{watcher['workers']}"


#: Kind of an argument or option -> what offers its values.
OFFERS: dict[str, Callable[[_Asking, str], list[Offer]]] = {
    "selector": _Asking.selectors,
    "watcher": _Asking.watchers,
    "watcher-or-count": _Asking.watchers_or_count,
    "change": _Asking.changes,
    "signal": _Asking.signals,
    "name": _Asking.supervisors,
    "topic": _Asking.topics,
}
#: ... and a few where any would do.
_FEW = {
    "duration": "5s 30s 2min",
    "since": "10min 1h 1d today yesterday",
    "lines": "10 100 all",
    "output": "table json",
    "count": "+1 -1",
}
