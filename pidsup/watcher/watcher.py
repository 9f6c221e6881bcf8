"""A watcher: one command kept running as N workers.

It holds what is wanted; `reconcile` compares that with what is, slot by slot,
and emits the slots' events.  It is level-triggered and may be called at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from errno import ENOENT
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pidsup.config.expand import names_in
from pidsup.config.model import WatcherSpec
from pidsup.kernel import Kernel, Plan
from pidsup.log import Log
from pidsup.loop.loop import Handle, Loop
from pidsup.loop.sources import Sources
from pidsup.output.outputs import Outputs, SlotOutput
from pidsup.policy.lifecycle import AT_REST, Event, State
from pidsup.process.spawner import Spawner
from pidsup.watcher.plan import Surroundings, ingredients, is_per_slot, make_plan
from pidsup.watcher.slot import Extras, Slot

if TYPE_CHECKING:
    from pidsup.watcher.inbox import Inbox

_ENDED = frozenset({State.FAILED, State.COMPLETED})
_STARTABLE = frozenset({State.STOPPED, State.WAITING})
_STOPPABLE = frozenset({State.WAITING, State.STARTING, State.READY, State.BACKOFF})
_LIVE = frozenset({State.STARTING, State.READY})
_ON_ITS_WAY = (State.WAITING, State.STARTING, State.STOPPING, State.KILLING, State.CLEANING)


class Shared(NamedTuple):
    """What all watchers of a supervisor use; all borrowed."""

    kernel: Kernel
    loop: Loop
    spawner: Spawner
    log: Log
    surroundings: Surroundings
    outputs: Outputs
    sources: Sources


class Superior(Protocol):
    """What a watcher reports to; the supervisor."""

    def held_up_by(self, watcher: Watcher) -> list[str]:
        """Return what it comes after, is to run, and has not been started yet."""

    def may_stop(self, watcher: Watcher) -> bool:
        """Tell whether what comes after it, and is to stop too, has been stopped."""

    def slot_entered(self, watcher: Watcher, slot: Slot) -> None:
        """Hear that a slot has just changed its state; before the actions."""

    def slot_settled(self, watcher: Watcher, slot: Slot) -> None:
        """Hear that a slot has dealt with an event."""

    def slot_dropped(self, watcher: Watcher, slot: Slot) -> None:
        """Hear that a slot is no more."""

    def gave_up(self, watcher: Watcher, slot: Slot) -> None:
        """Hear that a slot was given up, after the watcher has done its part."""

    def await_empty_tree(self, slot: Slot) -> None:
        """Have the slot look again whenever orphans have been reaped."""

    def demand_changed(self, watcher: Watcher) -> None:
        """Hear that a watcher on demand listens from now on, or does not."""


class Demand(Protocol):
    """What decides when the slots of a watcher on demand are wanted; activation, accepting."""

    def wants(self, slot: Slot) -> bool:
        """Tell whether a slot is to have a worker, if the watcher is to run."""

    def is_listening(self) -> bool:
        """Tell whether the supervisor waits for the next connection."""

    def is_becoming_idle(self) -> bool:
        """Tell whether it will listen once workers are stopped."""

    def why(self) -> str:
        """Say why it stands as it does, for people."""

    def extras(self, slot: Slot) -> Extras:
        """Return what a start has beside the plan."""

    def entered(self, slot: Slot) -> None:
        """Hear that a slot has just changed its state."""

    def settled(self, slot: Slot) -> None:
        """Hear that a slot has dealt with an event; `review` follows."""

    def review(self) -> None:
        """Go on from what is wanted, and what the slots have come to; harmless at any time."""

    def mute(self) -> None:
        """Give the sockets back for a moment: they may be others when `review` takes them."""

    def close(self) -> None:
        """Give up all."""


class Watcher:
    """Keeps slots as wanted.  Owns its slots."""

    def __init__(self, spec: WatcherSpec, shared: Shared, superior: Superior) -> None:
        """Start out wanting nothing."""
        self.spec = spec
        self.kernel, self.loop, self.spawner, self.log, self._around, *_ = shared
        self._outputs, self._sources = shared.outputs, shared.sources
        self.generation = 1  #: of the spec
        self.running = False  #: wanted
        self.leaving = False  #: it goes with its last slot: the configuration has it no more
        self.workers = spec.workers  #: wanted
        self.slots: dict[int, Slot] = {}
        self.counts: Counter[State] = Counter()  #: slots in each state
        self._superior = superior
        self._plan: Plan | None = None
        self._per_slot = is_per_slot(spec)
        self._serial = 0
        self._started_at = -inf  # the last that took its turn
        self._warmup: Handle | None = None
        self.demand: Demand | None = make_demand(self)
        self.resize(spec.workers)

    def __repr__(self) -> str:
        """Show what is wanted."""
        return f"Watcher({self.spec.name}, running={self.running}, workers={self.workers})"

    # --- wishes; each is carried out before it returns, as far as it goes at once

    def start(self, slots: Iterable[Slot] | None = None) -> None:
        """Want all slots, or these, to run; forgive what failed."""
        self._want(True, slots)

    def stop(self, slots: Iterable[Slot] | None = None) -> None:
        """Want all slots, or these, to be down."""
        chosen = self._want(False, slots)
        for slot in chosen:
            is_there = self.slots.get(slot.index) is slot  # one that is not wanted may be gone
            if is_there and slot.state in (State.FAILED, State.COMPLETED):
                slot.handle(Event.STOP)

    def restart(self, slots: Iterable[Slot] | None = None) -> None:
        """Want workers in all slots, or in these, that are started from now on."""
        slots = None if slots is None else list(slots)
        self._outdate(self.slots.values() if slots is None else slots)
        self._want(True, slots)

    def _outdate(self, slots: Iterable[Slot]) -> None:
        """Want other workers in the slots; but a connection has one, to its end."""
        now = self.kernel.now()
        for slot in () if self.spec.accept else slots:
            slot.not_before = now

    def leave(self) -> None:
        """Want all slots to be down, and to be no more."""
        self.leaving, self.running = True, False
        for slot in reversed(list(self.slots.values())):
            slot.running = None
            self.reconcile_slot(slot)
        self._review()

    def adopt(self, spec: WatcherSpec, *, renew: bool) -> None:
        """Be configured so from now on; what is under way is not touched.

        `reconcile` is to follow.  With *renew* it is another generation: what starts from now
        on is of that, and `renew` is to follow.
        """
        old, self.spec = self.spec, spec
        self._forget_warmup()  # it may be another
        if renew:
            self._renew_demand(old)
            self.leaving = False
            self.generation += 1
            self._plan = None
            self._per_slot = is_per_slot(spec)
            targets = (spec.output.stdout, spec.output.stderr)
            other = spec.output != old.output or "generation" in names_in(targets)
            for slot in self.slots.values():
                slot.own_plan = None
                slot.output_is_old = slot.output_is_old or other

    def _renew_demand(self, old: WatcherSpec) -> None:
        """Decide from now on as the spec says; `review` takes the sockets, which may be others."""
        if self.demand is not None:
            self.demand.mute()
        if (old.on_demand, old.accept) != (self.spec.on_demand, self.spec.accept):
            if self.demand is not None:
                self.demand.close()
            self.demand = make_demand(self)
        if old.accept is not self.spec.accept:
            # What ran until now has no connection to end with; and no place is one's any more.
            for slot in self.slots.values():
                slot.running = False if self.spec.accept else None
            self.resize(self.workers)

    def renew(self) -> None:
        """Want workers of this generation in all slots that are wanted; forgive what failed."""
        self._outdate(self.slots.values())
        for slot in list(self.slots.values()):
            if self.wants(slot):
                slot.reset()
            self.reconcile_slot(slot)
        self._review()

    def resize(self, workers: int) -> None:
        """Want this many workers, the highest slots go first; `reconcile` carries it out."""
        self.workers = workers
        for index in () if self.spec.accept else range(workers):
            if index not in self.slots:
                self._make_slot(index)

    def make_slot(self) -> Slot:
        """Make the slot of a connection, at the lowest place that is free."""
        return self._make_slot(next(i for i in range(len(self.slots) + 1) if i not in self.slots))

    def _make_slot(self, index: int) -> Slot:
        slot = self.slots[index] = Slot(self, index)
        self.counts[State.STOPPED] += 1
        return slot

    def _want(self, running: bool, slots: Iterable[Slot] | None) -> list[Slot]:
        if slots is None:
            self.running = running
            chosen = list(self.slots.values())
            for slot in chosen:
                slot.running = None
        else:
            chosen = list(slots)
            for slot in chosen:
                if not (running and self.wants(slot)):  # else there is nothing to ask for
                    slot.running = running
        for slot in chosen if running else reversed(chosen):
            if running:
                slot.reset()
            self.reconcile_slot(slot)
        self._review()
        return chosen

    def hurry(self) -> None:
        """Have every stop jump to SIGKILL."""
        for slot in list(self.slots.values()):
            slot.handle(Event.KILL_DUE)

    # --- what is

    def is_started(self) -> bool:
        """Tell whether no slot is still on its way to a first attempt, or is not to run.

        On demand it has been started once it listens, whatever comes of that.
        """
        if self.demand is not None:
            return True
        return not self.running or not any(self.counts[state] for state in _ON_ITS_WAY)

    def is_at_rest(self) -> bool:
        """Tell whether nothing runs and nothing will by itself."""
        return sum(self.counts[state] for state in AT_REST) == len(self.slots)

    def is_going_down(self) -> bool:
        """Tell whether a slot that is not wanted is not at rest yet."""
        if self.is_at_rest():  # the usual answer, without a walk
            return False
        slots = self.slots.values()
        return any(slot.state not in AT_REST and not self.wants(slot) for slot in slots)

    def wants(self, slot: Slot) -> bool:
        """Tell whether the slot is to have a worker."""
        if slot.index >= self.workers and not self.spec.accept:
            return False
        if slot.running is not None:
            return slot.running
        return self.running and (self.demand is None or self.demand.wants(slot))

    def is_on_demand(self, slot: Slot) -> bool:
        """Tell whether it is for connections to start the slot, and not for commands."""
        is_one = slot.index < self.workers or self.spec.accept
        return self.running and self.demand is not None and slot.running is None and is_one

    def is_becoming_idle(self) -> bool:
        """Tell whether it is on demand, and does not listen yet: its workers are stopped."""
        return self.demand is not None and self.demand.is_becoming_idle()

    def is_listening(self) -> bool:
        """Tell whether it is on demand, to run, and waits for the next connection."""
        return self.demand is not None and self.demand.is_listening()

    def exit_code(self) -> int | None:
        """Return the code of a watcher that has ended for good, None while it has not.

        That of the first slot that failed, else of the first whose code is not 0, as a
        shell has it: 128 and the signal's number for one that was killed, 127 or 126 for
        one that could not be started.
        """
        wanted = [slot for slot in self.slots.values() if self.wants(slot)]
        if not wanted or any(slot.state not in _ENDED for slot in wanted):
            return None
        failed = [code_of(slot) or 1 for slot in wanted if slot.state is State.FAILED]
        others = [code for slot in wanted if (code := code_of(slot))]
        return (failed or others or [0])[0]

    # --- reconciling

    def waits_for(self) -> str:
        """Say what a slot that is waiting waits for, for people."""
        held_up_by = self._superior.held_up_by(self)
        return f"after {', '.join(held_up_by)}" if held_up_by else "for warmup_delay"

    def waits_to_start(self) -> bool:
        """Tell whether a slot waits, for other watchers or for warmup_delay."""
        return self.counts[State.WAITING] > 0

    def waits_to_stop(self) -> bool:
        """Tell whether slots may run only because others have to stop before."""
        return not self.running and any(self.counts[state] for state in _LIVE)

    def reconcile(self) -> None:
        """Bring all slots nearer to what is wanted: up from the lowest, down from the highest."""
        for index in sorted(self.slots, reverse=not self.running):
            slot = self.slots.get(index)
            if slot is not None:
                self.reconcile_slot(slot)
        self._review()

    def _review(self) -> None:
        if self.demand is not None:
            self.demand.review()

    def reconcile_slot(self, slot: Slot) -> None:
        """Bring one slot nearer to what is wanted."""
        event = self._due_event(slot)
        if event is not None:
            slot.handle(event)
        elif slot.state in AT_REST and (
            slot.index >= self.workers or self.leaving or self.spec.accept
        ):
            self._drop(slot)

    def _due_event(self, slot: Slot) -> Event | None:
        """Return the event that changes the slot towards what is wanted."""
        state = slot.state
        if not self.wants(slot):
            return Event.STOP if state in _STOPPABLE and self._may_stop(slot) else None
        if state in _LIVE:
            return Event.STOP if slot.outdated() else None
        if state in _STARTABLE:
            if self._take_turn():
                return Event.START
            return Event.WAIT if state is State.STOPPED else None
        return None

    def _may_stop(self, slot: Slot) -> bool:
        """Tell whether the slot need not wait for watchers that come after this one.

        Only the stop of the whole watcher waits, and only with what runs.
        """
        if self.running or slot.index >= self.workers or slot.state not in _LIVE:
            return True
        return self._superior.may_stop(self)

    def _take_turn(self) -> bool:
        """Tell whether a worker may start now; if so, the next waits for warmup_delay."""
        if self._superior.held_up_by(self):
            return False
        delay_s = self.spec.warmup_delay_s
        if not delay_s:
            return True
        now, due_at = self.kernel.now(), self._started_at + delay_s
        if now >= due_at:
            self._started_at = now
            return True
        if self._warmup is None:
            self._warmup = self.loop.call_at(due_at, self._warmed_up)
        return False

    def _warmed_up(self) -> None:
        self._warmup = None
        self.reconcile()

    def _forget_warmup(self) -> None:
        if self._warmup is not None:
            self._warmup.cancel()
            self._warmup = None

    def _drop(self, slot: Slot) -> None:
        if self.slots.get(slot.index) is slot:
            del self.slots[slot.index]
            self.counts[slot.state] -= 1
            slot.close()
            self._superior.slot_dropped(self, slot)

    # --- Owner, for the slots

    def plan(self, slot: Slot) -> Plan:
        """Return the plan, prepared with the first start that succeeds in it.

        One for all slots, unless something in it names the slot.
        """
        if self._per_slot:
            slot.own_plan = slot.own_plan or self._make_plan(slot)
            return slot.own_plan
        if self._plan is None:
            self._plan = self._make_plan(slot)
        return self._plan

    def _make_plan(self, slot: Slot) -> Plan:
        return make_plan(self.spec, self._around, self._values(slot.index))

    def recipe(self, index: int) -> dict[str, Any]:
        """Return what the plan of a slot is made from, for who wants to run something alike."""
        return ingredients(self.spec, self._around, self._values(index))

    def _values(self, index: int) -> dict[str, str]:
        """Return what the placeholders of a slot stand for, but for sockets and variables."""
        return {
            "watcher": self.spec.name,
            "slot": str(index),
            "generation": str(self.generation),
        }

    def open_output(self, slot: Slot) -> SlotOutput:
        """Open it."""
        values = self._values(slot.index)
        values.update((f"env.{name}", value) for name, value in self._around.environment.items())
        return self._outputs.open(self.spec.output, slot=slot.name, values=values)

    def hears(self) -> bool:
        """Tell whether workers have something to say, or to be kept."""
        spec = self.spec
        return spec.type == "notify" or bool(spec.watchdog_s or spec.fd_store_max)

    def open_inbox(self, slot: Slot) -> Inbox:
        """Open it."""
        from pidsup.watcher.inbox import Inbox

        return Inbox(slot, self, self._sources, self._around.notify_addresses)

    def output_kept(self) -> tuple[str, str]:
        """Say where its stdout and stderr can be read: memory, journal or none."""
        return self._outputs.kept(self.spec.output)

    def next_serial(self) -> int:
        """Count the workers."""
        self._serial += 1
        return self._serial

    def sockets(self) -> dict[str, int]:
        """Return the descriptors of its sockets by name; borrowed."""
        stdin = self.spec.stdin_socket
        names = self.spec.sockets if stdin is None else (*self.spec.sockets, stdin)
        return {name: self._around.listeners[name] for name in names}

    def extras(self, slot: Slot) -> Extras:
        """Return what a start has beside the plan: the connection that it is for."""
        return ({}, {}) if self.demand is None else self.demand.extras(slot)

    def demand_changed(self) -> None:
        """Pass it on."""
        self._superior.demand_changed(self)

    def entered(self, slot: Slot, before: State) -> None:
        """Keep count, and pass it on."""
        self.counts[before] -= 1
        self.counts[slot.state] += 1
        if self.demand is not None:
            self.demand.entered(slot)
        self._superior.slot_entered(self, slot)

    def settled(self, slot: Slot) -> None:
        """Go on with the slot, and pass it on."""
        if self.demand is not None:
            self.demand.settled(slot)
        self.reconcile_slot(slot)
        self._review()
        if slot.inbox is not None and slot.state in AT_REST:
            slot.inbox.store.close()  # there is no next worker to keep anything for
        self._superior.slot_settled(self, slot)

    def await_empty_tree(self, slot: Slot) -> None:
        """Pass it on."""
        self._superior.await_empty_tree(slot)

    def gave_up(self, slot: Slot) -> None:
        """Pass it on."""
        self._superior.gave_up(self, slot)

    def close(self) -> None:
        """Drop the timers, and the outputs."""
        if self.demand is not None:
            self.demand.close()
        for slot in self.slots.values():
            slot.close()
        self._forget_warmup()


def make_demand(watcher: Watcher) -> Demand | None:
    """Return what decides for a watcher on demand, None for any other."""
    if watcher.spec.accept:
        from pidsup.watcher.accepting import Accepting

        return Accepting(watcher)
    if watcher.spec.on_demand:
        from pidsup.watcher.activation import OnDemand

        return OnDemand(watcher)
    return None


def code_of(slot: Slot) -> int:
    """Return what a shell would say of the slot's last start: 127 for no such program."""
    if slot.start_errno is not None:
        return 127 if slot.start_errno == ENOENT else 126
    last = slot.last_exit
    if last is not None and last.signo is not None:
        return 128 + last.signo
    return 1 if last is None or last.code is None else last.code
