"""Processes that live and die as a seed says, on a clock that only they and sleep move.

Fates (what processes will do, and what the driver plans) are due at instants.  The
clock moves a microsecond with each system call, so a fate may come between any two
of them, and it jumps to the next fate while the supervisor sleeps.  The number that
was freed last is given out first: a pid is used again the moment Linux would allow it,
that is when no process, group or session has it any more.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from signal import SIGCHLD, SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM

from pidsup.kernel import Exit
from tests.simulation import natures
from tests.simulation.natures import CALM, Birth, Fork, Nature, Temper
from tests.simulation.process import Process, Status

TICK_S = 1e-6  # what a system call takes
_FIRST_PID = 3  # 1 is init, 2 the supervisor
_MOST = 80  # processes; more are not forked
_ASK_TO_STOP = frozenset({SIGTERM, SIGINT, SIGQUIT})


class Machine:
    """All processes but the supervisor's inside, and the clock."""

    def __init__(self, rng: Random, temper: Temper, mischief: float) -> None:
        """Boot; *mischief* is how often per system call something happens out of order."""
        self.rng = rng
        self.now = 1000.0
        self.calm = False
        self.note: Callable[..., None] = lambda *_: None  #: for the trace
        self.somebody_asks: Callable[[], None] = lambda: None
        self.on_exit: Callable[[Process], None] = lambda _: None
        self.on_suspend: Callable[[Process], None] = lambda _: None
        self.on_resume: Callable[[Process], None] = lambda _: None
        self.pending: set[int] = set()  #: signals of the supervisor
        self.processes: dict[int, Process] = {}  #: alive or zombie
        self._temper = temper
        self._mischief = mischief
        self._fates: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._serial = 0
        self._inode = 0
        self._claims: Counter[int] = Counter()  # numbers that a process, group or session has
        self._freed: list[int] = []
        self.init = self._make(1, Nature())
        self.supervisor = self._make(2, Nature())
        self.strangers: dict[Process, None] = {}

    # --- time

    def at(self, when: float, what: Callable[..., None], *args: object) -> None:
        """Have a fate come true at *when*."""
        self._serial += 1
        heapq.heappush(self._fates, (when, self._serial, what, args))

    def tick(self) -> None:
        """Let a system call take its time, and come true what comes meanwhile."""
        self.now += TICK_S
        fates = self._fates
        if fates and fates[0][0] <= self.now:
            self._come_true()
        elif not self.calm and self.rng.random() < self._mischief:
            self._interfere()

    def hang(self, for_s: float) -> None:
        """Let a system call take long."""
        self.now += for_s
        self._come_true()

    def sleep(self, until: float | None) -> bool:
        """Jump to the next fate, at most to *until*; False when neither will ever come."""
        if self._fates and (until is None or self._fates[0][0] <= until):
            self.now = max(self.now, self._fates[0][0])
        elif until is None:
            return False
        else:
            self.now = max(self.now, until)
        self._come_true()
        return True

    def _come_true(self) -> None:
        while self._fates and self._fates[0][0] <= self.now:
            _, _, what, args = heapq.heappop(self._fates)
            what(*args)

    # --- life

    def spawn(self) -> Process:
        """Start a worker: a child of the supervisor in a session of its own."""
        temper = CALM if self.calm else self._temper
        process = self._make(self._free_pid(), natures.worker(self.rng, temper))
        process.tree = process
        process.kin[process] = None
        self._adopt(self.supervisor, process)
        self._lead_session(process)
        self._begin(process)
        return process

    def fork(self, parent: Process, birth: Birth) -> None:
        """Let a process fork, if it still can."""
        if parent.status is not Status.ALIVE or self.is_full() or self.calm:
            return
        if birth in (Birth.DAEMON, Birth.GONE):
            between = self._fork(parent, Nature(lives_s=0.0))
            self._fork(between, self._descendant(parent, birth))
            self.exit(between, Exit(0, None))
        else:
            self._fork(parent, self._descendant(parent, birth))

    def _descendant(self, parent: Process, birth: Birth) -> Nature:
        return natures.descendant(self.rng, self._temper, birth, parent.generation + 1)

    def _fork(self, parent: Process, nature: Nature) -> Process:
        process = self._make(self._free_pid(), nature)
        process.generation = parent.generation + 1
        process.tree = parent.tree
        if process.tree is not None:
            process.tree.kin[process] = None
        self._adopt(parent, process)
        self._join(process, parent.group, parent.session)
        self.note("forks", parent, process)
        self._begin(process)
        return process

    def stranger(self) -> None:
        """Have somebody else start a process, which takes the lowest number."""
        if self.is_full():
            return
        process = self._make(self._free_pid(), Nature())
        self._adopt(self.init, process)
        self._lead_session(process)
        self.strangers[process] = None

    def is_full(self) -> bool:
        """Tell whether nobody can fork."""
        return len(self.processes) >= _MOST

    def exit(self, process: Process, ended: Exit) -> None:
        """End a process: its children are orphans, its parent hears of it."""
        if process.status is not Status.ALIVE:
            return
        process.status = Status.ZOMBIE
        process.ended = ended
        self.note("dies", process, ended.code, ended.signal)
        self.on_exit(process)
        heir = self.init if process.tree is None else self.supervisor
        for child in list(process.children):
            self._adopt(heir, child)
            if child.status is Status.ZOMBIE:
                self._tell_parent(child)
        self._tell_parent(process)

    def _tell_parent(self, process: Process) -> None:
        parent = process.parent
        if parent is self.supervisor:
            self.pending.add(SIGCHLD)
        elif parent is self.init or parent.nature.reaps_s == 0.0:
            self._reap_for(parent, process)
        elif parent.nature.reaps_s is not None:
            self.at(self.now + parent.nature.reaps_s, self._reap_for, parent, process)

    def _reap_for(self, parent: Process, process: Process) -> None:
        if process.parent is not parent:  # it is an orphan by now
            return
        self.reap(process)
        if parent.nature.replaces:
            parent.nature = parent.nature._replace(replaces=parent.nature.replaces - 1)
            self.at(self.now, self.fork, parent, self.rng.choice(tuple(Birth)))

    def reap(self, process: Process) -> None:
        """Release a zombie, and its number unless a group or session has it too."""
        if process.status is not Status.ZOMBIE:
            return
        process.status = Status.GONE
        del self.processes[process.pid]
        del process.parent.children[process]
        if process.tree is not None:
            del process.tree.kin[process]
        self.strangers.pop(process, None)
        self._disclaim(process.pid)
        self._leave(process)

    def leave(self, process: Process) -> None:
        """Do setsid(2), which a group leader cannot."""
        if process.status is Status.ALIVE and process.group is not process:
            self._leave(process)
            self._lead_session(process)
            self.note("leaves", process)

    # --- signals

    def signal(self, process: Process, signo: int) -> None:
        """Let a process feel a signal."""
        if process.status is not Status.ALIVE or not signo:
            return
        if signo == SIGSTOP:
            process.stops = True
            self.on_suspend(process)
            late_s = 0.0 if self.calm else self.rng.choice((0.0, 1e-5, 3e-4, 2e-3))
            if self.calm:  # whoever has suspended it lets it go on
                self.at(self.now + 1.0, self.signal, process, SIGCONT)
            if late_s:
                self.at(self.now + late_s, self._suspend, process)
            else:
                self._suspend(process)
        elif signo == SIGCONT:
            process.suspended = process.stops = False
            held, process.held = process.held, []
            for other in held:
                self._feel(process, other)
            self.on_resume(process)
        elif not process.stops or signo == SIGKILL:
            self._feel(process, signo)
        elif signo not in process.held:
            process.held.append(signo)

    def _suspend(self, process: Process) -> None:
        process.suspended = process.stops

    def _feel(self, process: Process, signo: int) -> None:
        nature = process.nature
        after_s: float | None = 0.0
        if signo != SIGKILL:
            after_s = nature.stops_s if signo in _ASK_TO_STOP else nature.hears_s
        if after_s is None:
            return
        ended = Exit(0, None) if after_s else Exit(None, int(signo))
        after_s = after_s or nature.stuck_s
        if not after_s:
            self.exit(process, ended)
        elif signo == SIGKILL or not process.doomed:
            process.doomed = True
            self.at(self.now + after_s, self.exit, process, ended)

    # --- what happens out of order

    def _interfere(self) -> None:
        ours = [p for p in self.processes.values() if p.tree and p.status is Status.ALIVE]
        what = self.rng.randrange(6)
        if what == 5:
            self.somebody_asks()
            return
        if not ours:
            return
        process = self.rng.choice(ours)
        if what == 0:
            self.exit(process, Exit(None, int(self.rng.choice((SIGKILL, SIGSEGV)))))
        elif what == 1:
            self.fork(process, self.rng.choice(tuple(Birth)))
        elif what == 2:
            self.leave(process)
        elif what == 3:
            self.recycle(process.pid)
        elif self.strangers:
            self.exit(self.rng.choice(list(self.strangers)), Exit(0, None))
            self._somebody_forks()

    def recycle(self, pid: int) -> None:
        """End a process, so that its number goes to the next who comes, if it is free."""
        process = self.processes.get(pid)
        if process is None:
            return
        parent = process.parent
        self.exit(process, Exit(3, None))
        who = self.rng.randrange(3)
        if who == 0:
            self.stranger()
        elif who == 1 and parent.tree is not None:
            self.fork(parent, Birth.LEAVE)
        else:
            self._somebody_forks()

    def _somebody_forks(self) -> None:
        alive = [p for p in self.processes.values() if p.tree and p.status is Status.ALIVE]
        if alive:
            self.fork(self.rng.choice(alive), Birth.STAY)

    # --- book-keeping

    def _make(self, pid: int, nature: Nature) -> Process:
        self._inode += 1
        process = Process(pid, self._inode, nature, self.now)
        self.processes[pid] = process
        self._claims[pid] += 1
        return process

    def _begin(self, process: Process) -> None:
        nature = process.nature
        for fork in nature.forks:
            self._plan_fork(process, fork)
        if nature.leaves_s == 0.0:
            self.leave(process)
        elif nature.leaves_s is not None:
            self.at(self.now + nature.leaves_s, self.leave, process)
        if nature.lives_s is not None:
            self.at(self.now + nature.lives_s, self.exit, process, nature.ending)

    def _plan_fork(self, process: Process, fork: Fork) -> None:
        self.at(self.now + fork.after_s, self.fork, process, fork.birth)

    def _free_pid(self) -> int:
        while self._freed:
            pid = self._freed.pop()
            if not self._claims[pid]:
                return pid
        pid = _FIRST_PID
        while self._claims[pid]:
            pid += 1
        return pid

    def _disclaim(self, pid: int) -> None:
        self._claims[pid] -= 1
        if not self._claims[pid]:
            self._freed.append(pid)

    def _adopt(self, parent: Process, process: Process) -> None:
        process.parent.children.pop(process, None)
        process.parent = parent
        parent.children[process] = None

    def _lead_session(self, process: Process) -> None:
        self._join(process, process, process)

    def _join(self, process: Process, group: Process, session: Process) -> None:
        process.group, process.session = group, session
        group.members[process] = None
        self._claims[group.pid] += 1
        self._claims[session.pid] += 1

    def _leave(self, process: Process) -> None:
        del process.group.members[process]
        self._disclaim(process.group.pid)
        self._disclaim(process.session.pid)
