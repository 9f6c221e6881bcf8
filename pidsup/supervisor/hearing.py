"""What signals mean to the supervisor: quit, in a hurry the second time; apply; pass it on."""

from __future__ import annotations

from signal import SIGHUP
from typing import TYPE_CHECKING

from pidsup.linux.signalfd import SignalInfo
from pidsup.loop.sources import SIGNALS, add_urgent_reader
from pidsup.policy.lifecycle import State
from pidsup.process.child import Whom
from pidsup.process.exit import signal_name
from pidsup.supervisor.changes import Actor
from pidsup.supervisor.signals import QUIET, QUIT, URGENT
from pidsup.watcher.slot import Slot

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor


class Signals:
    """Hears the signals that come before all else.  Owns a signalfd; borrows the supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._quit_asked = False
        self._fd = supervisor.kernel.signals(URGENT)
        add_urgent_reader(supervisor.loop, self._fd, SIGNALS, self._signalled)

    def close(self) -> None:
        """Hear no more."""
        self._supervisor.loop.remove_reader(self._fd)
        self._supervisor.kernel.close(self._fd)

    def _signalled(self) -> None:
        log = self._supervisor.log
        for info in self._supervisor.kernel.read_signals(self._fd):
            # What is on its way out can only be hurried.
            ending = self._supervisor.shutting_down and info.signo in QUIT
            forwarded = not ending and self._forward(info.signo)
            applied = info.signo == SIGHUP and self._apply(info)
            if forwarded or applied:
                continue
            if info.signo in QUIT:
                self._quit(info)
            elif info.signo not in QUIET:
                log.warning("signal ignored", signal=signal_name(info.signo), pid=info.pid)

    def _forward(self, signo: int) -> bool:
        """Pass a signal on to the workers that want it; True if a watcher does."""
        wanting = [w for w in self._supervisor.watchers.values() if signo in w.spec.forward_signals]
        for watcher in wanting:
            for slot in watcher.slots.values():
                self._pass_on(slot, signo)
        return bool(wanting)

    def _pass_on(self, slot: Slot, signo: int) -> None:
        """Send it, once the slot has its worker if that is being started."""
        if slot.state is State.STARTING and slot.child is None:
            self._supervisor.loop.call_soon(self._pass_on, slot, signo)
            return
        try:
            slot.send(signo, Whom.MAIN)
        except OSError as error:
            self._supervisor.log.error("cannot signal worker", slot=slot.name, why=error.strerror)

    def _apply(self, info: SignalInfo) -> bool:
        """Have the configuration read again; False if there is none to read, or no time to."""
        supervisor = self._supervisor
        if supervisor.applying.reader is None or supervisor.shutting_down:
            return False
        supervisor.applying.apply(_actor(info))
        return True

    def _quit(self, info: SignalInfo) -> None:
        """Shut down; from the second signal on, in a hurry."""
        actor = _actor(info)
        if self._quit_asked:
            self._supervisor.hurry(actor)
        else:
            self._quit_asked = True
            self._supervisor.shutdown(actor)


def _actor(info: SignalInfo) -> Actor:
    return Actor(info.uid, info.pid, f"signal {signal_name(info.signo)}")
