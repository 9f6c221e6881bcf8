"""From the table of commands to what was asked for.

A parser takes half a millisecond and more to make, so only that of the command in question
is made: what stands before the command is understood without one.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

from pidsup.cli.ctl.commands import (
    ABOUT_SELECTORS,
    COMMANDS,
    EXIT_CODES,
    GLOBAL,
    Argument,
    Command,
    Option,
    find,
)
from pidsup.cli.ctl.leading import split

ALL = 1 << 31  #: as a number of lines


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; `does` is the command.  Ends the program where they are wrong."""
    before, rest = split(words)
    command = find(rest[0]) if rest else None
    if command is None:
        raise _top(rest)
    parser = parser_of(command)
    given = parser.parse_args([*before, *rest[1:]])
    given.does = command
    given.name = given.name or os.environ.get("PIDSUP_NAME") or None
    return given


def _top(words: Sequence[str]) -> SystemExit:
    """End the program with the help, the version, or what is wrong."""
    parser = argparse.ArgumentParser(
        prog="pidsupctl",
        formatter_class=formatter,
        description="Steer a running pidsup supervisor.",
        epilog=f"commands:\n{list_of_commands()}\n{ABOUT_SELECTORS}\n\nexit codes:\n{_codes()}",
        allow_abbrev=False,
    )
    for option in GLOBAL:
        _add_option(parser, option, option.flags)
    parser.add_argument("--version", action=_Version)
    parser.add_argument("command", metavar="COMMAND", help="see below", type=_known)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="COMMAND -h explains them")
    parser.parse_args(words)
    return SystemExit(2)


def _known(word: str) -> str:
    from difflib import get_close_matches

    if find(word) is not None:  # what is wrong stands before it
        return word
    near = get_close_matches(word, COMMANDS, 1)
    hint = f", did you mean {near[0]!r}?" if near else "; pidsupctl -h lists them"
    raise argparse.ArgumentTypeError(f"there is no command {word!r}{hint}")


def list_of_commands() -> str:
    """Return a line per command."""
    return "".join(f"  {c.name:11} {c.text}\n" for c in COMMANDS.values() if not c.hidden)


def _codes() -> str:
    return "".join(f"  {code:<4}{text}\n" for code, text in EXIT_CODES.items())


class _Version(argparse.Action):
    """Print the version; found out only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pidsup import __version__

        print(f"pidsupctl {__version__}")
        parser.exit()


def formatter(prog: str) -> argparse.HelpFormatter:
    """Make a formatter; one that looks for the width itself imports shutil, 3 ms."""
    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(40, width - 2))


def parser_of(command: Command) -> argparse.ArgumentParser:
    """Make the parser of one command, and of the global options."""
    parser = argparse.ArgumentParser(
        prog=f"pidsupctl {command.name}",
        formatter_class=formatter,
        description=_description(command),
        epilog=_examples(command),
        allow_abbrev=False,
    )
    for argument in command.arguments:
        _add_argument(parser, argument)
    if command.outputs:
        parser.add_argument(
            "-o",
            "--output",
            choices=command.outputs,
            default=command.outputs[0],
            help=f"default: {command.outputs[0]}",
        )
    own = {flag for option in command.options for flag in option.flags}
    for option in command.options:
        _add_option(parser, option, option.flags)
    for option in GLOBAL:  # as a rule they stand before the command, and so does their help
        flags = [flag for flag in option.flags if flag not in own]
        _add_option(parser, option, flags, shown=False)
    return parser


def dest_of(argument: Argument) -> str:
    """Return the attribute that an argument becomes."""
    return argument.name.lower() + ("s" if argument.many in ("*", "+") else "")


def _add_argument(parser: argparse.ArgumentParser, argument: Argument) -> None:
    more: dict[str, object] = {}
    if argument.many:
        more["nargs"] = argparse.REMAINDER if argument.many == "..." else argument.many
    if argument.choices:
        more["choices"] = argument.choices
    if argument.kind in KINDS:
        more["type"] = KINDS[argument.kind]
    parser.add_argument(
        dest_of(argument),
        metavar=argument.name,
        help=argument.text,
        **more,  # type: ignore[arg-type]  # each as argparse wants it
    )


def _add_option(
    parser: argparse.ArgumentParser, option: Option, flags: Sequence[str], *, shown: bool = True
) -> None:
    text = option.text if shown else argparse.SUPPRESS
    if not option.takes_value:
        parser.add_argument(*flags, action="store_true", help=text)
        return
    parser.add_argument(
        *flags,
        metavar=option.value or None,
        choices=option.choices or None,
        default=option.default,
        type=KINDS.get(option.kind, str),
        action="append" if option.kind == "variable" else "store",
        help=text,
    )


def _description(command: Command) -> str:
    parts = [f"{command.text[0].upper()}{command.text[1:]}."]
    if command.more:
        parts.append(_wrapped(command.more))
    return "\n\n".join(parts)


def _wrapped(text: str, width: int = 78) -> str:
    """Break lines; textwrap would be imported by argparse only for the help, and so here."""
    from textwrap import fill

    return fill(" ".join(text.split()), width)


def _examples(command: Command) -> str:
    lines = [f"  {line}{f'   # {what}' if what else ''}" for line, what in command.examples]
    if command.aliases:
        lines.append(f"\nalso called: {', '.join(command.aliases)}")
    lines.append("\npidsupctl -h has the options of all commands: -n, --socket, -H, --color")
    return ("examples:\n" if command.examples else "") + "\n".join(lines).lstrip("\n")


# --- kinds of values


def _duration(text: str) -> float:
    from pidsup.config.quantities import duration

    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error


def _count(text: str) -> str:
    if not text.lstrip("+-").isdecimal() or len(text) - len(text.lstrip("+-")) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, or +N, or -N")
    return text


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number")
    return int(text)


def _lines(text: str) -> int:
    return ALL if text == "all" else _number(text)


def _signal(text: str) -> str:
    return text.removeprefix("-")  # as kill(1) takes it: -9


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE")
    return name, value


def _since(text: str) -> float:
    """Return seconds since 1970 from a date, a time of today, or how long ago it was."""
    import time
    from datetime import datetime

    if not text[:1].isdecimal() or not any(mark in text for mark in ":-"):
        return time.time() - _duration(text)
    try:
        if "-" not in text:
            text = f"{time.strftime('%Y-%m-%d')}T{text}"
        return datetime.fromisoformat(text).timestamp()  # no zone: the local one
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be like 10min, 14:00, or 2026-03-01 14:00"
        ) from error


KINDS: dict[str, Callable[[str], object]] = {
    "count": _count,
    "duration": _duration,
    "lines": _lines,
    "number": _number,
    "signal": _signal,
    "since": _since,
    "variable": _variable,
}
