"""Messages on their way to the service manager, which may be too busy to take them.

Facts: its socket holds some ten messages, net.unix.max_dgram_qlen, of all services; a full
one gives EAGAIN, and epoll says when there is room.  Decision: what is not taken at once
waits here, in order; of what only says how things stand now, the latest.
"""

from __future__ import annotations

from collections import deque

from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.systemd.notifier import Notifier
from pidsup.systemd.notify import encode

_OF_NOW = frozenset({"STATUS", "WATCHDOG", "EXTEND_TIMEOUT_USEC"})
_PATIENCE_S = 0.5  # for what is left at the end


class Outbox:
    """Sends in order, and never waits.  Owns the notifier."""

    def __init__(self, loop: Loop, log: Log, notifier: Notifier) -> None:
        """Begin with nothing to send."""
        self._loop = loop
        self._log = log
        self._notifier = notifier
        self._queue: deque[dict[str, object]] = deque()
        self._failed = False

    def post(self, **assignments: object) -> None:
        """Send one message, READY=1 and so on."""
        if self._queue:
            self._forget(_OF_NOW.intersection(assignments))
            self._queue.append(assignments)
            return
        self._queue.append(assignments)
        if not self._send():
            self._loop.add_writer(self._notifier.fileno(), self._writable)

    def _forget(self, outdated: frozenset[str]) -> None:
        """Drop what waits and is said anew."""
        left = ({k: v for k, v in one.items() if k not in outdated} for one in self._queue)
        self._queue = deque(one for one in left if one)

    def _send(self) -> bool:
        """Send what is taken; True if that is all."""
        while self._queue:
            try:
                self._notifier.send(encode(**self._queue[0]))
            except BlockingIOError:
                return False
            except OSError as error:  # it has gone, for good: systemd's socket lives as long
                if not self._failed:
                    self._failed = True
                    self._log.warning("cannot notify systemd", why=error.strerror)
            self._queue.popleft()
        return True

    def _writable(self) -> None:
        if self._send():
            self._loop.remove_writer(self._notifier.fileno())

    def close(self) -> None:
        """Send what is left if that is soon taken, and give up the notifier."""
        if self._queue:
            self._loop.remove_writer(self._notifier.fileno())
        while not self._send() and self._notifier.wait(_PATIENCE_S):
            pass
        self._queue.clear()
        self._notifier.close()
