"""The supervisor: owns the loop's sources, the watchers, the changes and the table.

Everything runs on one thread and is handled to its end before the next event is
looked at.  Commands (steering.py) change what is wanted; quit pre-empts everything at
any time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from functools import cache

from pidsup.config.model import Config, WatcherSpec
from pidsup.kernel import Exit, Kernel
from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.loop.sources import Sources
from pidsup.output.outputs import Outputs
from pidsup.policy.lifecycle import State
from pidsup.policy.restart import GiveUpAction
from pidsup.process.exit import report
from pidsup.process.orphans import Orphans
from pidsup.process.spawner import Spawner
from pidsup.supervisor.applying import Applying
from pidsup.supervisor.changes import Actor, Change, Changes, Goal, Task
from pidsup.supervisor.events import Events
from pidsup.supervisor.foreground import Foreground
from pidsup.supervisor.hearing import Signals
from pidsup.supervisor.leftovers import Leftovers
from pidsup.supervisor.order import ordered
from pidsup.supervisor.table import Identity, Table
from pidsup.supervisor.wishes import Wishes
from pidsup.watcher.plan import Surroundings
from pidsup.watcher.slot import Slot
from pidsup.watcher.sockets import Listeners
from pidsup.watcher.watcher import Shared, Watcher, code_of


class Supervisor:
    """Keeps the configured watchers as wanted.

    Owns sources, signalfd, table and watchers; borrows the rest.
    """

    def __init__(
        self,
        config: Config,
        *,
        loop: Loop,
        kernel: Kernel,
        log: Log,
        surroundings: Surroundings,
        listeners: Listeners,
        outputs: Outputs,
        identity: Identity,
        on_end: Callable[[int], object],
    ) -> None:
        """Set up without starting anything; *on_end* hears the exit code once all is down."""
        self.name = config.name
        self.files = config.files
        self.listeners = listeners
        self.outputs = outputs
        self.kernel = kernel
        self.loop = loop
        self.log = log
        self.events = Events(loop, kernel.wall, identity.instance)
        self.changes = Changes(kernel.wall, self.events.change)
        self.wishes = Wishes(self.events, kernel.now)
        outputs.on_dropped = self.events.dropped
        #: Hears that a configuration is about to be applied, True and "", perhaps several
        #: times; and once that it was, False and "", or why it was not.
        self.on_reloading: Callable[[bool, str], object] = lambda *_: None
        self.shutting_down = False
        self.exit_code = 0
        self._on_end: Callable[[int], object] | None = on_end
        self.sources = Sources(loop, kernel)
        self._signals = Signals(self)
        self._sigchld_fd = kernel.signals([signal.SIGCHLD])
        loop.add_reader(self._sigchld_fd, self._child_died)
        self.spawner = spawner = Spawner(loop, kernel, self.sources)
        self._orphans = Orphans(
            loop, kernel, spawner.children, on_reaped=self._orphan_reaped, on_done=self._no_orphans
        )
        self._cleaning: dict[Slot, None] = {}  # those that wait for their trees
        self._table = Table(kernel, identity)
        self._shared = Shared(kernel, loop, spawner, log, surroundings, outputs, self.sources)
        self._foreground = Foreground()
        #: In start order.  Another object whenever watchers have come or gone.
        self.watchers: dict[str, Watcher] = {}
        self.arrange(Watcher(spec, self._shared, self) for spec in config.watchers)
        self.applying = Applying(self)
        self._looking = False
        self._in_a_hurry = False
        self.leftovers = Leftovers(
            kernel, loop, log, timeout_s=config.orphan_timeout_s, on_timeout=self._look_later
        )

    def begin(self) -> None:
        """Start what starts by itself."""
        self.events.supervisor(self.name, "running")
        for watcher in self.watchers.values():
            if watcher.spec.autostart and not self.shutting_down:
                self.wishes.run(watcher, None, wanted=True, why="autostart")
                watcher.start()

    # --- another configuration

    def make_watcher(self, spec: WatcherSpec, why: str) -> Watcher:
        """Return a new one, which `arrange` is to put among the others."""
        watcher = Watcher(spec, self._shared, self)
        self.events.watcher_added(spec.name, spec.workers, why)
        return watcher

    def arrange(self, watchers: Iterable[Watcher]) -> None:
        """Have these watchers from now on, in start order."""
        self.watchers, self._after, self._before = ordered(watchers)
        self._ordered = any(self._after.values())
        self._foreground.look_at(self.watchers.values())

    def configured(self, config: Config) -> None:
        """Take over what is the supervisor's own."""
        self.files = config.files
        self.leftovers.timeout_s = config.orphan_timeout_s

    def let_go(self, watcher: Watcher) -> None:
        """Have it stop, and forget it once nothing of it is left."""
        watcher.leave()
        if not watcher.slots:
            self._forget(watcher)

    def _forget(self, watcher: Watcher) -> None:
        name = watcher.spec.name
        if self.watchers.get(name) is watcher:
            # Another object: somebody may be walking through this one.
            self.watchers = {n: other for n, other in self.watchers.items() if n != name}
            watcher.close()
            self.wishes.forget_watcher(name)
            self.events.watcher_removed(name)

    # --- the end, asked for

    def shutdown(self, actor: Actor, *, code: int = 0) -> Change:
        """Stop everything, in reverse order, and end with *code*; a later wish joins."""
        self.log.info("shutting down", asked_by=actor)
        tasks = [
            Task(watcher, slot, Goal.DOWN)
            for watcher in self.watchers.values()
            for slot in watcher.slots.values()
        ]
        change = self.changes.begin("shutdown", actor, "", tasks)
        if not self.shutting_down:
            self.shutting_down = True
            self.exit_code = code
            self.events.supervisor(self.name, "stopping", change.because())
            self.applying.end(change, self._look_later)
        for watcher in reversed(self.watchers.values()):
            self.wishes.run(watcher, None, wanted=False, why=change.because())
            watcher.stop()
        self.review(change)
        return change

    def hurry(self, actor: Actor) -> None:
        """Have every stop that is under way jump to SIGKILL."""
        self.log.warning("killing what has not stopped yet", asked_by=actor)
        self._in_a_hurry = True
        self._look_later()
        for watcher in self.watchers.values():
            watcher.hurry()

    def review(self, change: Change) -> None:
        """Look what has come of a change already, and whom it lets go on."""
        for task in change.tasks:
            self.changes.review(task.slot)
        self._look_later()  # what one watcher wants may be what another waits for

    # --- Superior, for the watchers

    def held_up_by(self, watcher: Watcher) -> list[str]:
        """Return what it comes after, is to run, and has not been started yet."""
        others = self._after[watcher.spec.name]
        return [other.spec.name for other in others if not other.is_started()]

    def may_stop(self, watcher: Watcher) -> bool:
        """Tell whether all that come after it, and are to stop too, have been stopped."""
        others = self._before[watcher.spec.name]
        return not any(other.is_going_down() for other in others)

    def still_up_before(self, watcher: Watcher) -> list[str]:
        """Return what comes after it, and has to stop before it."""
        others = self._before[watcher.spec.name]
        return [other.spec.name for other in others if other.is_going_down()]

    def slot_entered(self, watcher: Watcher, slot: Slot) -> None:
        """Write down a start before it is made; the rest can wait until the slot has settled."""
        self.events.slot(watcher, slot)
        self._foreground.entered(slot)
        is_exec = watcher.spec.type == "exec"
        if slot.state is State.STARTING:
            self._record(watcher, slot)
        elif slot.state is State.READY and not is_exec:
            self.log.info("worker ready", slot=slot.name)
        if slot.child is not None and slot.state is (State.READY if is_exec else State.STARTING):
            self.log.info(
                "worker started",
                slot=slot.name,
                pid=slot.child.pid,
                serial=slot.serial,
                generation=slot.generation,
            )
            self._foreground.look()  # its SIGCHLD may have come before we knew it

    def slot_settled(self, watcher: Watcher, slot: Slot) -> None:
        """Write it down, and see who waits for it: changes, other watchers, the shutdown."""
        if slot.written is not slot.state and watcher.slots.get(slot.index) is slot:
            self._record(watcher, slot)
        self.events.settled(slot)
        self.changes.review(slot)
        if watcher.spec.critical and not self.shutting_down:
            self._end_with(watcher)
        if self._ordered or self.shutting_down:
            self._look_later()

    def _end_with(self, watcher: Watcher) -> None:
        """Shut down if a critical watcher has ended for good."""
        code = watcher.exit_code()
        if code is not None:
            self._end_because_of(watcher, code)

    def _end_because_of(self, watcher: Watcher, code: int) -> None:
        self.log.info("critical watcher has ended", watcher=watcher.spec.name, code=code)
        self.shutdown(self.myself(), code=code)

    def _record(self, watcher: Watcher, slot: Slot) -> None:
        try:
            self._table.write(watcher.spec.name, slot)
        except OSError as error:  # no memory: a successor will know less, the workers run on
            slot.written = None  # to be tried again when it has settled next
            self._cannot_record(slot, error)

    def _cannot_record(self, slot: Slot, error: OSError) -> None:
        self.log.error("cannot write the table", slot=slot.name, why=error.strerror)

    def _look_later(self) -> None:
        """Look at all watchers in the next turn.

        Not from inside what one of them has just done: a long chain of watchers that wait
        for one another would be as many calls deep.
        """
        if not self._looking:
            self._looking = True
            self.loop.call_soon(self._look)

    def _look(self) -> None:
        """Go on with the watchers that waited for others, and end when all are down.

        Each of those others is looked at once, however many come after it.
        """
        self._looking = False
        is_started, goes_down = cache(Watcher.is_started), cache(Watcher.is_going_down)
        for name, watcher in self.watchers.items():
            starts = watcher.waits_to_start() and all(map(is_started, self._after[name]))
            stops = watcher.waits_to_stop() and not any(map(goes_down, self._before[name]))
            if starts or stops:
                watcher.reconcile()
        self._end_if_down()

    def slot_dropped(self, watcher: Watcher, slot: Slot) -> None:
        """Free its record; who waited for it to be down has his answer."""
        try:
            self._table.drop(slot)
        except OSError as error:
            self._cannot_record(slot, error)
        self._cleaning.pop(slot, None)
        self.wishes.forget(slot)
        self.events.removed(slot)
        if watcher.leaving and not watcher.slots:
            self._forget(watcher)
        self.changes.review(slot)

    def gave_up(self, watcher: Watcher, slot: Slot) -> None:
        """Do what on_give_up says."""
        action = watcher.spec.on_give_up
        if action is GiveUpAction.STOP:
            self.log.error("stopping watcher", watcher=watcher.spec.name, why=slot.reason)
            self.wishes.run(watcher, None, wanted=False, why='on_give_up = "stop"')
            watcher.stop()
            self._look_later()
            if watcher.spec.critical and not self.shutting_down:
                self._end_because_of(watcher, code_of(slot) or 1)
        elif action is GiveUpAction.EXIT and not self.shutting_down:
            self.log.error("giving up", watcher=watcher.spec.name, why=slot.reason)
            self.shutdown(self.myself(), code=watcher.spec.give_up_exit_code)

    def demand_changed(self, watcher: Watcher) -> None:
        """Tell of it; who waited for the watcher to be started has his answer once it listens."""
        self.events.demand(watcher)
        for slot in list(watcher.slots.values()):
            self.changes.review(slot)
        if self._ordered or self.shutting_down:
            self._look_later()

    def await_empty_tree(self, slot: Slot) -> None:
        """Have it look again after the next orphans."""
        self._cleaning[slot] = None

    def myself(self) -> Actor:
        """Return the actor for what nobody asked for."""
        return Actor(0, 0, "pidsup")

    # --- signals and orphans

    def _child_died(self) -> None:
        self.kernel.read_signals(self._sigchld_fd)
        self._foreground.look()
        self._orphans.look()

    def _orphan_reaped(self, pid: int, ended: Exit) -> None:
        self.leftovers.forget(pid)
        if ended.signal != signal.SIGKILL:  # else we have killed it with its worker
            self.log.info("orphan reaped", pid=pid, how=report(ended))

    def _no_orphans(self) -> None:
        waiting, self._cleaning = self._cleaning, {}
        for slot in waiting:
            slot.look_again()
        if self.shutting_down:
            self._look_later()

    # --- the end

    def _end_if_down(self) -> None:
        if not self.shutting_down or self._on_end is None:
            return
        if not all(watcher.is_at_rest() for watcher in self.watchers.values()):
            return
        if self.applying.is_reading():
            return
        if self.leftovers.end(in_a_hurry=self._in_a_hurry):
            on_end, self._on_end = self._on_end, None
            on_end(self.exit_code)

    def close(self) -> None:
        """Give up what it owns, once all is down."""
        for watcher in self.watchers.values():
            watcher.close()
        self.leftovers.close()
        self._table.close()
        self._signals.close()
        self.loop.remove_reader(self._sigchld_fd)
        self.kernel.close(self._sigchld_fd)
        self.sources.close()
