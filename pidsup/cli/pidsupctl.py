"""The program `pidsupctl`: steers a running supervisor.

Start-up time is a feature: what is imported here is paid for by every call.  The commands
are in cli/ctl: a table, and a module for each.
"""

from __future__ import annotations

import os
import sys

from pidsup.cli.codes import INTERRUPTED

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from pidsup.cli.ctl.arguments import Given
    from pidsup.client import CallFailed, Client


def main() -> int:
    """Run the program and return its exit code; an interrupt is no error at any time."""
    try:
        return _main()
    except KeyboardInterrupt:
        return INTERRUPTED


def _main() -> int:
    from pidsup.cli.ctl.endings import FAILED, Complaint

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as we live
            setattr(sys, name, nowhere)
    try:
        if sys.argv[1:2] == ["_complete"]:
            from pidsup.cli.ctl.completion import complete

            code = complete(sys.argv[2:])
        else:
            from pidsup.cli.ctl.arguments import parse

            code = _run(parse(sys.argv[1:]))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at exit fails again
        return _complain(f"cannot write: {error.strerror}", FAILED)
    except Complaint as complaint:
        return _complain(str(complaint), complaint.code)
    return code


def _run(given: Given) -> int:
    run = _function(given.does.how)
    return _connected(given, run) if given.does.connects else int(run(given))


def _function(how: str) -> Callable[..., int]:
    module, _, name = how.partition(":")
    # import_module() would bring importlib, which nothing else needs.
    found: Callable[..., int] = getattr(
        __import__(f"pidsup.cli.ctl.{module}", fromlist=[name]), name
    )
    return found


def _connected(given: Given, run: Callable[[Given, Client], int]) -> int:
    from pidsup.cli.ctl.endings import FAILED, NO_RIGHTS, NOT_RUNNING, TIMED_OUT, Complaint
    from pidsup.cli.ctl.reach import reach
    from pidsup.client import CallFailed, NotAnswering, NotRunning
    from pidsup.errors import ProtocolError

    try:
        with reach(given) as client:
            return run(given, client)
    except CallFailed as error:
        return _refused(given, error)
    except (NotRunning, Complaint) as error:
        if getattr(error, "code", NOT_RUNNING) in (NOT_RUNNING, NO_RIGHTS) and given.does.alone:
            return _function(given.does.alone)(given, error)
        if isinstance(error, Complaint):
            raise
        return _complain(str(error), NOT_RUNNING)
    except NotAnswering as error:
        return _complain(str(error), TIMED_OUT)
    except ProtocolError as error:
        return _complain(f"cannot understand the supervisor: {error}", FAILED)


def _refused(given: Given, error: CallFailed) -> int:
    """Say what the supervisor's error means, and return its exit code."""
    from pidsup.cli.ctl.endings import CODES, FAILED, STATUS_UNKNOWN, worded

    code = CODES.get(error.name, FAILED)
    if given.does.name == "status" and error.name == "NoSuchSelector":
        code = STATUS_UNKNOWN
    if getattr(given, "output", None) == "json":
        from pidsup.cli.ctl.terminal import put_json

        put_json({"error": error.name, "parameters": error.parameters})
    else:
        _complain(worded(error.name, error.parameters), code)
    return code


def _complain(text: str, code: int) -> int:
    from pidsup.cli.ctl.words import clean

    shown = "\n".join(map(clean, text.split("\n")))  # it may be of another machine
    print(f"pidsupctl: {shown}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
