"""The daemon put together: `pidsup run`.

Reading the configuration needs argparse, tomllib, re, difflib, pwd: 3 MB that
the daemon never needs again.  So a forked child does it and hands over JSON,
while this process imports the daemon, on the other core.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pidsup.cli.codes import FAILURE, USAGE
from pidsup.linux import signalfd
from pidsup.supervisor.signals import TAKEN


def run(arguments: Sequence[str]) -> int:
    """Run the supervisor until it ends, and return its exit code."""
    signalfd.block(TAKEN)
    pid, pipe = _fork_reader(arguments)
    from pidsup.cli import daemon  # in parallel with the reader

    with open(pipe, "rb") as file:
        data = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code or not data:  # it has said why, or has printed the help
        return code if code >= 0 else FAILURE
    return daemon.serve(data)


def _fork_reader(arguments: Sequence[str]) -> tuple[int, int]:
    """Start the child that reads the configuration; return its pid and the pipe from it."""
    out, into = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(out)
        _read_and_exit(arguments, into)
    os.close(into)
    return pid, out


def _read_and_exit(arguments: Sequence[str], into: int) -> NoReturn:
    code = FAILURE
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)
        import json

        from pidsup.cli.check import prepare

        expanded = prepare(arguments)
        code = USAGE
        if expanded is not None:
            with open(into, "wb") as file:
                file.write(json.dumps(expanded).encode())
            code = 0
    except SystemExit as end:  # argparse: usage, --help
        code = end.code if isinstance(end.code, int) else FAILURE
    except BaseException:  # noqa: BLE001  the border of a process that must not go on
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
