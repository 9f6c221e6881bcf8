"""systemd's watchdog is fed while supervision works: sd_watchdog_enabled(3).

Not by a timer alone: each time an event is sent on the way that a worker's death takes,
through both epoll sets, and only when it comes back the vitals are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pidsup.kernel import IN
from pidsup.loop.loop import Handle
from pidsup.supervisor.outbox import Outbox
from pidsup.supervisor.vitals import Vitals

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor


_AGAIN_S = 1.0  # after trouble, which may be over: systemd waits for two of our pauses only


class Watchdog:
    """Says WATCHDOG=1.  Owns an eventfd; borrows the rest."""

    def __init__(
        self,
        supervisor: Supervisor,
        outbox: Outbox,
        interval_s: float,
        on_change: Callable[[], object],
    ) -> None:
        """Be ready; systemd expects to hear from us every *interval_s*.

        *on_change* hears when supervision has ceased to work, and when it works again.
        """
        self.trouble = ""  #: why it is not fed, "" if it is
        self._supervisor = supervisor
        self._outbox = outbox
        self._every_s = interval_s / 2
        self._vitals = Vitals(supervisor, supervisor.kernel)
        self._timer: Handle | None = None
        self._sent_at: float | None = None  # of an event of ours that is under way
        self._on_change = on_change
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        supervisor.sources.add(self._fd, IN, self._came_back)

    def begin(self) -> None:
        """Send an event, again and again."""
        self._timer = None
        now = self._supervisor.kernel.now()
        self._send_again(now + self._every_s)
        if self._sent_at is None:
            self._sent_at = now
            os.eventfd_write(self._fd, 1)
        elif now - self._sent_at >= self._every_s:
            self._found(f"an event has been on its way for {self._every_s:g} s")

    def _send_again(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._supervisor.loop.call_at(at, self.begin)

    def _came_back(self) -> None:
        os.eventfd_read(self._fd)
        self._sent_at = None
        self._found(self._vitals.trouble())

    def _found(self, trouble: str) -> None:
        if not trouble:
            self._outbox.post(WATCHDOG=1)
        if bool(trouble) is not bool(self.trouble):  # of several, the first is told
            self.trouble = trouble
            self._tell()
        if trouble:
            soon_s = min(self._every_s, _AGAIN_S)
            self._send_again(self._supervisor.kernel.now() + soon_s)

    def _tell(self) -> None:
        log = self._supervisor.log
        if self.trouble:
            log.error("supervision does not work", why=self.trouble, next="systemd ends us")
        else:
            log.info("supervision works again")
        self._on_change()

    def close(self) -> None:
        """Say no more; twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._supervisor.sources.remove(fd)
            os.close(fd)
