"""The log of `pidsup exec`: errors alone, and why there is no command as a shell words it."""

from __future__ import annotations

from pidsup.kernel import Kernel
from pidsup.log import StderrLog
from pidsup.loop.loop import Loop


class CommandLog(StderrLog):
    """Lines on standard error, of one command."""

    def __init__(self, loop: Loop, kernel: Kernel, program: str) -> None:
        """Write errors; *program* is what the command is to start."""
        super().__init__(loop, kernel, level="error")
        self._program = program

    def _line(self, priority: int, at: float, event: str, facts: dict[str, object]) -> bytes:
        if event != "cannot start worker":
            return super()._line(priority, at, event, facts)
        why, by_exec = str(facts["why"]), f"exec {self._program!r}: "
        if why.startswith(by_exec):
            why = f"{self._program}: {why.removeprefix(by_exec)}"
        return f"pidsup exec: {why}\n".encode("utf-8", "backslashreplace")
