"""The program `pidsupctl`: steers a running supervisor.

Start-up time is a feature: what is imported here is paid for by every call.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from pidsup.cli import render
from pidsup.client import CallFailed, Client, NotAnswering, NotRunning, connect
from pidsup.errors import ProtocolError

# LSB init script actions, and beyond.
OK, FAILED, USAGE, NOT_AS_WANTED, NO_RIGHTS, NO_SUCH_NAME, NOT_RUNNING = 0, 1, 2, 3, 4, 5, 7
TIMED_OUT, SUPERSEDED, INTERRUPTED = 8, 10, 130
STATUS_UNKNOWN = 4

_PATIENCE_S = 5.0  # for an answer that is due at once

_CODES = {
    "NoSuchSelector": NO_SUCH_NAME,
    "Superseded": SUPERSEDED,
    "TimedOut": TIMED_OUT,
    "Failed": FAILED,
    "Invalid": USAGE,
    "Denied": NO_RIGHTS,
    "ShuttingDown": FAILED,
}


def main() -> int:
    """Run the program and return its exit code."""
    if sys.stdout is None:  # it was closed
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as we live
    try:
        given = _parse(sys.argv[1:])
        code = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at exit fails again
        return _complain(f"cannot write: {error.strerror}", FAILED)
    except KeyboardInterrupt:
        return _complain("not waited for: the change goes on", INTERRUPTED)
    return code


def _run(given: argparse.Namespace) -> int:
    try:
        client = connect(given.name)
    except NotRunning as error:
        return _complain(str(error), NOT_RUNNING)
    except PermissionError:
        return _complain(
            "you have no right to ask this supervisor: use its user, or root", NO_RIGHTS
        )
    with client:
        try:
            code: int = given.run(given, client)
        except CallFailed as error:
            return _explain(given, error)
        except NotRunning as error:
            return _complain(str(error), NOT_RUNNING)
        except NotAnswering as error:
            return _complain(str(error), TIMED_OUT)
        except ProtocolError as error:
            return _complain(f"cannot understand the supervisor: {error}", FAILED)
    return code


# --- arguments


class Command:
    """A command: what it does, what it takes, and how it is done."""

    def __init__(
        self,
        text: str,
        add_arguments: Callable[[argparse.ArgumentParser], None],
        run: Callable[[argparse.Namespace, Client], int],
    ) -> None:
        """Only the table below makes these."""
        self.text = text
        self.add_arguments = add_arguments
        self.run = run


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse in two steps, as a parser for every command would take 4 ms to make."""
    width = max(map(len, _COMMANDS))
    top = argparse.ArgumentParser(
        prog="pidsupctl",
        formatter_class=_help_formatter,
        description="Steer a running pidsup supervisor.",
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {command.text}\n" for name, command in _COMMANDS.items())
        + _EPILOG,
    )
    top.add_argument(
        "-n",
        "--name",
        default=os.environ.get("PIDSUP_NAME") or None,
        help="the supervisor (PIDSUP_NAME)",
    )
    top.add_argument("--version", action=_Version)
    top.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help="see below")
    top.add_argument("arguments", nargs=argparse.REMAINDER, help="COMMAND -h explains them")
    first = top.parse_args(arguments)

    command = _COMMANDS[first.command]
    text = command.text[0].upper() + command.text[1:]
    parser = argparse.ArgumentParser(
        prog=f"pidsupctl {first.command}", formatter_class=_help_formatter, description=f"{text}."
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    command.add_arguments(parser)
    parser.add_argument("-n", "--name", help=argparse.SUPPRESS)  # here, too
    parser.set_defaults(name=first.name, command=first.command, run=command.run)
    return parser.parse_args(first.arguments)


def _help_formatter(prog: str) -> argparse.HelpFormatter:
    """Make a formatter; one that looks for the width itself imports shutil, 3 ms."""
    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(40, width - 2))


_EPILOG = """
SELECTOR is a watcher or a slot, with wildcards: web, web:3, 'w*', 'web:*', '*'.

exit codes:
  0 done; 1 failed; 2 usage; 3 not all is as wanted (status); 4 no rights, or no such
  name (status); 5 no such name; 7 no supervisor; 8 timeout; 10 superseded
"""


