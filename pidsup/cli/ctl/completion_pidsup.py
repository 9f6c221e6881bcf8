"""What the shells offer for `pidsup`, from the parsers that it has."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence

from pidsup.cli.check import parser as pidsup_parser

#: By the metavar of an argument or option; the shells know files better.
_VALUES = {"FILE": ":toml", "DIR": ":files", "CMD": ":commands"}


def subparsers(top: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the commands."""
    for action in top._actions:  # noqa: SLF001  argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return action.choices
    return {}


def offers(before: Sequence[str], current: str) -> Iterable[tuple[str, str]]:
    """Return what can stand behind the words *before*, as completion.offers."""
    parser = pidsup_parser()
    if before:
        chosen = subparsers(parser).get(before[0])
        if chosen is None:
            return []
        parser = _of_exec() if before[0] == "exec" else chosen
    elif not current.startswith("-"):
        return _commands(parser)
    actions = parser._actions  # noqa: SLF001  argparse has no other way
    options = {flag: action for action in actions for flag in action.option_strings}
    given = {options[word] for word in before if word in options}
    places = [
        one for one in actions if not one.option_strings and not _excluded(parser, one, given)
    ]
    waiting = options.get(before[-1]) if len(before) > 1 else None
    if waiting is not None and waiting.nargs != 0:
        return _value(waiting)
    count = _places(before[1:], options)
    if count == 0 and current.startswith("-"):
        return [(flag, str(action.help)) for flag, action in options.items()]
    if places and places[-1].nargs == "*":
        count = min(count, len(places) - 1)
    if count >= len(places):
        is_open = bool(places) and places[-1].nargs == argparse.REMAINDER
        return [(":files", "")] if is_open else []
    return _value(places[count])


def _commands(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    for action in parser._actions:  # noqa: SLF001  argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return [(one.dest, str(one.help)) for one in action._get_subactions()]  # noqa: SLF001
    return []


def _of_exec() -> argparse.ArgumentParser:
    from pidsup.cli.exec import add_arguments  # the manual is made before there is an extension

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser


def _excluded(
    parser: argparse.ArgumentParser, place: argparse.Action, given: set[argparse.Action]
) -> bool:
    """Tell whether an option has said what a place would say."""
    groups = [
        group._group_actions  # noqa: SLF001  argparse has no other way
        for group in parser._mutually_exclusive_groups  # noqa: SLF001  as above
    ]
    return any(place in group and not given.isdisjoint(group) for group in groups)


def _value(action: argparse.Action) -> list[tuple[str, str]]:
    offered = _VALUES.get(str(action.metavar))
    return [] if offered is None else [(offered, "")]


def _places(words: Sequence[str], options: Mapping[str, argparse.Action]) -> int:
    """Count the words that are neither options nor their values."""
    count, is_value = 0, False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-") and not count:
            is_value = word in options and options[word].nargs != 0
        else:
            count += 1
    return count
