"""A program on a terminal of its own, and what is on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

from tests.support import LIMIT_S

BIN = Path(sys.executable).parent
SETTLED_S = 0.15  # nothing has been written for so long


class Pty:
    """A process on a pseudo-terminal.  Owns both; read only by what waits here."""

    def __init__(
        self,
        command: Sequence[str | Path],
        columns: int = 80,
        lines: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; TERM and a UTF-8 locale are set."""
        self.raw = b""  #: all that was written
        self.code: int | None = None
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], [str(word) for word in command], env)
            finally:
                os._exit(127)
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size; the program gets SIGWINCH."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def signal(self, signo: int) -> None:
        """Signal it, our own child."""
        os.kill(self.pid, signo)

    @property
    def lines(self) -> list[str]:
        """Return what is on the screen."""
        return [line.rstrip() for line in self._screen.display]

    def settings(self) -> int:
        """Return the local modes of the terminal, termios(3)."""
        modes: int = termios.tcgetattr(self._fd)[3]
        return modes

    def wait_for(self, test: Callable[[list[str]], object], what: str = "") -> list[str]:
        """Read until *test* holds of the screen; return the screen."""
        deadline = time.monotonic() + LIMIT_S
        while not test(self.lines):
            self._read(deadline, what)
        return self.lines

    def settle(self) -> list[str]:
        """Read until nothing has come for a moment; return the screen."""
        while select.select([self._fd], [], [], SETTLED_S)[0] and self._take():
            pass
        return self.lines

    def end(self) -> int:
        """Read to the end, and return the exit code, negative for a signal."""
        deadline = time.monotonic() + LIMIT_S
        while self._take() if self._is_readable(deadline, "the end") else False:
            pass
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def _read(self, deadline: float, what: str) -> None:
        self._is_readable(deadline, what)
        if not self._take():
            raise AssertionError(f"it ended before: {what}\n" + "\n".join(self.lines))

    def _is_readable(self, deadline: float, what: str) -> bool:
        left_s = max(0.0, deadline - time.monotonic())
        if not select.select([self._fd], [], [], left_s)[0]:
            raise AssertionError(f"not within {LIMIT_S} s: {what}\n" + "\n".join(self.lines))
        return True

    def _take(self) -> bool:
        """Read some; False at the end."""
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: nobody has the other side
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def close(self) -> None:
        """Kill it if it still runs, and give up the terminal."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)  # unreaped: the number is still its own
            os.waitpid(self.pid, 0)
        os.close(self._fd)
