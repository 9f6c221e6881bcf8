"""Output of workers that goes to the journal: it passes the supervisor by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from errno import EMFILE, ENFILE
from typing import NamedTuple

from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.output.ring import STDERR, STDOUT
from pidsup.output.trouble import Trouble, trouble
from pidsup.systemd.journal import (
    Journal,
    end_line,
    is_over,
    of_descriptor,
    open_stream,
    stream_name,
)
from pidsup.systemd.unit import Unit, of_myself

#: What becomes of the output of a worker that was started without a journal.
LOST = "what it writes is lost until it is started again"


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
    """Look at our own output, and at JOURNAL_STREAM; what "auto" means is decided here, once.

    Under RootDirectory= what systemd has opened for us may be the only way to the journal:
    where there is no socket for others ours is output like any other, and "auto" the console.
    Where there is one "auto" is the journal, whether somebody listens there at the moment or
    not, and as good as the word "journal".
    """
    named = os.environ.get("JOURNAL_STREAM", "")
    found = [of_descriptor(fd, named) for fd in (STDOUT + 1, STDERR + 1)]
    journal = next(filter(None, found), Journal())
    if not os.access(journal.stream_path, os.W_OK):
        return OurJournal(journal, of_myself())
    return OurJournal(journal, of_myself(), (found[STDOUT] is not None, found[STDERR] is not None))


class JournalStream:
    """The stream of one slot, for one worker after the other.

    Owns its descriptor.  Where there is no journal that is /dev/null, as systemd has it, and
    the next start looks again: workers that serve are worth more than what they say.
    """

    __slots__ = ("_fd", "_log", "_loop", "_name", "_ours", "trouble", "variables")

    def __init__(self, loop: Loop, log: Log, ours: OurJournal, name: str) -> None:
        """Open nothing yet; *name* is the slot's."""
        self._loop = loop
        self._log = log
        self._ours = ours
        self._name = name
        self._fd = -1
        self.trouble: Trouble | None = None  #: since the last start
        self.variables: Mapping[str, str] = {}  #: of whoever has it as its output

    def prepare(self) -> int:
        """Return it, opened if it is not, or journald has closed it; OSError.

        Blocking, which a Node.js worker has changed for all that come after it.
        """
        if self._fd >= 0 and (self.trouble is not None or is_over(self._fd)):
            self.close()
        if self._fd < 0:
            self._open()
        os.set_blocking(self._fd, True)
        return self._fd

    def _open(self) -> None:
        try:
            self._fd = open_stream(self._ours.journal, self._name, self._ours.unit_of_system)
        except OSError as error:
            if error.errno in (EMFILE, ENFILE):
                raise
            self._fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self.variables = {}
            self._failed(error)
            return
        self.variables = {"JOURNAL_STREAM": stream_name(self._fd)}
        if self.trouble is not None:
            self.trouble = None
            self._log.info("output goes to the journal again", slot=self._name)

    def _failed(self, error: OSError) -> None:
        """Say it, once until there is a journal again."""
        before = self.trouble
        what = f"the journal cannot be reached: {error.strerror}"
        self.trouble = trouble(before, what, self._loop.time(), then=LOST)
        if before is None:
            why = f"connect '{self._ours.journal.stream_path}': {error.strerror}"
            self._log.warning("cannot write output", slot=self._name, why=why, next=LOST)

    def ended(self) -> None:
        """End the line that its worker cannot end any more."""
        if self._fd >= 0 and self.trouble is None:
            end_line(self._fd)

    def close(self) -> None:
        """Give it up; whoever still has it may go on writing.  Twice is once."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
