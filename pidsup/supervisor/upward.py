"""Upward: what systemd, or whoever has set NOTIFY_SOCKET, is told of us, and when.

It is an observer: whenever something has happened it looks how all stands, and says what
is new.  A look walks over the watchers, and in a start much happens; so each is followed
by a pause of ten times its length, and by a second once we are ready: from then on there
is only STATUS= to say.
"""

from __future__ import annotations

from enum import Enum

from pidsup.loop.loop import Handle
from pidsup.policy.lifecycle import State
from pidsup.policy.upward import Readiness, readiness
from pidsup.supervisor.extension import Extension
from pidsup.supervisor.outbox import Outbox
from pidsup.supervisor.standing import (
    failure,
    first_in,
    hopeless,
    lacking,
    one_line,
    standing,
    status_line,
)
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.watchdog import Watchdog
from pidsup.watcher.slot import Slot

_STATUS_EVERY_S = 1.0
_PAUSE = 10  # times the length of a look


class _Phase(Enum):
    STARTING = "starting: "
    RUNNING = ""
    RELOADING = "reloading: "
    STOPPING = "stopping: "


class Upward:
    """Tells systemd how the supervisor stands.

    Owns the outbox, and what feeds the watchdog; borrows the supervisor.
    """

    def __init__(
        self, supervisor: Supervisor, outbox: Outbox, *, watchdog_s: float | None = None
    ) -> None:
        """Say nothing yet; *watchdog_s* is how often systemd wants to hear that we live."""
        self._supervisor = supervisor
        self._outbox = outbox
        self._extension = Extension(supervisor, outbox)
        self._watchdog: Watchdog | None = None
        if watchdog_s:
            self._watchdog = Watchdog(supervisor, outbox, watchdog_s, self._tell_status)
        self._phase = _Phase.STARTING
        self._why_it_ends = ""
        self._why_not_ready: tuple[Slot, str] | None = None  # who failed last, and how
        self._why_not_reloaded = ""
        self._said = ""  # the last STATUS=
        self._status_at = 0.0  # no other before
        self._look_at = 0.0  # nor another look
        self._timer: Handle | None = None
        self._timer_at = 0.0

    def begin(self) -> None:
        """Look, now that what starts by itself was asked for, and from now on."""
        self._supervisor.on_reloading = self._reloading
        self._look()
        if self._phase is _Phase.STARTING:
            self._extension.begin()
        if self._watchdog is not None:
            self._watchdog.begin()

    # --- when to look

    def _happened(self) -> None:
        """Look, now or soon."""
        ends = self._supervisor.shutting_down and self._phase is not _Phase.STOPPING
        if ends or self._supervisor.kernel.now() >= self._look_at:
            self._look()
        else:
            self._look_later(self._look_at)
            self._supervisor.events.when_more(self._happened)

    def _look_later(self, at: float) -> None:
        if self._timer is None or at < self._timer_at:
            self._drop_timer()
            self._timer, self._timer_at = self._supervisor.loop.call_at(at, self._look), at

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        supervisor = self._supervisor
        self._drop_timer()
        began_at = supervisor.kernel.now()
        if self._phase is _Phase.STARTING:
            self._start()
        if supervisor.shutting_down and self._phase is not _Phase.STOPPING:
            self._stop()
            self._extension.begin()
        self._tell_status()
        self._extension.look()
        now = supervisor.kernel.now()
        self._look_at = now + (now - began_at) * _PAUSE
        if self._phase is not _Phase.STARTING:
            self._look_at = max(self._look_at, self._status_at)
        supervisor.events.when_more(self._happened)

    # --- the phases

    def _start(self) -> None:
        """Say that we are ready, or give up, if it is time for either."""
        supervisor = self._supervisor
        if supervisor.shutting_down:
            return
        found = readiness(map(standing, supervisor.watchers.values()))
        if found is Readiness.READY:
            self._run()
        elif found is Readiness.NEVER:
            self._give_up()
        else:
            self._note_failure()

    def _note_failure(self) -> None:
        """Keep the latest failure of what we wait for: the next attempt forgets it."""
        slot = first_in(State.BACKOFF, lacking(self._supervisor.watchers.values()))
        noted = self._why_not_ready
        if slot is not None:
            self._why_not_ready = slot, failure(slot)
        elif noted is not None and noted[0].state in (State.READY, State.COMPLETED):
            self._why_not_ready = None

    def _run(self) -> None:
        self._phase = _Phase.RUNNING
        self._extension.end()
        self._say(READY=1)

    def _give_up(self) -> None:
        """End: systemd would only wait in vain, and then do the same."""
        supervisor = self._supervisor
        watcher = hopeless(supervisor.watchers.values())
        slot = None if watcher is None else first_in(State.FAILED, [watcher])
        assert slot is not None  # noqa: S101  it is what led here
        why = failure(slot)
        self._why_it_ends = f"cannot start: {why}"
        supervisor.log.error("cannot become ready", why=why, next="shutting down")
        supervisor.shutdown(supervisor.myself(), code=1)

    def _stop(self) -> None:
        was_starting = self._phase is _Phase.STARTING
        self._phase = _Phase.STOPPING
        code = self._supervisor.exit_code
        if code and not self._why_it_ends:
            slot = first_in(State.FAILED, self._supervisor.watchers.values())
            because = "" if slot is None else f": {failure(slot)}"
            self._why_it_ends = f"ending with code {code}{because}"
        elif was_starting and not self._why_it_ends and self._why_not_ready is not None:
            _, why = self._why_not_ready
            self._why_it_ends = f"cannot start: {why}"
            self._supervisor.log.error("stopped before it was ready", why=why)
        self._say(STOPPING=1)

    def _reloading(self, begins: bool, why_not: str) -> None:
        """Hear that a configuration is about to be applied, or was, or why it was not.

        It may begin several times, and ends once: for each reload systemd wants to hear a
        RELOADING=1 that is younger.
        """
        goes_on = self._phase in (_Phase.RUNNING, _Phase.RELOADING)
        if not goes_on or self._supervisor.shutting_down:
            return
        if begins:
            self._phase = _Phase.RELOADING
            self._why_not_reloaded = ""
            usec = int(self._supervisor.kernel.now() * 1e6)
            self._say(RELOADING=1, MONOTONIC_USEC=usec)
            self._extension.begin()
        else:
            self._why_not_reloaded = why_not
            self._run()

    # --- STATUS=

    def _line(self) -> str:
        """Word how all stands, in one line."""
        body = f"{self._phase.value}{status_line(self._supervisor)}"
        parts = self._why_it_ends, self._why_not_fed(), body, self._why_not_reloaded
        return one_line(filter(None, parts))

    def _why_not_fed(self) -> str:
        trouble = "" if self._watchdog is None else self._watchdog.trouble
        return f"supervision does not work: {trouble}" if trouble else ""

    def _tell_status(self) -> None:
        if self._line() == self._said:
            return
        if self._supervisor.kernel.now() >= self._status_at:
            self._say()
        else:
            self._look_later(self._status_at)

    def _say(self, **assignments: object) -> None:
        """Say how all stands, behind what else there is to say."""
        self._said = self._line()
        self._status_at = self._supervisor.kernel.now() + _STATUS_EVERY_S
        self._outbox.post(**assignments, STATUS=self._said)

    # --- the end

    def close(self) -> None:
        """Say how it ended: what systemctl shows afterwards."""
        supervisor = self._supervisor
        supervisor.events.forget(self._happened)
        self._drop_timer()
        self._extension.end()
        if self._watchdog is not None:
            self._watchdog.close()
        if supervisor.shutting_down:
            if self._phase is not _Phase.STOPPING:
                self._stop()
            how = one_line([self._why_it_ends or "stopped"])
            self._outbox.post(STATUS=how, EXIT_STATUS=supervisor.exit_code)
        self._outbox.close()
