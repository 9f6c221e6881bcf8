"""Why pidsup does not run: said on stderr and, if somebody wants to know, to systemd.

It is what `systemctl status` shows then.  No barrier is waited for: systemd handles a
message before the death of its sender.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO

from pidsup.errors import BadAddress
from pidsup.log import die
from pidsup.output.harmless import clean

_MOST = 4096  # characters that are kept of what a reader says
_LONGEST = 240  # of a status
_BESIDE_THE_POINT = ("warning: ", "usage: ", "Traceback ", " ")


def fail(text: str, code: int, error: BaseException | None = None) -> int:
    """Say why, and return the exit code; *error*, if it is the kernel's, has its number told."""
    tell_systemd(text, code, error)
    return die(text, code)


def tell_systemd(text: str, code: int, error: BaseException | None = None) -> None:
    """Say it to NOTIFY_SOCKET alone; whoever cannot be told is not."""
    if "NOTIFY_SOCKET" not in os.environ:
        return
    from pidsup.systemd.notifier import is_set, tell_once

    number = error.errno if isinstance(error, OSError) else None
    assignments = {"ERRNO": number} if number else {}
    with suppress(OSError, BadAddress):
        if is_set(os.environ):
            status = clean(text)[:_LONGEST]
            tell_once(STATUS=status, **assignments, EXIT_STATUS=code)


class Overheard:
    """A text file for stderr, and the beginning of what is written to it.  Borrows the file."""

    def __init__(self, file: TextIO | None) -> None:
        """Stand for *file*, None for one that is closed."""
        self._file = file
        self._text = ""

    def write(self, text: str) -> int:
        """Write it, and keep it."""
        self._text = (self._text + text)[:_MOST]
        return len(text) if self._file is None else self._file.write(text)

    def flush(self) -> None:
        """Pass it on."""
        if self._file is not None:
            self._file.flush()

    def reason(self) -> str:
        """Return the first line that says what is wrong."""
        lines = (line for line in self._text.splitlines() if line)
        return next((line for line in lines if not line.startswith(_BESIDE_THE_POINT)), "")
