"""Output of workers that goes to the journal: it passes the supervisor by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from errno import EINVAL
from typing import NamedTuple

from pidsup.kernel import SpawnError
from pidsup.output.ring import STDERR, STDOUT
from pidsup.systemd.journal import Journal, is_over, of_descriptor, open_stream, stream_name
from pidsup.systemd.unit import Unit, of_myself


class OurJournal(NamedTuple):
    """The journal, as far as the supervisor has to do with it."""

    journal: Journal = Journal()
    unit: Unit = Unit()  #: that we are in
    takes: tuple[bool, bool] = (False, False)  #: whether our own stdout and stderr go there

    def target(self, word: str, stream: int) -> str:
        """Return what "auto" means for a stream; other words as they are."""
        if word != "auto":
            return word
        return "journal" if self.takes[stream] else "console"

    @property
    def unit_of_system(self) -> str:
        """Return our unit if the system's manager has it: journald takes no other's word."""
        return self.unit.name if self.unit.user is None else ""


#: Where our own output goes elsewhere.
NOT_OURS = OurJournal()


def our_journal() -> OurJournal:
    """Look at our own output, and at JOURNAL_STREAM.

    Under RootDirectory= what systemd has opened for us may be the only way to the journal:
    then it is output like any other.
    """
    named = os.environ.get("JOURNAL_STREAM", "")
    found = [of_descriptor(fd, named) for fd in (STDOUT + 1, STDERR + 1)]
    journal = next(filter(None, found), Journal())
    if not os.access(journal.stream_path, os.W_OK):
        return OurJournal(journal, of_myself())
    return OurJournal(journal, of_myself(), (found[STDOUT] is not None, found[STDERR] is not None))


class JournalStream:
    """The stream of one slot, for one worker after the other.  Owns its descriptor."""

    __slots__ = ("_fd", "_name", "_ours", "variables")

    def __init__(self, ours: OurJournal, name: str) -> None:
        """Open nothing yet; *name* is the slot's."""
        self._ours = ours
        self._name = name
        self._fd = -1
        self.variables: Mapping[str, str] = {}  #: of whoever has it as its output

    def prepare(self) -> int:
        """Return it, opened if it is not, or journald has closed it; SpawnError.

        Blocking, which a Node.js worker has changed for all that come after it.
        """
        if self._fd >= 0 and is_over(self._fd):
            self.close()
        if self._fd < 0:
            journal = self._ours.journal
            try:
                self._fd = open_stream(journal, self._name, self._ours.unit_of_system)
            except OSError as error:
                number = error.errno or EINVAL
                raise SpawnError(number, "connect", journal.stream_path) from error
            self.variables = {"JOURNAL_STREAM": stream_name(self._fd)}
        os.set_blocking(self._fd, True)
        return self._fd

    def close(self) -> None:
        """Give it up; whoever still has it may go on writing.  Twice is once."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
