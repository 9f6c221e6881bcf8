"""`pidsup exec` as a job of an interactive shell: who has the terminal, and when."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT_S, read_some

_EXEC = f"{Path(sys.executable).parent / 'pidsup'} exec -- "


class Shell:
    """A shell that runs jobs, in a terminal of its own.  Owns both."""

    def __init__(self) -> None:
        """Start it."""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "ask me$ "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.expect("ask me$")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    def expect(self, text: str) -> None:
        """Read until it shows *text*, which no line that was typed has in it."""
        _expect(self._terminal, text.encode())

    def close(self) -> None:
        """End it, and what is in its terminal hears of that."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Start a shell."""
    one = Shell()
    yield one
    one.close()


def test_in_the_background_it_leaves_the_terminal_to_the_shell(shell: Shell) -> None:
    shell.type(f"{_EXEC} sh -c 'echo ru''ns; exec sleep 1000' &\n")
    shell.expect("runs")
    shell.type("echo at $((20 + 3))\n")
    shell.expect("at 23")
    shell.type("kill %1; wait; echo over $((20 + 4))\n")
    shell.expect("over 24")


def test_who_reads_in_the_background_waits_to_be_brought_to_the_front(shell: Shell) -> None:
    shell.type(f"{_EXEC} sh -c 'read x; echo got $x' &\n")
    shell.type("until jobs | grep -q Stopped; do sleep 0.01; done; fg; echo\n")
    shell.expect("$x'\r\n")  # the shell names what it has go on
    shell.type("words\n")
    shell.expect("got words")


def test_after_it_the_next_of_a_script_reads_from_the_terminal(shell: Shell) -> None:
    shell.type(f"bash -c '{_EXEC} true; echo ne''xt; read x; echo got $x'\n")
    shell.expect("next")
    shell.type("words\n")
    shell.expect("got words")


def test_it_is_suspended_and_goes_on_with_its_command(shell: Shell) -> None:
    """Ctrl-Z gives the shell the terminal, fg gives it back, and Ctrl-C is the command's."""
    traps = 'trap "echo ca""ught; exit 5" INT'
    shell.type(f"{_EXEC} sh -c '{traps}; echo ru\"\"ns; read x; echo got $x; read y'\n")
    shell.expect("runs")
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.type("echo meanwhile $((20 + 5))\n")
    shell.expect("meanwhile 25")
    shell.type("fg\n")
    shell.expect("read y'")  # the shell names what it has go on
    shell.type("words\n")
    shell.expect("got words")
    shell.type("\x03")
    shell.expect("caught")
    shell.type("echo code $?\n")
    shell.expect("code 5")


def test_where_no_shell_runs_jobs_nothing_is_suspended() -> None:
    """Ctrl-Z would leave a container stopped for ever."""
    ours, theirs = pty.openpty()
    command = [*_EXEC.split(), "sh", "-c", "echo runs; read line; echo got $line"]
    process = subprocess.Popen(
        ["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        _expect(ours, b"runs")
        os.write(ours, b"\x1a")
        _expect(ours, b"^Z")
        os.write(ours, b"word\n")
        _expect(ours, b"got word")
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def _expect(terminal: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += read_some(terminal)
