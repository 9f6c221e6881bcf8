"""A watcher on demand: started by what comes to its sockets, stopped when it is idle.

The shell around policy.activation, which has the why.  It never takes a connection or a
datagram itself: that is for the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

from pidsup.log import span
from pidsup.loop.loop import Handle
from pidsup.policy import activation
from pidsup.policy.activation import (
    FRESH,
    LEAST_REST_S,
    RESUME_AFTER_S,
    SUSPEND_CHECK_S,
    SUSPEND_WITHIN_S,
    Action,
    Event,
    Rest,
    Standing,
    Stop,
    step,
)
from pidsup.policy.lifecycle import AT_REST, State
from pidsup.process.child import Whom

if TYPE_CHECKING:
    from pidsup.watcher.slot import Extras, Slot
    from pidsup.watcher.watcher import Watcher

_UP = frozenset({Standing.ACTIVE, Standing.QUIESCING})
_DOWN = frozenset({Standing.LISTENING, Standing.RESTING})
_RUNS = frozenset({State.WAITING, State.STARTING, State.READY, State.BACKOFF})
_ENDING = (State.STOPPING, State.KILLING, State.CLEANING)


class OnDemand:
    """Decides when the slots of a watcher are wanted.  Borrows it, and its sockets."""

    def __init__(self, watcher: Watcher) -> None:
        """Start out deaf; `review` sees that the watcher is to run."""
        self.standing = Standing.OFF
        self._told = (Standing.OFF, False)
        self._watcher = watcher
        self._events: list[Event] = []
        self._busy = False
        self._heard: list[int] = []  # sockets with a reader
        self._timer: Handle | None = None
        self._memory = FRESH
        self._rest_s = 0.0
        self._why = ""
        self._idle_since: float | None = None
        self._idle_s = 0.0
        self._ran_ns = 0  # at the last look, where that counts
        self._suspended_at = 0.0
        self._cannot_look = False
        self._lets_go = False

    # --- what the watcher asks

    def wants(self, slot: Slot) -> bool:
        """Tell whether a slot is to have a worker, if the watcher is to run.

        What runs though nothing came was started by name, or before the watcher was on
        demand: it goes on.
        """
        if self.standing in _DOWN:
            return slot.state not in AT_REST
        if self.standing is Standing.STOPPING:
            return slot.state in _RUNS and not self._lets_go
        return self.standing in _UP

    def is_listening(self) -> bool:
        """Tell whether no worker runs, and the next connection would change that."""
        return self.standing in _DOWN and self._watcher.is_at_rest() and self._can_serve()

    def is_becoming_idle(self) -> bool:
        """Tell whether it will listen once workers are stopped."""
        return self.standing is Standing.STOPPING

    def why(self) -> str:
        """Say why it stands as it does, for people."""
        return self._why

    def extras(self, slot: Slot) -> Extras:
        """Return what a start has beside the plan: nothing."""
        return {}, {}

    def entered(self, slot: Slot) -> None:
        """Hear that a slot has just changed its state: what stopped because of us says so."""
        by_us = self.standing is Standing.STOPPING and self._watcher.is_on_demand(slot)
        if slot.state is State.STOPPED and by_us:
            slot.because(f"idle for {span(self._idle_s)}")

    def settled(self, slot: Slot) -> None:
        """Hear that a slot has dealt with an event; `review` follows."""

    def review(self) -> None:
        """Go on from what is wanted, and what the slots have come to; harmless at any time."""
        if self._busy:
            return
        watcher = self._watcher
        if watcher.running is (self.standing is Standing.OFF):
            self._handle(Event.ON if watcher.running else Event.OFF)
        elif self._is_down():
            self._handle(Event.DOWN)
        elif self.standing is Standing.LISTENING and self._is_up():
            self._handle(Event.TRAFFIC)
        else:
            self._listen_or_not()
            self._look_or_not()
            self._tell()

    def mute(self) -> None:
        """Give the sockets back for a moment: they may be others when `review` takes them."""
        while self._heard:
            self._watcher.loop.remove_reader(self._heard.pop())

    def close(self) -> None:
        """Give up sockets and timer."""
        self.mute()
        self._drop_timer()

    # --- events in

    def _handle(self, event: Event) -> None:
        """Take an event, and all that it leads to, to its end."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self.standing, actions = step(self.standing, self._events.pop(0))
                for action in actions:
                    _PERFORM[action](self)
        finally:
            self._busy = False
        self.review()

    def _tell(self) -> None:
        """Say what is another than it was said last; slots wait for that, too."""
        found = self.standing, self.is_listening()
        if found != self._told:
            self._told = found
            self._watcher.demand_changed()

    def _traffic(self, name: str) -> None:
        watcher = self._watcher
        verdict = activation.trigger(self._memory, watcher.kernel.now())
        self._memory = verdict.memory
        if not isinstance(verdict, Rest):
            self._why = f"activated by {name}"
            watcher.log.info("watcher activated", watcher=watcher.spec.name, socket=name)
            self._handle(Event.TRAFFIC)
            return
        self._rest_s = verdict.delay_s
        self._why = f"{verdict.reason}, listening again after {span(verdict.delay_s)}"
        if verdict.delay_s == LEAST_REST_S:  # said once; status goes on to say it
            watcher.log.warning("watcher rests", watcher=watcher.spec.name, why=self._why)
        self._handle(Event.TOO_OFTEN)

    # --- what is

    def _can_serve(self) -> bool:
        """Tell whether a connection would find a slot that may start, and has not failed."""
        return any(slot.state is not State.FAILED for slot in self._servers())

    def _servers(self) -> Iterator[Slot]:
        watcher = self._watcher
        for slot in watcher.slots.values():
            if slot.index < watcher.workers and slot.running is not False:
                yield slot

    def _is_down(self) -> bool:
        """Tell whether no worker is left that was started, or is to stop.

        And not for good: who has failed waits for a command.
        """
        watcher = self._watcher
        if self.standing is Standing.STOPPING:
            return not any(watcher.counts[state] for state in _ENDING)
        if self.standing not in _UP or not watcher.is_at_rest():
            return False
        return self._can_serve() or not any(True for _ in self._servers())

    def _is_up(self) -> bool:
        """Tell whether a worker runs, not just because it was asked for by name."""
        slots = self._watcher.slots.values()
        return any(slot.running is None and slot.state not in AT_REST for slot in slots)

    def _listen_or_not(self) -> None:
        watcher = self._watcher
        listens = self.standing is Standing.LISTENING and watcher.is_at_rest() and self._can_serve()
        if not listens:
            self.mute()
        elif not self._heard:
            for name, fd in watcher.sockets().items():
                watcher.loop.add_reader(fd, self._traffic, name)
                self._heard.append(fd)

    # --- idle?

    def _look_or_not(self) -> None:
        """Begin to look whether it is idle, once a worker is ready."""
        if self.standing is Standing.ACTIVE and self._timer is None and self._may_idle():
            self._idle_since = None
            self._judge(idle=False)

    def _look(self) -> None:
        self._timer = None
        if self._may_idle():
            self._judge(idle=self._is_idle())

    def _may_idle(self) -> bool:
        """Tell whether looks are of use: not as long as one that was started by name is to stay."""
        watcher = self._watcher
        if not watcher.spec.idle_timeout_s or not watcher.counts[State.READY]:
            return False
        return not any(slot.running for slot in watcher.slots.values())

    def _judge(self, *, idle: bool) -> None:
        now, timeout_s = self._watcher.kernel.now(), self._watcher.spec.idle_timeout_s
        verdict = activation.watch(self._idle_since, timeout_s, idle=idle, now=now)
        if isinstance(verdict, Stop):
            self._idle_s = verdict.idle_s
            self._handle(Event.IDLE)
        else:
            self._idle_since = verdict.since
            self._set_timer(verdict.delay_s, self._look)

    def _is_idle(self) -> bool:
        """Tell whether all workers are ready, none has a connection, and nothing waits."""
        watcher = self._watcher
        if not self._all_ready():
            return False
        if any(map(watcher.kernel.is_readable, watcher.sockets().values())):
            return False
        uses = self._uses()
        return not any(uses) and (None not in uses or self._has_slept())

    def _all_ready(self) -> bool:
        counts = self._watcher.counts
        ready, at_rest = counts[State.READY], sum(counts[state] for state in AT_REST)
        return ready > 0 and ready + at_rest == len(self._watcher.slots)

    def _uses(self) -> list[bool | None]:
        """Tell of each socket whether a connection is open, None for one of datagrams.

        Where the kernel does not tell, one may be.
        """
        watcher = self._watcher
        try:
            return [watcher.kernel.in_use(fd) for fd in watcher.sockets().values()]
        except OSError as error:
            if not self._cannot_look:
                self._cannot_look = True
                watcher.log.warning(
                    "cannot see connections",
                    watcher=watcher.spec.name,
                    why=error.strerror,
                    next="idle_timeout has no effect",
                )
            return [True]

    def _has_slept(self) -> bool:
        """Tell whether no process of it has run since the last look: it has nothing in hand."""
        ran_ns = sum(map(self._watcher.kernel.run_time_ns, self._processes()))
        before, self._ran_ns = self._ran_ns, ran_ns
        return ran_ns == before

    def _processes(self) -> Iterator[int]:
        for slot in self._watcher.slots.values():
            if slot.child is not None:
                yield from slot.child.processes()

    # --- actions out

    def _start(self) -> None:
        self._idle_s = 0.0
        self._clear()
        self._watcher.reconcile()

    def _clear(self) -> None:
        """Have what has ended well be as good as new."""
        for slot in list(self._watcher.slots.values()):
            if slot.state is State.COMPLETED:
                slot.reset()

    def _listen(self) -> None:
        self._why = f"idle for {span(self._idle_s)}" if self._idle_s else ""
        self._clear()

    def _rest(self) -> None:
        self._set_timer(self._rest_s, self._rested)

    def _rested(self) -> None:
        self._timer = None
        self._why = ""
        self._handle(Event.RESTED)

    def _suspend(self) -> None:
        self._signal(SIGSTOP)
        self._suspended_at = self._watcher.kernel.now()
        self._set_timer(SUSPEND_CHECK_S, self._look_closely, SUSPEND_CHECK_S)

    def _look_closely(self, waited_s: float) -> None:
        """Go on once all is suspended: nothing can be accepted any more."""
        self._timer = None
        if not self._all_ready():
            self._handle(Event.BUSY)
        elif all(map(self._has_stopped, self._processes())):
            self._handle(Event.BUSY if any(self._uses()) else Event.QUIET)
        elif self._watcher.kernel.now() - self._suspended_at < SUSPEND_WITHIN_S:
            self._set_timer(waited_s * 2, self._look_closely, waited_s * 2)
        else:
            self._handle(Event.BUSY)

    def _has_stopped(self, pid: int) -> bool:
        try:
            return self._watcher.kernel.has_stopped(pid)
        except OSError:  # no descriptor left to look with
            return False

    def _resume(self) -> None:
        self._idle_s = 0.0
        self._signal(SIGCONT)

    def _signal(self, signo: int) -> None:
        for slot in self._watcher.slots.values():
            try:
                slot.send(signo, Whom.ALL)
            except OSError:  # another user's: it will be seen that it has not stopped
                continue

    def _stop(self) -> None:
        watcher = self._watcher
        self._memory = FRESH  # what it was started for has been served
        watcher.log.info("watcher idle", watcher=watcher.spec.name, for_s=self._idle_s)
        self._lets_go = True
        watcher.reconcile()
        self._lets_go = False
        self._set_timer(RESUME_AFTER_S, self._resume_late)

    def _resume_late(self) -> None:
        self._timer = None
        self._signal(SIGCONT)

    # --- the one timer

    def _set_timer(self, delay_s: float, call: Callable[..., None], *args: object) -> None:
        self._drop_timer()
        watcher = self._watcher
        self._timer = watcher.loop.call_at(watcher.kernel.now() + delay_s, call, *args)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_PERFORM: dict[Action, Callable[[OnDemand], None]] = {
    Action.START: OnDemand._start,
    Action.LISTEN: OnDemand._listen,
    Action.REST: OnDemand._rest,
    Action.SUSPEND: OnDemand._suspend,
    Action.RESUME: OnDemand._resume,
    Action.STOP: OnDemand._stop,
    Action.DROP_TIMER: OnDemand._drop_timer,
}
