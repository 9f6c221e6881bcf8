"""The long way: argparse, made from the table of commands, for help and for what is wrong."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from textwrap import fill

from pidsup.cli.ctl.arguments import Given, dest_of, may_be_value, options_of, split_passed
from pidsup.cli.ctl.commands import (
    ABOUT_SELECTORS,
    COMMANDS,
    EXIT_CODES,
    GLOBAL,
    LEADING,
    Argument,
    Command,
    Option,
    find,
)
from pidsup.cli.ctl.leading import split
from pidsup.cli.ctl.values import KINDS


def parse_slowly(words: Sequence[str]) -> Given:
    """Return what was asked for; ends the program where they are wrong."""
    before, rest = split(words)
    command = find(rest[0]) if rest else None
    if command is None:
        raise _top(rest)
    parser = parser_of(command)
    ours, passed = split_passed(command, [*before, *rest[1:]])
    return parser.parse_args(_joined(command, ours), Given(does=command, passed=passed))


def _joined(command: Command, words: Sequence[str]) -> list[str]:
    """Make one word of each option and a value that argparse would take for an option."""
    by_flag = {flag: option for option in command.options for flag in option.flags}
    found: list[str] = []
    for word in words:
        option = by_flag.get(found[-1]) if found and word.startswith("-") else None
        if option is not None and option.takes_value and may_be_value(option, word):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _top(words: Sequence[str]) -> SystemExit:
    """End the program with the help, the version, or what is wrong."""
    parser = argparse.ArgumentParser(
        prog="pidsupctl",
        formatter_class=formatter,
        description="Steer a running pidsup supervisor.",
        epilog=f"commands:\n{list_of_commands()}\n{ABOUT_SELECTORS}\n\nexit codes:\n{_codes()}",
        allow_abbrev=False,
    )
    for option in LEADING:
        _add_option(parser, option, option.flags)
    parser.add_argument("--version", action=_Version)
    parser.add_argument("command", metavar="COMMAND", help="see below", type=_known)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="COMMAND -h explains them")
    if not words:
        parser.error("name a command; pidsupctl -h lists them")
    parser.parse_args(words)
    return SystemExit(2)


def _known(word: str) -> str:
    from difflib import get_close_matches

    if find(word) is not None:  # what is wrong stands before it
        return word
    near = get_close_matches(word, (c.name for c in COMMANDS.values() if not c.hidden))
    near.sort(key=lambda name: sorted(name) != sorted(word))  # letters that have changed places
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
    for option, flags in options_of(command):
        # The global ones stand before the command as a rule, and so does their help.
        _add_option(parser, option, flags, shown=option not in GLOBAL)
    return parser


def _add_argument(parser: argparse.ArgumentParser, argument: Argument) -> None:
    more: dict[str, object] = {}
    if argument.many:
        more["nargs"] = argparse.REMAINDER if argument.many == "..." else argument.many
    if argument.choices:
        more["choices"] = argument.choices
    parser.add_argument(
        dest_of(argument),
        metavar=argument.name,
        help=argument.text,
        type=_reader(argument.kind),
        **more,  # type: ignore[arg-type]  # each as argparse wants it
    )


def _add_option(
    parser: argparse.ArgumentParser, option: Option, flags: Sequence[str], *, shown: bool = True
) -> None:
    text = explained(option) if shown else argparse.SUPPRESS
    if not option.takes_value:
        parser.add_argument(*flags, action="store_true", help=text)
        return
    parser.add_argument(
        *flags,
        metavar=option.value or None,
        choices=option.choices or None,
        default=option.default,
        type=_reader(option.kind),
        action="append" if option.kind == "variable" else "store",
        help=text,
    )


def explained(option: Option) -> str:
    """Return the text of an option, with its default."""
    if option.default in (None, "auto") or not option.takes_value:
        return option.text
    return f"{option.text}; default: {option.default}"


def _reader(kind: str) -> Callable[[str], object]:
    """Return what reads a value; argparse shows the text of errors of its own only."""
    read = KINDS.get(kind, str)

    def reader(word: str) -> object:
        try:
            return read(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return reader


def _description(command: Command) -> str:
    parts = [f"{command.text[0].upper()}{command.text[1:]}."]
    if command.more:
        parts.append(_wrapped(command.more))
    return "\n\n".join(parts)


def _wrapped(text: str, width: int = 78) -> str:
    return fill(" ".join(text.split()), width)


def _examples(command: Command) -> str:
    lines = [f"  {line}{f'   # {what}' if what else ''}" for line, what in command.examples]
    if command.aliases:
        lines.append(f"\nalso called: {', '.join(command.aliases)}")
    lines.append("\npidsupctl -h has the options of all commands: -n, --socket, -H, --color")
    return ("examples:\n" if command.examples else "") + "\n".join(lines).lstrip("\n")
