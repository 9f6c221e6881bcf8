"""Arguments of `pidsup`, and reading a configuration: for `check`, and for `run` beforehand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pidsup import __version__
from pidsup.cli.codes import OK, USAGE
from pidsup.config import machine
from pidsup.config.kinds import Value
from pidsup.config.load import load
from pidsup.config.problem import ConfigError, Problem


def parser() -> argparse.ArgumentParser:
    """Return the parser of `pidsup`."""
    top = argparse.ArgumentParser(
        prog="pidsup",
        description="Keep groups of worker processes running.",
        epilog="pidsupctl steers a running supervisor.",
    )
    top.add_argument("--version", action="version", version=f"pidsup {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run the supervisor in the foreground",
        description="Run the supervisor in the foreground, until SIGTERM, SIGINT or "
        "`pidsupctl shutdown`.  A second signal makes it kill what has not stopped yet.  "
        "Exit code: 0 ordered, 1 failure, 2 usage or configuration, else give_up_exit_code.",
    )
    run.add_argument("-c", "--config", metavar="FILE", required=True, type=Path, help="TOML file")
    check = commands.add_parser(
        "check",
        help="check a configuration without starting anything",
        description="Report everything that can be known to be wrong with a configuration, "
        "this machine's users, programs and directories included.  Exit code: 0 good, 2 not.",
    )
    check.add_argument("config", metavar="FILE", type=Path, help="TOML file")
    return top


def main(arguments: Sequence[str]) -> int:
    """Do all but `run`."""
    given = parser().parse_args(arguments)
    try:
        expanded = load(given.config)
        found: list[Problem] = []
    except ConfigError as error:
        expanded, found = error.partial or {"watchers": {}}, list(error.problems)
    if expanded["watchers"]:
        found += _on_this_machine(expanded, given.config)
    if found:
        _complain(sorted(found, key=lambda problem: problem.line or 0))
        return USAGE
    watchers = expanded["watchers"]
    assert isinstance(watchers, dict)  # noqa: S101  what the loader returns
    print(f"{given.config}: good, {len(watchers)} watcher{'s' * (len(watchers) != 1)}")
    return OK


def prepare(arguments: Sequence[str]) -> dict[str, Value] | None:
    """Parse the arguments of `run` and read the file; say what is wrong with it."""
    given = parser().parse_args(arguments)
    try:
        expanded = load(given.config)
    except ConfigError as error:
        _complain(error.problems)
        return None
    _complain(_on_this_machine(expanded, given.config), "warning: ")
    return expanded


def _on_this_machine(expanded: dict[str, Value], path: Path) -> list[Problem]:
    document = path.read_text(encoding="utf-8")
    return machine.problems(expanded, file=str(path), document=document)


def _complain(problems: Sequence[Problem], prefix: str = "") -> None:
    for problem in problems:
        print(f"{prefix}{problem}", file=sys.stderr)
