"""The daemon put together: `pidsup run` and `pidsup exec`.

Reading the configuration needs argparse, tomllib, re, difflib, pwd: 3 MB that
the daemon never needs again.  So a forked child does it and hands over JSON,
while this process imports the daemon, on the other core.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from pidsup.cli.codes import FAILURE, OK, USAGE
from pidsup.linux import signalfd
from pidsup.supervisor.signals import BLOCKED, QUIT
from pidsup.systemd import listen_fds

if TYPE_CHECKING:
    from pidsup.config.kind import Value


def run(arguments: Sequence[str]) -> int:
    """Run the supervisor until it ends, and return its exit code."""
    _open_standard_files()
    if not _is_new_enough(os.uname().release):
        return _fail(f"needs Linux 5.14 or newer, this is {os.uname().release}")
    try:
        passed = listen_fds.take(os.environ)
    except listen_fds.BadVariables as error:
        return _fail(str(error))
    if passed.descriptors and arguments[0] == "exec":
        return _fail("exec cannot pass on the sockets of LISTEN_FDS: use `pidsup run`")
    signalfd.block(BLOCKED)
    pid, pipe = _fork_reader(arguments)
    from pidsup.cli import daemon  # in parallel with the reader

    data = _read_unless_told_to_quit(pipe)
    if data is None:
        os.kill(pid, signal.SIGKILL)  # our child, not reaped yet
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if data is None:
        return OK
    if code < 0:  # out of memory, say
        return _fail(f"reading the configuration was killed by signal {-code}")
    if code:  # it has said why on stderr
        from pidsup.cli.failing import tell_systemd

        tell_systemd(data.decode(), code)
    if code or not data:  # or has printed the help
        return code
    return daemon.serve(data, passed, one_command=arguments[0] == "exec")


def _fail(text: str) -> int:
    from pidsup.cli.failing import fail

    return fail(text, FAILURE)


def _is_new_enough(release: str) -> bool:
    """Tell whether a kernel, "6.1.0-18-amd64", has what pidsup cannot do without."""
    major, minor = release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= (5, 14)


def _open_standard_files() -> None:
    """Put /dev/null where standard files are closed, or others would take their numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(fd, True)


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
    from pidsup.cli.failing import Overheard

    code = FAILURE
    sys.stderr = said = Overheard(sys.stderr)
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        import json

        expanded = _expanded(arguments)
        code = USAGE
        if expanded is not None:
            with open(into, "wb") as file:
                file.write(json.dumps(expanded).encode())
            code = OK
    except SystemExit as end:  # argparse: usage, --help
        code = end.code if isinstance(end.code, int) else FAILURE
        if sys.stdout is not None:  # None: it was closed
            sys.stdout.flush()
    except BaseException:  # noqa: BLE001  the border of a process that must not go on
        sys.excepthook(*sys.exc_info())
    finally:
        if code:
            os.write(into, said.reason().encode(errors="replace"))
        os._exit(code)


def _expanded(arguments: Sequence[str]) -> dict[str, Value] | None:
    """Return the configuration, None if something is wrong with it, which has been said."""
    if arguments[0] == "exec":
        from pidsup.cli import exec as one_command

        return one_command.expanded(one_command.parse_arguments(arguments[1:]))
    from pidsup.cli.check import prepare

    return prepare(arguments)


def _read_unless_told_to_quit(pipe: int) -> bytes | None:
    """Read to the end; None when a signal to quit comes first: a file can hang."""
    quit_fd = signalfd.create(QUIT)
    poll = select.poll()
    for fd in (pipe, quit_fd):
        poll.register(fd, select.POLLIN)
    data = b""
    try:
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if quit_fd in ready:
                return None
            more = os.read(pipe, 65536)
            if not more:
                return data
            data += more
    finally:
        os.close(quit_fd)
        os.close(pipe)
