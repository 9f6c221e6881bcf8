"""From the table of commands to what was asked for.

Straight from the table: argparse would take a sixth of the time of `pidsupctl status`.  It
is asked when help is wanted, or something is not as the table has it: it words that best.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pidsup.cli.ctl.commands import GLOBAL, Argument, Command, Option, find
from pidsup.cli.ctl.endings import USAGE, Complaint
from pidsup.cli.ctl.leading import split

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Any


class Given:
    """What was asked for: an attribute per argument and option; `does` is the command."""

    does: Command

    def __init__(self, **values: object) -> None:
        """Begin with these."""
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the value of an argument or option."""

        def __setattr__(self, name: str, value: object) -> None:
            """Replace it."""


class _NotSo(Exception):
    """It is not as the table has it."""


def parse(words: Sequence[str]) -> Given:
    """Return what was asked for; ends the program for help, and where something is wrong."""
    try:
        given = parse_quickly(words)
    except (_NotSo, ValueError):
        from pidsup.cli.ctl.usage import parse_slowly

        given = parse_slowly(words)
    for place in ("host", "name", "socket"):
        if getattr(given, place) == "":  # of a variable that is not set: it must not mean another
            raise Complaint(f"--{place} must not be empty", USAGE)
    given.name = given.name or os.environ.get("PIDSUP_NAME") or None
    return given


def parse_quickly(words: Sequence[str]) -> Given:
    """Return what was asked for; an exception when the table alone does not say it."""
    before, rest = split(words)
    command = find(rest[0]) if rest else None
    if command is None:
        raise _NotSo
    given = Given(does=command)
    _read(command, [*before, *rest[1:]], given)
    return given


def options_of(command: Command) -> list[tuple[Option, list[str]]]:
    """Return its options, -o and the global ones among them, each with its flags.

    A short flag that the command has itself is not the global one there.
    """
    own = list(command.options)
    if command.outputs:
        text, outputs = "how it is printed", command.outputs
        own.append(Option("-o --output", text, choices=outputs, default=outputs[0]))
    taken = {flag for option in own for flag in option.flags}
    return [
        *((option, option.flags) for option in own),
        *((option, [flag for flag in option.flags if flag not in taken]) for option in GLOBAL),
    ]


def dest_of(thing: Argument | Option) -> str:
    """Return the attribute that an argument or option becomes."""
    if isinstance(thing, Option):
        return thing.flags[-1].lstrip("-").replace("-", "_")
    return thing.name.lower() + ("s" if thing.many in ("*", "+") else "")


def value_of(thing: Argument | Option, word: str) -> object:
    """Return the value that a word means; ValueError when it means none."""
    if thing.kind:
        from pidsup.cli.ctl.values import KINDS

        if thing.kind in KINDS:
            return KINDS[thing.kind](word)
    if thing.choices and word not in thing.choices:
        raise ValueError(word)
    return word


def may_be_value(option: Option, word: str) -> bool:
    """Tell whether a word is no option where a value is due: a time may be -1h."""
    return not word.startswith("-") or (option.kind == "since" and word[1:2].isdecimal())


def split_passed(command: Command, words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words that are ours, and those behind -- that go to another program."""
    if not command.passes_on or "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _read(command: Command, words: list[str], given: Given) -> None:
    by_flag: dict[str, Option] = {}
    for option, flags in options_of(command):
        setattr(given, dest_of(option), option.default if option.takes_value else False)
        by_flag.update(dict.fromkeys(flags, option))
    words, given.passed = split_passed(command, words)
    all_else = any(argument.many == "..." for argument in command.arguments)
    places: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if all_else and len(places) == len(command.arguments) - 1:
            places += words[at + (word == "--") :]
            break
        if word.startswith("-") and not word[1:].isdecimal() and word != "-":
            at += _read_option(by_flag, words[at:], given)
        else:
            places.append(word)
            at += 1
    _place(command.arguments, places, given)


def _read_option(by_flag: dict[str, Option], words: list[str], given: Given) -> int:
    """Read the option that comes next; return how many words it took."""
    flag, equals, value = words[0].partition("=")
    took = 1
    if flag not in by_flag and flag[:2] in by_flag and flag[1] != "-":  # -n10
        flag, equals, value = words[0][:2], "=", words[0][2:]
    option = by_flag.get(flag)
    if option is None or (equals and not option.takes_value):
        raise _NotSo
    if not option.takes_value:
        setattr(given, dest_of(option), True)
        return took
    if not equals:
        took = 2
        if len(words) < 2 or not may_be_value(option, words[1]):
            raise _NotSo
        value = words[1]
    read = value_of(option, value)
    if option.kind == "variable":
        read = [*(getattr(given, dest_of(option)) or ()), read]
    setattr(given, dest_of(option), read)
    return took


def _place(arguments: Sequence[Argument], words: list[str], given: Given) -> None:
    """Share out what is told by its place; what may be many takes what others leave."""
    left = list(words)
    for number, argument in enumerate(arguments):
        behind = sum(a.many in ("", "+") for a in arguments[number + 1 :])
        mine = left[: len(left) - behind] if argument.many in ("*", "+", "...") else left[:1]
        if not mine and argument.many in ("", "+"):
            raise _NotSo
        del left[: len(mine)]
        values = [value_of(argument, word) for word in mine]
        one = argument.many in ("", "?")
        setattr(given, dest_of(argument), (values or [None])[0] if one else values)
    if left:
        raise _NotSo
