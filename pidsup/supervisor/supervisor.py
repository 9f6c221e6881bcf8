"""The supervisor: owns the loop's sources, the watchers, the changes and the table.

Everything runs on one thread and is handled to its end before the next event is
looked at.  Commands change what is wanted and return a Change to wait on; quit
pre-empts everything at any time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from pidsup.config.model import Config
from pidsup.errors import Invalid, ShuttingDown
from pidsup.kernel import Exit, Kernel
from pidsup.log import Log
from pidsup.loop.loop import Loop
from pidsup.loop.sources import SIGNALS, Sources, add_urgent_reader
from pidsup.policy.lifecycle import State
from pidsup.policy.order import start_order
from pidsup.policy.restart import GiveUpAction
from pidsup.process.child import Whom
from pidsup.process.exit import report, signal_name
from pidsup.process.orphans import Orphans
from pidsup.process.spawner import Spawner
from pidsup.supervisor.changes import Actor, Change, Changes, Goal, Task, TaskState
from pidsup.supervisor.selectors import Selection, select
from pidsup.supervisor.signals import QUIT, URGENT
from pidsup.supervisor.table import Identity, Table
from pidsup.watcher.plan import Surroundings
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Shared, Watcher


class Supervisor:
    """Keeps the configured watchers as wanted.

    Owns sources, signalfd, table and watchers; borrows loop, kernel and log.
    """

    def __init__(
        self,
        config: Config,
        *,
        loop: Loop,
        kernel: Kernel,
        log: Log,
        surroundings: Surroundings,
        identity: Identity,
        on_end: Callable[[int], object],
    ) -> None:
        """Set up without starting anything; *on_end* hears the exit code once all is down."""
        self.name = config.name
        self.kernel = kernel
        self.loop = loop
        self.log = log
        self.changes = Changes()
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
        self._after = {watcher.name: watcher.after for watcher in config.watchers}
        shared = Shared(kernel, loop, spawner, log, surroundings)
        specs = {watcher.name: watcher for watcher in config.watchers}
        #: In start order.
        self.watchers: dict[str, Watcher] = {
            name: Watcher(specs[name], shared, self)
            for name in start_order(list(specs), self._after)
        }
        self._before: dict[str, list[Watcher]] = {name: [] for name in specs}
        for name, others in self._after.items():
            for other in others:
                self._before[other].append(self.watchers[name])

    def begin(self) -> None:
        """Start what starts by itself."""
        for watcher in self.watchers.values():
            if watcher.spec.autostart and not self.shutting_down:
                watcher.start()

    # --- commands

    def start(self, selectors: Iterable[str], actor: Actor) -> Change:
        """Want the selected to run; what had failed is tried again."""
        return self._command("start", selectors, actor, Goal.UP, Watcher.start)

    def stop(self, selectors: Iterable[str], actor: Actor) -> Change:
        """Want the selected to be down."""
        return self._command("stop", selectors, actor, Goal.DOWN, Watcher.stop)

    def restart(self, selectors: Iterable[str], actor: Actor) -> Change:
        """Want workers in the selected that are started from now on."""
        return self._command("restart", selectors, actor, Goal.UP, Watcher.restart)

    def _command(
        self,
        kind: str,
        selectors: Iterable[str],
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
        change = self._begin(kind, actor, tasks)
        for watcher, slots in chosen:
            wish(watcher, slots)
        self._review(change)
        return change

    def scale(
        self, selectors: Iterable[str], actor: Actor, *, workers: int | None, by: int = 0
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
            targets.append((watcher, target))
        tasks = []
        for watcher, target in targets:
            before = {slot for slot in watcher.slots.values() if slot.index < watcher.workers}
            gone = [slot for slot in watcher.slots.values() if slot.index >= target]
            tasks += [Task(watcher, slot, Goal.DOWN) for slot in gone]
            watcher.resize(target)
            tasks += [
                Task(watcher, slot, Goal.UP)
                for slot in watcher.slots.values()
                if slot.index < target and slot not in before and watcher.wants(slot)
            ]
        change = self._begin("scale", actor, tasks)
        for watcher, _ in targets:
            watcher.reconcile()
        self._review(change)
        return change

    def signal(self, selectors: Iterable[str], actor: Actor, signo: int, whom: Whom) -> Change:
        """Send a signal to the selected workers, to their children, or to their trees."""
        tasks = []
        for watcher, slots in self._select(selectors):
            for slot in list(watcher.slots.values()) if slots is None else slots:
                if slots is None and slot.child is None:
                    continue  # a watcher's signal goes to the workers it has
                task = Task(watcher, slot, None)
                tasks.append(task)
                self._send(task, signo, whom)
        return self._begin(f"signal {signal_name(signo)}", actor, tasks)

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
        """Stop everything, in reverse order, and end; asked for again, at once by SIGKILL."""
        again, self.shutting_down = self.shutting_down, True
        slots = [(w, slot) for w in self.watchers.values() for slot in w.slots.values()]
        change = self.changes.begin(
            "shutdown",
            actor,
            self.kernel.wall(),
            [Task(watcher, slot, Goal.DOWN) for watcher, slot in slots],
        )
        self.log.info("shutting down", asked_by=actor, hurry=again)
        if again:
            for watcher in self.watchers.values():
                watcher.stop()
                watcher.hurry()
        else:
            self.exit_code = code
            for watcher in self.watchers.values():
                self._stop_if_free(watcher)
        self._review(change)
        self._end_if_down()
        return change

    def _select(self, selectors: Iterable[str]) -> Selection:
        if self.shutting_down:
            raise ShuttingDown
        return select(self.watchers, selectors)

    def _begin(self, kind: str, actor: Actor, tasks: list[Task]) -> Change:
        change = self.changes.begin(kind, actor, self.kernel.wall(), tasks)
        names = " ".join(dict.fromkeys(t.slot.name.partition(":")[0] for t in tasks))
        self.log.info(kind, change=change.id, asked_by=actor, watchers=names)
        return change

    def _review(self, change: Change) -> None:
        for task in change.tasks:
            self.changes.review(task.slot)

    # --- Superior, for the watchers

    def may_start(self, watcher: Watcher) -> bool:
        """Tell whether all that it comes after, and that is to run, has been started."""
        return all(self.watchers[name].is_started() for name in self._after[watcher.spec.name])

    def slot_entered(self, watcher: Watcher, slot: Slot) -> None:
        """Write down a start before it is made; the rest can wait until the slot has settled."""
        if slot.state is State.STARTING:
            self._table.write(watcher.spec.name, slot)
        elif slot.state is State.READY and slot.child is not None:
            self.log.info("worker started", slot=slot.name, pid=slot.child.pid)

    def slot_settled(self, watcher: Watcher, slot: Slot) -> None:
        """Write it down, and see who waits for it: changes, other watchers, the shutdown."""
        if slot.written is not slot.state and watcher.slots.get(slot.index) is slot:
            self._table.write(watcher.spec.name, slot)
        self.changes.review(slot)
        followers = self._before[watcher.spec.name]
        if followers and not self.shutting_down and watcher.is_started():
            for follower in followers:
                if follower.counts[State.WAITING]:
                    follower.reconcile()
        if self.shutting_down and watcher.is_at_rest():
            for name in self._after[watcher.spec.name]:
                self._stop_if_free(self.watchers[name])
            self._end_if_down()

    def slot_dropped(self, watcher: Watcher, slot: Slot) -> None:
        """Free its record; who waited for it to be down has his answer."""
        self._table.drop(slot)
        self._cleaning.pop(slot, None)
        self.changes.review(slot)

    def gave_up(self, watcher: Watcher, slot: Slot) -> None:
        """Do what on_give_up says."""
        action = watcher.spec.on_give_up
        if action is GiveUpAction.STOP:
            self.log.error("stopping watcher", watcher=watcher.spec.name, why=slot.reason)
            watcher.stop()
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
            if info.signo in QUIT:
                self.shutdown(Actor(info.uid, info.pid, f"SIG{signal_name(info.signo)} from"))
            else:
                self.log.warning("signal ignored", signal=signal_name(info.signo), pid=info.pid)

    def _child_died(self) -> None:
        self.kernel.read_signals(self._sigchld_fd)
        self._orphans.look()

    def _orphan_reaped(self, pid: int, ended: Exit) -> None:
        self.log.info("orphan reaped", pid=pid, how=report(ended))

    def _no_orphans(self) -> None:
        waiting, self._cleaning = self._cleaning, {}
        for slot in waiting:
            slot.look_again()

    # --- the end

    def _stop_if_free(self, watcher: Watcher) -> None:
        """Stop a watcher unless one that comes after it still runs."""
        if all(follower.is_at_rest() for follower in self._before[watcher.spec.name]):
            watcher.stop()

    def _end_if_down(self) -> None:
        if self._on_end is not None and all(w.is_at_rest() for w in self.watchers.values()):
            on_end, self._on_end = self._on_end, None
            on_end(self.exit_code)

    def close(self) -> None:
        """Give up what it owns, once all is down."""
        for watcher in self.watchers.values():
            watcher.close()
        self._table.close()
        for fd in (self._signal_fd, self._sigchld_fd):
            self.loop.remove_reader(fd)
            self.kernel.close(fd)
        self._sources.close()
