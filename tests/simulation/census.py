"""Who was born, pinned, signalled, reaped and reported: no life may get lost."""

from __future__ import annotations

from signal import SIGCHLD, SIGKILL, SIGTERM

from pidsup.loop.loop import EpollLoop
from pidsup.policy.lifecycle import State
from pidsup.process.child import Child
from pidsup.process.exit import report
from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.slot import Slot
from tests.simulation import views
from tests.simulation.kernel import FakeKernel
from tests.simulation.poller import PidDescription
from tests.simulation.process import Process, Status
from tests.simulation.violation import Violation, demand

_ENDING = (State.STOPPING, State.KILLING)
_Stage = tuple[State, int, int, Child | None]


class Census:
    """Holds the processes that there are against what the shells know of them."""

    def __init__(self, supervisor: Supervisor, kernel: FakeKernel, loop: EpollLoop) -> None:
        self._supervisor = supervisor
        self._kernel = kernel
        self._loop = loop
        self._seen = 0  # workers
        self._unfinished: dict[Process, None] = {}  # workers whose tree somebody looks after
        self._reported: set[Process] = set()
        self._pins: dict[Process, set[Process]] = {}  # by worker, while not gone
        self._stages: dict[Slot, _Stage] = {}
        self._looked_at = kernel.machine.now
        self._pin_faults = 0
        kernel.on_signal = self._signalled

    def main(self, child: Child) -> Process:
        """Return the worker of a child."""
        return self._kernel.mains[child.inode]

    # --- during an event

    def _signalled(self, fd: int, target: Process, signo: int) -> None:
        """Demand that a signal reaches only the tree of whoever holds the descriptor."""
        held = [slot.child for slot in views.slots(self._supervisor) if slot.child is not None]
        for child in (*held, *views.on_their_way(self._loop)):
            if fd == child.pidfd or fd in views.pinned(child):
                main = self.main(child)
                if target.tree is not main:
                    self._kernel.violations.append(f"{main} was meant, {target} gets {signo}")
                return
        orphan = target in self._kernel.machine.supervisor.children
        if not (orphan and signo in (SIGTERM, SIGKILL) and self._all_is_down()):
            self._kernel.violations.append(f"nobody's descriptor {fd} sends {signo} to {target}")

    def _all_is_down(self) -> bool:
        supervisor = self._supervisor
        at_rest = all(watcher.is_at_rest() for watcher in supervisor.watchers.values())
        return supervisor.shutting_down and at_rest

    def reported(self, slot: Slot, how: object) -> None:
        """Hear that the end of a worker was reported, and hold that against the truth."""
        child = slot.child
        if child is None:
            raise Violation(f"{slot} reports an end without a worker")
        main = self.main(child)
        demand(main not in self._reported, f"the end of {main} is reported twice")
        truth = main.ended and str(report(main.ended, ran_s=0.0, asked_for=False))
        cause = slot.last_exit.cause if slot.last_exit is not None else ""
        told = f"{cause}: {truth}" if cause else truth
        demand(str(how) == told, f"{main}: {how} was reported, {told} is true")
        self._reported.add(main)

    # --- after an event

    def look(self) -> set[int]:
        """Demand that nobody is lost; return the descriptors that somebody owns."""
        coming = views.on_their_way(self._loop)
        fds = {child.pidfd for child in coming}
        arriving = {self.main(child) for child in coming}
        held = set(arriving)
        for slot in views.slots(self._supervisor):
            child = slot.child
            if child is not None:
                main = self.main(child)
                if main in held:
                    raise Violation(f"{main} is in two places")
                held.add(main)
                fds.add(child.pidfd)
                fds.update(views.pinned(child))
                self._look_at_tree(slot, child, main)
        self._look_at_workers(held, arriving)
        self._look_at_zombies(arriving)
        self._looked_at = self._kernel.machine.now
        self._pin_faults = self._kernel.pin_faults
        return fds

    def _look_at_tree(self, slot: Slot, child: Child, main: Process) -> None:
        pinned = {self._kernel.process(fd) for fd in views.pinned(child)}
        if pinned:
            # One that is gone can be pinned by mistake, when its number has been given away
            # twice: it harms nobody, for no signal will reach anyone.
            strangers = [p for p in pinned if p.tree is not main and p.status is not Status.GONE]
            if strangers:
                raise Violation(f"{slot} has pinned {strangers}, which are not its own")
            self._pins.setdefault(main, set()).update(pinned)
        stage = (slot.state, *views.progress(slot), child)
        if self._stages.get(slot) != stage:
            self._stages[slot] = stage
            if slot.state in _ENDING and self._pin_faults == self._kernel.pin_faults:
                self._look_for_unpinned(slot, main, pinned)

    def _look_for_unpinned(self, slot: Slot, main: Process, pinned: set[Process]) -> None:
        """Demand that all descendants there were have been pinned, before parents go away."""
        for process in main.kin:
            there = process.status is Status.ALIVE and process.born_at < self._looked_at
            if there and process not in pinned and process is not main:
                lost = process.parent in pinned or process.parent is main
                demand(not lost, f"{slot} has not pinned {process}")

    def _look_at_workers(self, held: set[Process], arriving: set[Process]) -> None:
        mains = self._kernel.mains
        if len(mains) > self._seen:
            self._unfinished.update(dict.fromkeys(list(mains.values())[self._seen :]))
            self._seen = len(mains)
        for main in list(self._unfinished):
            if main in held:
                if main.status is Status.GONE and main not in self._reported | arriving:
                    raise Violation(f"the end of {main} was lost")
            else:
                self._finish(main)
                del self._unfinished[main]

    def _finish(self, main: Process) -> None:
        """Demand that nothing is left of a worker that nobody looks after any more."""
        demand(main.status is Status.GONE, f"{main} is {main.status.value}, but in no slot")
        demand(main in self._reported, f"the end of {main} was not reported")
        alive = [p for p in main.members if p.status is Status.ALIVE]
        demand(not alive, f"of the group of {main} are left: {alive}")
        left = [p for p in self._pins.pop(main, ()) if p.status is not Status.GONE]
        demand(not left, f"of the tree of {main} are left: {left}")

    def _look_at_zombies(self, arriving: set[Process]) -> None:
        """Demand that something will lead to the reaping of each dead child."""
        machine = self._kernel.machine
        zombies = [p for p in machine.supervisor.children if p.status is Status.ZOMBIE]
        if not zombies:
            return
        for_orphans = views.looks_for_orphans(self._supervisor) or SIGCHLD in machine.pending
        watched = {
            description.process
            for description, _ in views.watched(self._supervisor).entries.values()
            if isinstance(description, PidDescription)
        }
        for zombie in zombies:
            is_worker = zombie.tree is zombie
            noticed = zombie in watched or zombie in arriving if is_worker else for_orphans
            if not noticed:
                raise Violation(f"nobody will reap {zombie}")

    def finish(self) -> None:
        """Demand, at the end, that each worker was reported and nothing of it is left."""
        self.look()
        demand(not self._unfinished, f"left at the end: {list(self._unfinished)}")
        demand(len(self._reported) == len(self._kernel.mains), "not all ends were reported")