class _Version(argparse.Action):
    """Print the version; found out only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from pidsup import __version__

        print(f"pidsupctl {__version__}")
        parser.exit()


def _maybe_selectors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="default: all")


def _selectors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selectors", nargs="+", metavar="SELECTOR")
    _waiting(parser)


def _scaling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selectors", nargs="+", metavar="WATCHER")
    parser.add_argument("count", metavar="COUNT", help="5, or +2, or -1", type=_count)
    _waiting(parser)


def _signalling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("signal", metavar="SIGNAL", help="HUP, SIGUSR1, 10, ...")
    parser.add_argument("selectors", nargs="+", metavar="SELECTOR")
    parser.add_argument(
        "--to",
        choices=("main", "children", "all"),
        default="main",
        help="the worker (default), its children, or its whole tree",
    )


def _waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it is done")
    parser.add_argument(
        "--timeout", metavar="TIME", type=_duration, help="wait no longer than this: 5s, 2min"
    )


def _duration(text: str) -> float:
    from pidsup.config.kinds import duration

    try:
        return duration(float(text) if text.replace(".", "", 1).isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from error


def _count(text: str) -> str:
    if not text.lstrip("+-").isdecimal() or len(text) - len(text.lstrip("+-")) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, or +N, or -N")
    return text


# --- commands


def _status(given: argparse.Namespace, client: Client) -> int:
    answer = client.call("Status", within_s=_PATIENCE_S, selectors=given.selectors or None)
    render.status(answer, given.output)
    return OK if render.is_as_wanted(answer) else NOT_AS_WANTED


def _change(method: str) -> Callable[[argparse.Namespace, Client], int]:
    def run(given: argparse.Namespace, client: Client) -> int:
        return _do(given, client, method, selectors=given.selectors)

    return run


def _scale(given: argparse.Namespace, client: Client) -> int:
    field = "by" if given.count[0] in "+-" else "workers"
    return _do(given, client, "Scale", selectors=given.selectors, **{field: int(given.count)})


def _shutdown(given: argparse.Namespace, client: Client) -> int:
    given.selectors = []
    return _do(given, client, "Shutdown")


def _do(given: argparse.Namespace, client: Client, method: str, **parameters: object) -> int:
    timeout_ms = None if given.timeout is None else round(given.timeout * 1000)
    patience = render.Patience(given.name, given.selectors)
    answer = client.call(
        method,
        when_slow=None if given.no_wait else patience.tell,
        within_s=_PATIENCE_S + given.timeout
        if given.timeout is not None
        else _PATIENCE_S
        if given.no_wait
        else None,
        wait=not given.no_wait,
        timeout_ms=timeout_ms,
        **parameters,
    )
    render.change(answer, given.output)
    return OK


def _signal(given: argparse.Namespace, client: Client) -> int:
    answer = client.call(
        "Signal",
        within_s=_PATIENCE_S,
        selectors=given.selectors,
        signal=given.signal,
        whom=given.to,
    )
    render.change(answer, given.output)
    return OK


_COMMANDS = {
    "status": Command("show how watchers and slots stand", _maybe_selectors, _status),
    "start": Command("start; what has failed is tried again", _selectors, _change("Start")),
    "stop": Command("stop, and wait until nothing is left", _selectors, _change("Stop")),
    "restart": Command("replace every worker by a new one", _selectors, _change("Restart")),
    "scale": Command("set how many workers run, others untouched", _scaling, _scale),
    "signal": Command("send a signal to workers", _signalling, _signal),
    "shutdown": Command("stop everything and end the supervisor", _waiting, _shutdown),
}


# --- errors


def _explain(given: argparse.Namespace, error: CallFailed) -> int:
    """Say what the supervisor's error means, and return its exit code."""
    code = _CODES.get(error.name, FAILED)
    if given.command == "status" and error.name == "NoSuchSelector":
        code = STATUS_UNKNOWN
    if given.output == "json":
        render.json_object({"error": error.name, "parameters": error.parameters})
    else:
        _complain(render.error(error.name, error.parameters), code)
    return code


def _complain(text: str, code: int) -> int:
    print(f"pidsupctl: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
