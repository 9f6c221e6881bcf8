"""The supervisor: owns the loop's sources, the watchers, the changes and the table.

Everything runs on one thread and is handled to its end before the next event is
looked at.  Commands change what is wanted and return a Change to wait on; quit
pre-empts everything at any time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from pidsup.config.model import Config
from pidsup.errors import Invalid, NoSuchSelector, ShuttingDown
from pidsup.kernel import Exit, Kernel
from pidsup.linux.signalfd import SignalInfo
from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.loop.sources import SIGNALS, Sources, add_urgent_reader
from pidsup.output.outputs import Outputs
from pidsup.policy.lifecycle import State
from pidsup.policy.order import start_order
from pidsup.policy.restart import GiveUpAction
from pidsup.process.child import Whom
from pidsup.process.exit import report, signal_name
from pidsup.process.orphans import Orphans
from pidsup.process.spawner import Spawner
from pidsup.process.terminal import stop_with, take_back
from pidsup.supervisor.changes import Actor, Change, Changes, Goal, Task, TaskState
from pidsup.supervisor.events import Events
from pidsup.supervisor.leftovers import Leftovers
from pidsup.supervisor.selectors import Selection, select
from pidsup.supervisor.signals import QUIET, QUIT, URGENT
from pidsup.supervisor.table import Identity, Table
from pidsup.supervisor.wishes import Wishes
from pidsup.watcher.plan import Surroundings
from pidsup.watcher.slot import Slot
from pidsup.watcher.sockets import Listeners
from pidsup.watcher.watcher import Shared, Watcher, code_of

#: A slot that is there, or whose failure has nothing to do with a scaling.
_TRIED = frozenset({State.READY, State.BACKOFF, State.FAILED, State.COMPLETED})


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
        self.shutting_down = False
        self.exit_code = 0
        self._on_end: Callable[[int], object] | None = on_end
        self._sources = Sources(loop, kernel)
        self._signal_fd = kernel.signals(URGENT)
        add_urgent_reader(loop, self._signal_fd, SIGNALS, self._signalled)
        self._sigchld_fd = kernel.signals([signal.SIGCHLD])
        loop.add_reader(self._sigchld_fd, self._child_died)
        spawner = Spawner(loop, kernel, self._sources)
        self._orphans = Orphans(
            loop, kernel, spawner.children, on_reaped=self._orphan_reaped, on_done=self._no_orphans
        )
        self._cleaning: dict[Slot, None] = {}  # those that wait for their trees
        self._table = Table(kernel, identity)
        shared = Shared(kernel, loop, spawner, log, surroundings, outputs)
        specs = {watcher.name: watcher for watcher in config.watchers}
        after = {watcher.name: watcher.after for watcher in config.watchers}
        #: In start order.
        self.watchers: dict[str, Watcher] = {
            name: Watcher(specs[name], shared, self) for name in start_order(list(specs), after)
        }
        self._after = {name: [self.watchers[n] for n in names] for name, names in after.items()}
        self._before = {
            name: [self.watchers[n] for n, names in after.items() if name in names]
            for name in specs
        }
        self._ordered = any(after.values())
        in_front = (w for w in self.watchers.values() if w.spec.foreground)
        self._foreground = next(in_front, None)  # there is one terminal
        self._looking = False
        self._quit_asked = self._in_a_hurry = False
        self._leftovers = Leftovers(
            kernel, loop, log, timeout_s=config.orphan_timeout_s, on_timeout=self._look_later
        )

    def begin(self) -> None:
        """Start what starts by itself."""
        self.events.supervisor(self.name, "running")
        for watcher in self.watchers.values():
            if watcher.spec.autostart and not self.shutting_down:
                self.wishes.run(watcher, None, wanted=True, why="autostart")
                watcher.start()

    # --- commands

    def start(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want the selected to run; what had failed is tried again."""
        return self._command("start", selectors, actor, Goal.UP, Watcher.start)

    def stop(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want the selected to be down."""
        return self._command("stop", selectors, actor, Goal.DOWN, Watcher.stop)

    def restart(self, selectors: Sequence[str], actor: Actor) -> Change:
        """Want workers in the selected that are started from now on."""
        return self._command("restart", selectors, actor, Goal.UP, Watcher.restart)

    def _command(
        self,
        kind: str,
        selectors: Sequence[str],
        actor: Actor,
        goal: Goal,
        wish: Callable[[Watcher, list[Slot] | None], None],
    ) -> Change:
        chosen = self._select(selectors)
        # Slots beyond the wanted number are on their way out: no wish brings them back.
        tasks = [
            Task(watcher, slot, goal)
            for watcher, slots in chosen
            for slot in (watcher.slots.values() if slots is None else slots)
            if slot.index < watcher.workers or goal is Goal.DOWN
        ]
        for _, slots in chosen:
            if slots and not any(task.slot in slots for task in tasks):
                raise NoSuchSelector(f"{slots[0].name}, which is on its way out", None)
        change = self._begin(kind, actor, tasks, selectors)
        # In start order, and down in reverse: who comes first holds up who comes after.
        for watcher, slots in reversed(chosen) if goal is Goal.DOWN else chosen:
            self.wishes.run(watcher, slots, wanted=goal is Goal.UP, why=change.because())
            wish(watcher, slots)
        self._review(change)
        return change

    def scale(
        self, selectors: Sequence[str], actor: Actor, *, workers: int | None, by: int = 0
    ) -> Change:
        """Want *workers* workers, or *by* more than wanted now, in each selected watcher."""
        chosen = self._select(selectors)
        targets: list[tuple[Watcher, int]] = []
        for watcher, slots in chosen:
            if slots is not None:
                raise Invalid("selectors", "scale takes watchers, not slots")
            target = watcher.workers + by if workers is None else workers
            if not 0 <= target <= 100_000:
                raise Invalid("workers", f"{watcher.spec.name} cannot have {target} workers")
            if target > 1 and (watcher.spec.singleton or watcher.spec.foreground):
                why = "is a singleton" if watcher.spec.singleton else "has the terminal"
                raise Invalid("workers", f"{watcher.spec.name} {why}: one worker at most")
            targets.append((watcher, target))
        tasks = []
        for watcher, target in targets:
            watcher.resize(target)
            for slot in watcher.slots.values():
                if slot.index >= target:
                    tasks.append(Task(watcher, slot, Goal.DOWN))
                elif watcher.wants(slot) and slot.state not in _TRIED:
                    tasks.append(Task(watcher, slot, Goal.UP))
        number = f"{by:+}" if workers is None else workers
        change = self._begin("scale", actor, tasks, [*selectors, str(number)])
        for watcher, _ in targets:
            self.wishes.scale(watcher, change.because())
            watcher.reconcile()
        self._review(change)
        return change

    def signal(self, selectors: Sequence[str], actor: Actor, signo: int, whom: Whom) -> Change:
        """Send a signal to the selected workers, to their children, or to their trees."""
        tasks = []
        for watcher, slots in self._select(selectors):
            everyone = list(watcher.slots.values())
            living = [slot for slot in everyone if slot.child is not None]
            for slot in (living or everyone) if slots is None else slots:
                tasks.append(Task(watcher, slot, None))
                self._send(tasks[-1], signo, whom)
        return self._begin(f"signal {signal_name(signo)}", actor, tasks, selectors)

    @staticmethod
    def _send(task: Task, signo: int, whom: Whom) -> None:
        try:
            reached = task.slot.send(signo, whom)
        except OSError as error:
            task.end(TaskState.FAILED, str(error.strerror))
            return
        if reached:
            task.end(TaskState.DONE)
        else:
            who = "no children" if whom is Whom.CHILDREN else "no worker runs"
            task.end(TaskState.FAILED, who)

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
        for watcher in reversed(self.watchers.values()):
            self.wishes.run(watcher, None, wanted=False, why=change.because())
            watcher.stop()
        self._review(change)
        return change

    def hurry(self) -> None:
        """Have every stop that is under way jump to SIGKILL."""
        self.log.warning("killing what has not stopped yet")
        self._in_a_hurry = True
        self._look_later()
        for watcher in self.watchers.values():
            watcher.hurry()

    def _select(self, selectors: Sequence[str]) -> Selection:
        if self.shutting_down:
            raise ShuttingDown
        return select(self.watchers, selectors)

    def _begin(self, kind: str, actor: Actor, tasks: list[Task], what: Sequence[str]) -> Change:
        change = self.changes.begin(kind, actor, " ".join(what), tasks)
        self.log.info(kind, what=change.what, change=change.id, asked_by=actor)
        return change

    def _review(self, change: Change) -> None:
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
        if watcher is self._foreground and slot.state is State.CLEANING and slot.child:
            take_back(slot.child.pid)
        if slot.state is State.STARTING:
            self._record(watcher, slot)
        elif slot.state is State.READY and slot.child is not None:
            self.log.info("worker started", slot=slot.name, pid=slot.child.pid)
            self._look_in_front()  # its SIGCHLD may have come before we knew it

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
        """Go on with the watchers that waited for others, and end when all are down."""
        self._looking = False
        for watcher in self.watchers.values():
            starts = watcher.waits_to_start() and not self.held_up_by(watcher)
            if starts or (watcher.waits_to_stop() and self.may_stop(watcher)):
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

    def await_empty_tree(self, slot: Slot) -> None:
        """Have it look again after the next orphans."""
        self._cleaning[slot] = None

    def myself(self) -> Actor:
        """Return the actor for what nobody asked for."""
        return Actor(0, 0, "pidsup")

    # --- signals and orphans

    def _signalled(self) -> None:
        for info in self.kernel.read_signals(self._signal_fd):
            # What is on its way out can only be hurried.
            ending = self.shutting_down and info.signo in QUIT
            if not ending and self._forward(info.signo):
                continue
            if info.signo in QUIT:
                self._quit(info)
            elif info.signo not in QUIET:
                self.log.warning("signal ignored", signal=signal_name(info.signo), pid=info.pid)

    def _forward(self, signo: int) -> bool:
        """Pass a signal on to the workers that want it; True if a watcher does."""
        wanting = [w for w in self.watchers.values() if signo in w.spec.forward_signals]
        for watcher in wanting:
            for slot in watcher.slots.values():
                self._pass_on(slot, signo)
        return bool(wanting)

    def _pass_on(self, slot: Slot, signo: int) -> None:
        """Send it, once the slot has its worker if that is being started."""
        if slot.state is State.STARTING and slot.child is None:
            self.loop.call_soon(self._pass_on, slot, signo)
            return
        try:
            slot.send(signo, Whom.MAIN)
        except OSError as error:
            self.log.error("cannot signal worker", slot=slot.name, why=error.strerror)

    def _quit(self, info: SignalInfo) -> None:
        """Shut down; from the second signal on, in a hurry."""
        self.log.info("quit", signal=signal_name(info.signo), pid=info.pid, uid=info.uid)
        if self._quit_asked:
            self.hurry()
        else:
            self._quit_asked = True
            self.shutdown(Actor(info.uid, info.pid, f"signal {signal_name(info.signo)}"))

    def _child_died(self) -> None:
        self.kernel.read_signals(self._sigchld_fd)
        self._look_in_front()
        self._orphans.look()

    def _look_in_front(self) -> None:
        """Stop, as a job does, with a worker in the foreground."""
        for slot in self._foreground.slots.values() if self._foreground else ():
            if slot.child is not None:
                stop_with(slot.child.pid)

    def _orphan_reaped(self, pid: int, ended: Exit) -> None:
        self._leftovers.forget(pid)
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
        if self._leftovers.end(in_a_hurry=self._in_a_hurry):
            on_end, self._on_end = self._on_end, None
            on_end(self.exit_code)

    def close(self) -> None:
        """Give up what it owns, once all is down."""
        for watcher in self.watchers.values():
            watcher.close()
        self._leftovers.close()
        self._table.close()
        for fd in (self._signal_fd, self._sigchld_fd):
            self.loop.remove_reader(fd)
            self.kernel.close(fd)
        self._sources.close()
