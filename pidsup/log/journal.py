"""A log of entries in the journal, with a field for each fact.

What a line would say is MESSAGE; messages.py has MESSAGE_ID; facts are PIDSUP_SLOT,
PIDSUP_PID and so on, and an exit also EXIT_CODE and EXIT_STATUS as systemd has them,
systemd.exec(5).
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from time import monotonic

from pidsup.kernel import Kernel
from pidsup.log.log import QueuedLog, Record
from pidsup.log.messages import message_of
from pidsup.log.words import plain, worded
from pidsup.loop.loop import Loop
from pidsup.process.exit import ExitReport
from pidsup.systemd.journal import Entries, entry

IDENTIFIER = "pidsup"  #: SYSLOG_IDENTIFIER of what the supervisor says itself
_BUG = "internal error"
_AT_ONCE = 16  # entries of one turn
_PATIENCE_S, _MOST_S = 0.1, 2.0  # at the end


class JournalLog(QueuedLog):
    """Entries in the journal, by a socket that never blocks.  Owns the way to it."""

    def __init__(
        self,
        loop: Loop,
        kernel: Kernel,
        entries: Entries,
        *,
        always: Mapping[str, str],
        level: str = "info",
    ) -> None:
        """Write what is of *level* or worse, with the fields *always* in each entry."""
        super().__init__(loop, kernel, level=level)
        self._entries = entries
        self._always = {"SYSLOG_IDENTIFIER": IDENTIFIER, **always}
        self._unsent = b""
        self._waiting = False
        self._closed = False

    def _add_bug(self, text: str) -> None:
        self._add(2, _BUG, {"traceback": text})

    def _waits(self) -> bool:
        return self._waiting

    def _write(self) -> None:
        for _ in range(_AT_ONCE):
            if self._closed or not self._fill():
                return
            if not self._send():
                return
        self._waiting = True
        self._loop.call_soon(self._write_on)

    def _write_on(self) -> None:
        self._waiting = False
        self._write()

    def _fill(self) -> bool:
        if not self._unsent:
            record = self._next()
            if record is not None:
                self._unsent = entry(self._fields(record))
        return bool(self._unsent)

    def _send(self) -> bool:
        """Send one; False if there is nothing that could be sent now."""
        try:
            self._entries.send(self._unsent)
        except BlockingIOError:
            self._waiting = True
            self._loop.add_writer(self._entries.fileno(), self._writable)
            return False
        except (ConnectionError, FileNotFoundError):
            return False  # nobody is there: the next that is said tries again
        except OSError:  # it can never be sent, or not now: go on with others, if there are
            self._dropped += 1
            self._unsent = b""
            return bool(self._records)
        self._unsent = b""
        return True

    def _writable(self) -> None:
        self._loop.remove_writer(self._entries.fileno())
        self._write_on()

    def close(self) -> None:
        """Write what is left, if that takes no longer than a moment; twice is once."""
        if self._closed:
            return
        fd = self._entries.fileno()
        self._loop.remove_writer(fd)
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        until = monotonic() + _MOST_S
        while self._fill() and poll.poll(_PATIENCE_S * 1000) and monotonic() < until:
            if not self._send():
                break
        self._loop.remove_writer(fd)
        self._closed = True
        self._entries.close()

    # --- fields

    def _fields(self, record: Record) -> Iterator[tuple[str, str]]:
        priority, _, event, facts = record
        yield "MESSAGE", plain(facts["traceback"]) if event == _BUG else worded(event, facts)
        yield "PRIORITY", str(priority)
        message = message_of(event, facts)
        if message is not None:
            yield "MESSAGE_ID", message.id
        found = dict(self._always)
        for name, value in facts.items():
            found[f"PIDSUP_{name.upper()}"] = plain(value)
            if isinstance(value, ExitReport):
                found.update(_of_exit(value))
        if "slot" in facts:
            found["PIDSUP_WATCHER"] = plain(facts["slot"]).rpartition(":")[0]
        # No OBJECT_PID: for that journald looks at the process, and remembers what it has found
        # for a second.  Of one that ends meanwhile that is not its unit, and then the unit that
        # its stream was opened for does not count either: its last words would have none (in 6
        # runs of 61 crashes each, between 1 and 4 of them).
        yield from found.items()


def _of_exit(report: ExitReport) -> dict[str, str]:
    if report.signo is not None:
        how = "dumped" if report.core else "killed"
        return {"EXIT_CODE": how, "EXIT_STATUS": str(report.signo)}
    if report.code is not None:
        return {"EXIT_CODE": "exited", "EXIT_STATUS": str(report.code)}
    return {}
