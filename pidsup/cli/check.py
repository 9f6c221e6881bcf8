"""Arguments of `pidsup`, and reading a configuration: for `check`, and for `run` beforehand."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterable, Sequence

from pidsup import __version__
from pidsup.cli.codes import OK, USAGE
from pidsup.cli.exec import add_arguments
from pidsup.config.kind import Value
from pidsup.config.load import read
from pidsup.config.problem import Findings, Problem

_FILE = "TOML file; - for standard input"


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
    _add_file(run)
    one = commands.add_parser("exec", help="run one command, as the init of a container")
    add_arguments(one)
    check = commands.add_parser(
        "check",
        help="check a configuration without starting anything",
        description="Report everything that can be known to be wrong with a configuration and "
        "its drop-ins, with this machine's users, programs, directories and addresses.  "
        "Warnings are about what is probably not meant.  Exit code: 0 good, 2 not.",
    )
    _add_file(check)
    commands.add_parser(
        "schema",
        help="print the JSON Schema of configurations",
        description="Print the JSON Schema of configurations, by which editors complete and check.",
    )
    units = commands.add_parser(
        "install-units",
        help="write units for systemd",
        description="Write pidsup@.service, for /etc/pidsup/NAME.toml, and pidsup.service, with "
        "the path of this pidsup and what this systemd knows, and let systemd read them.  Files "
        "that were changed since stay as they are.",
    )
    _add_units_arguments(units)
    return top


def _add_file(command: argparse.ArgumentParser) -> None:
    """Let it be named either way, by whoever has the other command in his fingers."""
    either = command.add_mutually_exclusive_group(required=True)
    either.add_argument("file", metavar="FILE", nargs="?", help=_FILE)
    either.add_argument("-c", "--config", metavar="FILE", help="the same")


def _add_units_arguments(command: argparse.ArgumentParser) -> None:
    flag = functools.partial(command.add_argument, action="store_true")
    flag("--user", help="for your own systemd, and ~/.config/pidsup/NAME.toml")
    flag("--hardened", help="add the drop-in hardened.conf, which stays until it is removed")
    flag("--force", help="replace files that were changed")
    flag("--dry-run", help="print what would be written")
    command.add_argument(
        "--directory", metavar="DIR", help="write the units there, and tell systemd nothing"
    )
    command.add_argument(
        "--systemd-version", metavar="NUMBER", type=int, help="default: that of systemctl"
    )
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="a configuration: its sockets with `systemd` and `listen` get socket units",
    )


def _file(given: argparse.Namespace) -> str:
    return str(given.config if given.file is None else given.file)


def main(arguments: Sequence[str]) -> int:
    """Do all but `run`."""
    given = parser().parse_args(arguments)
    if given.command == "schema":
        return _print_schema()
    if given.command == "install-units":
        from pidsup.cli.units import main as install_units

        return install_units(given)
    return _check(_file(given))


def prepare(arguments: Sequence[str]) -> dict[str, Value] | None:
    """Parse the arguments of `run` and read the file; say what is wrong with it.

    What this machine lacks is a warning: it may be there by the time it is needed.
    """
    given = parser().parse_args(arguments)
    expanded, findings = read(_file(given))
    if expanded is None or findings.has_errors:
        _complain(findings.in_order())
        return None
    _check_machine(expanded, findings)
    _complain(problem._replace(is_warning=True) for problem in findings.in_order())
    return expanded


def _check(path: str) -> int:
    expanded, findings = read(path)
    if expanded is not None:
        _check_machine(expanded, findings)
        from pidsup.cli.checks.addresses import check_addresses

        check_addresses(expanded, findings)
    _complain(findings.in_order())
    if expanded is None or findings.has_errors:
        return USAGE
    counts = [
        f"{len(found)} {one}{'s' * (len(found) != 1)}"
        for one in ("watcher", "socket")
        if isinstance(found := expanded[f"{one}s"], dict) and (found or one == "watcher")
    ]
    print(f"{path}: good, {', '.join(counts)}")
    return OK


def _check_machine(expanded: dict[str, Value], findings: Findings) -> None:
    from pidsup.cli.checks import machine  # the manual is made before there is an extension

    machine.check(expanded, findings)


def _print_schema() -> int:
    import json

    from pidsup.config.schema import as_schema

    print(json.dumps(as_schema(), indent=2))
    return OK


def _complain(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"{'warning: ' * problem.is_warning}{problem}", file=sys.stderr)
