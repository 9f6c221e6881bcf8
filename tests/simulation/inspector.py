"""What has to hold after each event, whatever happened."""

from __future__ import annotations

from collections import Counter

from pidsup.loop.loop import EpollLoop
from pidsup.loop.timers import TimerHandle
from pidsup.policy.lifecycle import AT_REST, State
from pidsup.supervisor import table
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.vitals import Vitals
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher
from tests.simulation import views
from tests.simulation.census import Census
from tests.simulation.clients import Clients
from tests.simulation.files import Files
from tests.simulation.kernel import FakeKernel, Still
from tests.simulation.poller import MemoryDescription
from tests.simulation.process import Status
from tests.simulation.violation import Violation, demand

# Tuples: hashing an enum takes longer than a few comparisons, and this runs most of the time.
_AT_REST = tuple(AT_REST)
_DOWN = (*_AT_REST, State.WAITING, State.BACKOFF)
_ENDING = (State.STOPPING, State.KILLING)
_UNWANTED = (*_AT_REST, *_ENDING, State.CLEANING)
_STATES = tuple(State)


class Inspector:
    """Looks at everything after each event, and remembers what it needs for the next."""

    def __init__(
        self, supervisor: Supervisor, kernel: FakeKernel, loop: EpollLoop, clients: Clients
    ) -> None:
        self.census = Census(supervisor, kernel, loop)
        self._supervisor = supervisor
        self._kernel = kernel
        self._loop = loop
        self._clients = clients
        self._fixed_fds = frozenset(kernel.descriptions)
        table_file = kernel.descriptions[views.table_fd(supervisor)]
        assert isinstance(table_file, MemoryDescription)
        self._table = table_file.data
        self._table_is_new = False
        self._entered: dict[Slot, State] = {}
        self._last_start: dict[Watcher, tuple[float, float]] = {}  # and the delay behind it
        self.files: Files | None = None
        self._states: dict[Slot, State] = {}
        self.hurry = False  #: the second wish to shut down has come
        self._vitals = Vitals(supervisor, Still(kernel))
        kernel.on_pwrite = self._written

    # --- during an event

    def _written(self, data: bytes, offset: int) -> None:
        self._table_is_new = True

    def entered(self, watcher: Watcher, slot: Slot) -> None:
        """See a slot change its state, before it acts."""
        before, self._entered[slot] = self._entered.get(slot, State.STOPPED), slot.state
        self._kernel.machine.note("state", slot.name, slot.state.value)
        if slot.state is State.STARTING and before in (State.STOPPED, State.WAITING):
            self._begins(watcher)
        elif slot.state is State.READY and views.says_ready(slot):
            self._is_ready(slot)
        elif slot.state is State.STOPPING and views.is_stopped_as_idle(watcher, slot):
            self._stops_idle(slot)

    def _is_ready(self, slot: Slot) -> None:
        """Demand that the worker has said so, in time."""
        assert slot.child is not None
        main = self.census.main(slot.child)
        if main not in self._kernel.talk.said_ready:
            self._kernel.violations.append(f"{slot} is ready before {main} said so")

    def _begins(self, watcher: Watcher) -> None:
        """Demand that a start by command comes in order, and not too soon after another."""
        name, spec = watcher.spec.name, watcher.spec
        for other in spec.after:
            if not self._supervisor.watchers[other].is_started():
                self._kernel.violations.append(f"{name} starts before {other} has been started")
        now = self._kernel.machine.now
        last, delay_s = self._last_start.get(watcher, (-1e9, 0.0))
        if now - last < min(delay_s, spec.warmup_delay_s) - 1e-3:
            self._kernel.violations.append(f"{name} starts two workers within warmup_delay")
        self._last_start[watcher] = now, spec.warmup_delay_s

    def _stops_idle(self, slot: Slot) -> None:
        """Demand that an idle worker has nothing in hand, and cannot take anything."""
        if slot.child is not None and slot.child.exit is None:
            main = self.census.main(slot.child)
            lost = self._kernel.traffic.held_by(main)
            if main.status is Status.ALIVE and (lost or not main.suspended):
                self._kernel.violations.append(f"{slot} is stopped as idle, with {lost}")

    # --- after an event

    def look(self) -> None:
        """Demand all that has to hold between two events."""
        kernel = self._kernel
        if kernel.violations:
            raise Violation("; ".join(kernel.violations))
        fds = self.census.look()
        for watcher in self._supervisor.watchers.values():
            fds.update(views.connections(watcher))
            fds.update(views.inbox_fds(watcher))
        self._look_at_fds(fds)
        timers = self._clients.timers()
        patience = views.patience(self._supervisor)
        if patience is not None:
            timers.append(patience)
        awaited = views.awaited(self._supervisor, self._loop)
        for watcher in self._supervisor.watchers.values():
            self._look_at_watcher(watcher, timers)
            for slot in watcher.slots.values():
                self._look_at_slot(slot, slot in awaited)
                self._look_at_timer(slot, timers)
                self._look_at_wishes(watcher, slot)
        live = views.live_timers(self._loop)
        if len(live) != len(timers) or set(live) != set(timers):
            raise Violation(f"{len(live)} timers are set, {len(timers)} have an owner")
        if self._table_is_new:
            self._table_is_new = False
            if not self._kernel.write_faults:  # else it may lag behind, until the slot moves on
                self._look_at_table()
        self._clients.check()
        trouble = self._vitals.trouble()
        # A dead file system holds up one start after the other, and there may be forty.
        held_up = kernel.faults.slow and "has not been tried" in trouble
        if trouble and not held_up:
            raise Violation(f"systemd's watchdog would not be fed: {trouble}")

    def _look_at_fds(self, owned: set[int]) -> None:
        owned |= self._fixed_fds
        if self._kernel.descriptions.keys() != owned:
            leaked = self._kernel.descriptions.keys() - owned
            gone = owned - self._kernel.descriptions.keys()
            raise Violation(f"descriptors leaked: {leaked}; held, but closed: {gone}")

    def _look_at_watcher(self, watcher: Watcher, timers: list[TimerHandle]) -> None:
        if self._table_is_new:  # a state has changed
            counted = Counter(slot.state for slot in watcher.slots.values())
            if any(counted[state] != watcher.counts[state] for state in _STATES):
                raise Violation(f"{watcher} counts {watcher.counts}, there are {counted}")
        if watcher.leaving:
            demand(bool(watcher.slots), f"{watcher} has gone, but is there")
        elif not (watcher.spec.accept or all(i in watcher.slots for i in range(watcher.workers))):
            raise Violation(f"{watcher} has only the slots {sorted(watcher.slots)}")
        timers += filter(None, (views.warmup(watcher), views.demand_timer(watcher)))
        self._look_at_order(watcher)

    def _look_at_order(self, watcher: Watcher) -> None:
        """Demand that a watcher is stopped only after those that come after it and stop too."""
        name, supervisor = watcher.spec.name, self._supervisor
        stopped = False
        for slot in watcher.slots.values():
            before, self._states[slot] = self._states.get(slot), slot.state
            live = before in (State.READY, State.STARTING)
            told = slot.index < watcher.workers and not watcher.wants(slot)
            condemned = views.is_condemned(slot)  # late, or silent: that waits for nobody
            stops = slot.state is State.STOPPING and not condemned
            stopped = stopped or (live and told and stops)
        if stopped and not watcher.running and not self.hurry:
            followers = [w for w in supervisor.watchers.values() if name in w.spec.after]
            if any(follower.is_going_down() for follower in followers):
                raise Violation(f"{name} is stopped before {followers}")

    def _look_at_slot(self, slot: Slot, awaited: bool) -> None:
        """Demand that the slot has just what belongs to its state."""
        state, child = slot.state, slot.child
        lives = child is not None and child.exit is None
        if state in _DOWN:
            right = child is None and not awaited
        elif state is State.STARTING:
            right = awaited if child is None else lives and not awaited and views.says_ready(slot)
        elif state is State.READY:
            right = lives and not awaited
        elif state is State.CLEANING:
            right = child is not None and not lives and not awaited
        else:
            right = lives != awaited and lives == (child is not None)
        if self.hurry and state is State.STOPPING:
            right = False
        if not right or views.is_busy(slot):
            raise Violation(f"{slot} has {child}, {lives=}, {awaited=}")

    def _look_at_timer(self, slot: Slot, timers: list[TimerHandle]) -> None:
        state, timer = slot.state, views.timer(slot)
        timed = state in (State.BACKOFF, State.CLEANING) or (
            state in (*_ENDING, State.STARTING) and slot.child is not None
        )
        timed = timed or (state is State.READY and views.watchdog_s(slot) > 0)
        if timed != (timer is not None) or timed != (slot.due_at is not None):
            raise Violation(f"{slot} has the timer {timer}, due at {slot.due_at}")
        if timer is not None:
            timers.append(timer)
        self._look_at_patience(slot)

    def _look_at_patience(self, slot: Slot) -> None:
        """Demand that nobody takes longer to be ready, or is silent for longer, than he may."""
        limit_s = views.patience_with(slot)
        if slot.due_at is not None and limit_s is not None:
            since = self._kernel.machine.now
            if slot.due_at > since + limit_s + 1e-3:
                raise Violation(f"{slot} is given until {slot.due_at}, {limit_s:g} s are allowed")

    def _look_at_wishes(self, watcher: Watcher, slot: Slot) -> None:
        """Demand that the reconciler has done all that can be done at once."""
        state = slot.state
        if not watcher.wants(slot):
            if state not in _UNWANTED and not self._may_wait_to_stop(watcher, state):
                raise Violation(f"{slot} is not wanted")
            if (slot.index >= watcher.workers or watcher.leaving) and state in _AT_REST:
                raise Violation(f"{slot} is one too many")
        elif state is State.STOPPED:
            raise Violation(f"{slot} is wanted")
        elif state is State.READY:
            if slot.outdated():
                raise Violation(f"{slot} was to be restarted")
        elif state is State.WAITING and views.warmup(watcher) is None:
            supervisor = self._supervisor
            if not supervisor.held_up_by(watcher) and not views.is_looking(supervisor):
                raise Violation(f"{slot} waits for nothing")

    def _may_wait_to_stop(self, watcher: Watcher, state: State) -> bool:
        """Tell whether watchers that come after this one have to be stopped first."""
        supervisor = self._supervisor
        if watcher.running or state not in (State.READY, State.STARTING):
            return False
        return not supervisor.may_stop(watcher) or views.is_looking(supervisor)

    def _look_at_table(self) -> None:
        """Demand that a successor would know of each slot and each worker."""
        told = {(r.watcher, r.slot): r for r in table.read(bytes(self._table))}
        for slot in views.slots(self._supervisor):
            record = told.pop((slot.name.partition(":")[0], slot.index), None)
            if record is None:
                demand(slot.state is State.STOPPED, f"{slot} is not in the table")
                continue
            child = slot.child
            pid, inode = (0, 0) if child is None else (child.pid, child.inode)
            if record.state is not slot.state or (record.pid, record.inode) != (pid, inode):
                raise Violation(f"the table says {record} of {slot}, whose process is {pid}")
        demand(not told, f"the table has too much: {told}")

    # --- when nothing happens any more

    def look_at_rest(self) -> None:
        """Demand that all is as wanted, now that the supervisor would sleep for ever."""
        for watcher in self._supervisor.watchers.values():
            for slot in watcher.slots.values():
                up = slot.state in (State.READY, State.FAILED, State.COMPLETED)
                right = up if watcher.wants(slot) else slot.state in _AT_REST
                demand(right, f"{slot} at rest, wanted={watcher.wants(slot)}")
                if slot.state is State.READY:
                    same = slot.generation == watcher.generation
                    demand(same, f"{slot} has a worker of generation {slot.generation}")
            self._look_at_queue(watcher)
        self._look_at_configuration()
        open_changes = [str(c) for c in self._supervisor.changes.under_way.values()]
        demand(not open_changes, f"never over: {open_changes}")
        demand(not self._clients.are_waiting(), "a client waits for ever")
        self._clients.reader.look_at_rest()

    def _look_at_configuration(self) -> None:
        """Demand that it is as the files said when they were accepted last."""
        assert self.files is not None
        wanted = {spec.name: spec for spec in self.files.config.watchers}
        there = {name: watcher.spec for name, watcher in self._supervisor.watchers.items()}
        demand(there == wanted, f"{there} instead of {wanted}")
        demand(not self.files.is_busy(), "somebody still reads")

    def _look_at_queue(self, watcher: Watcher) -> None:
        """Demand that no connection waits that somebody could serve, and nobody serves none."""
        name, traffic = watcher.spec.name, self._kernel.traffic
        if watcher.running and name in traffic.fds and traffic.listener(name).queue:
            idle = traffic.serving(name) or watcher.is_listening()
            demand(not idle, f"a connection to {watcher} waits, {watcher.is_listening()=}")
        stays = any(slot.running for slot in watcher.slots.values())
        if watcher.running and watcher.spec.idle_timeout_s and not stays:
            demand(not watcher.counts[State.READY], f"{watcher} is never idle")
