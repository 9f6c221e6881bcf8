"""The program `pidsup exec`: one command under a supervisor of its own, as init of a container.

Runs in the process that reads the configuration for `run`: what is made here is the
configuration.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pidsup.config.expand import literal
from pidsup.config.kind import Value
from pidsup.config.load import parse
from pidsup.config.quantities import duration
from pidsup.supervisor.signals import URGENT

_DOCUMENT = """
[supervisor]
control_socket = false
log_level = "error"

[watchers.main]
command = "filled in"
restart = "no"
critical = true
foreground = true
stdout = "inherit"
stderr = "inherit"
"""
_DESCRIPTION = """
Run one command as the init of a container (or anywhere) ought to: signals are passed on to
it, orphans are reaped, and its exit code becomes ours, 128 and the signal's number if it was
killed.  What it leaves behind is asked to end, and killed after a while.  Nothing is written
to disk; root is not needed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of `exec`."""
    parser.usage = "pidsup exec [OPTION...] [--] CMD [ARG...]"
    parser.description = _DESCRIPTION
    parser.add_argument("--user", help="whom it runs as; needs root")
    parser.add_argument("--group", help="default: the user's")
    parser.add_argument("--directory", metavar="DIR", help="where it runs")
    parser.add_argument(
        "--orphan-timeout",
        metavar="TIME",
        type=_duration,
        help="how long what it leaves behind may take to end (default: 5s)",
    )
    parser.add_argument(
        "words", metavar="CMD", nargs=argparse.REMAINDER, help="the command and its arguments"
    )


def expanded(given: argparse.Namespace) -> dict[str, Value]:
    """Return the configuration that runs the command."""
    made: dict[str, Any] = parse(_DOCUMENT, file="pidsup exec", default_name="exec")
    main = made["watchers"]["main"]
    main["command"] = [literal(word) for word in given.words]
    main["forward_signals"] = sorted(URGENT)
    main["user"], main["group"] = given.user, given.group
    main["working_directory"] = None if given.directory is None else literal(given.directory)
    if given.orphan_timeout is not None:
        made["supervisor"]["orphan_timeout"] = given.orphan_timeout
    return made


def _duration(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse what stands behind `pidsup exec`; what follows the first word is the command's."""
    parser = argparse.ArgumentParser(prog="pidsup exec")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    if given.words[:1] == ["--"]:
        del given.words[0]
    if not given.words or not given.words[0]:
        parser.error("name a command")
    return given
