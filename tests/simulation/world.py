"""A whole run: the real supervisor on a fake kernel, in the hands of a seed.

A run has storms, in which people ask for things while processes misbehave and system
calls fail, each followed by calm, in which everything must come to rest as wanted;
and an end, stormy or not.
"""

from __future__ import annotations

from errno import ENOENT
from itertools import count
from random import Random
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM

from pidsup.output.outputs import Outputs
from pidsup.policy.lifecycle import State
from pidsup.policy.restart import GiveUpAction
from pidsup.supervisor.table import Identity
from pidsup.watcher.plan import Surroundings
from pidsup.watcher.slot import Slot
from pidsup.watcher.sockets import Listeners
from tests.simulation import settings, views
from tests.simulation.clients import Clients
from tests.simulation.doubles import (
    FlakyEnvironment,
    HearingLog,
    SteppedLoop,
    WatchedSupervisor,
)
from tests.simulation.files import Files
from tests.simulation.inspector import Inspector
from tests.simulation.kernel import FakeKernel, Faults
from tests.simulation.machine import Machine
from tests.simulation.poller import Quiet
from tests.simulation.process import Status
from tests.simulation.trace import Trace
from tests.simulation.violation import Violation, demand

_MOST_TURNS = 6000  # of one storm or calm
_PATIENCE_S = 3000.0  # for all to come to rest


class World:
    """One run of one seed."""

    def __init__(
        self, seed: int, *, wall_jumps: bool = True, group_signals: bool | None = None
    ) -> None:
        """Set up; *group_signals*, if given, takes the kernel's age out of the seed's hands."""
        self.seed = seed
        self.trace = Trace()
        self.ended_with: int | None = None
        self._expected_code = 0
        self._commands = 0  # and signals to the supervisor
        rng = self._rng = Random(seed)
        drawn = settings.circumstances(rng)
        self.machine = Machine(rng, drawn.temper, drawn.mischief)
        self.machine.note = self._note
        self._storm_faults = drawn.faults
        self._pause_s = drawn.pause_s
        self.kernel = FakeKernel(
            self.machine,
            Faults(),  # the header of the table has to be written
            group_signals=drawn.group_signals if group_signals is None else group_signals,
            wall_jumps=wall_jumps,
        )
        self.loop = SteppedLoop(self.kernel)
        log = HearingLog(self._heard, self.loop.failed)
        self.outputs = Outputs(self.loop, log, console_format="prefixed")
        config = settings.configuration(rng)
        self.traffic = self.kernel.traffic
        for spec in config.watchers:
            if spec.on_demand:
                self.traffic.listen(spec.name)
        around = Surroundings(
            FlakyEnvironment(self.kernel),
            -1,
            (1024, 1024),
            listeners=self.traffic.fds,
            notify_addresses=(f"/notify/{number}" for number in count(1)),
        )
        self.supervisor = WatchedSupervisor(
            config,
            loop=self.loop,
            kernel=self.kernel,
            log=log,
            surroundings=around,
            listeners=Listeners(()),
            outputs=self.outputs,
            identity=Identity("boot", 1, "simulation"),
            on_end=self._ended,
        )
        self.clients = Clients(self.supervisor, self.loop, self.machine, rng)
        self._queue_fd, self._queue = self.kernel.queue()
        self.loop.add_reader(self._queue_fd, self._command)
        self.inspector = Inspector(self.supervisor, self.kernel, self.loop, self.clients)
        self.files = Files(config, self.machine, rng, self._queue.commands.append)
        self.supervisor.applying.reader = self.files
        self.inspector.files = self.files
        self.supervisor.entered = self.inspector.entered
        self.loop.look = self.inspector.look
        self.machine.somebody_asks = self._something

    @property
    def events(self) -> int:
        """Count what the kernel announced, timers, and commands."""
        return self.kernel.readiness + self.loop.fired + self._commands

    # --- the run

    def run(self) -> None:
        """Run to the end; Violation when something is not as it has to be."""
        self.kernel.faults = self._storm_faults
        self.supervisor.begin()
        self.inspector.look()
        for _ in range(self._rng.randrange(1, 4)):
            self._storm()
            self._calm()
        if self._rng.random() < 0.5:
            self._stir()
        self._end()

    def _storm(self) -> None:
        self._stir()
        when = self.machine.now
        for _ in range(self._rng.randrange(5, 40)):
            when += self._rng.expovariate(1 / self._pause_s)
            self.machine.at(when, self._something)
        last = when
        for _ in range(_MOST_TURNS):
            if not self._turn() or self.machine.now > last:
                return

    def _stir(self) -> None:
        self.machine.calm = False
        self.kernel.faults = self._storm_faults

    def _calm(self) -> None:
        """Let all come to rest, and see whether it does as wanted."""
        self.machine.calm = True
        self.kernel.faults = Faults()
        for process in list(self.machine.processes.values()):
            self.machine.signal(process, SIGCONT)  # somebody may have suspended it
        self._wait("no rest")
        if self.ended_with is None:
            self.inspector.look_at_rest()

    def _end(self) -> None:
        """Ask for the end until it comes."""
        if self.ended_with is None:
            if self._rng.random() < 0.3:
                self.kernel.on_spawn = self._quit_at_once
            when = self.machine.now
            for _ in range(self._rng.randrange(4)):
                self.machine.at(when, self._something)
            for _ in range(self._rng.choice((1, 1, 2, 3))):
                when += self._rng.choice((0.0, 1e-5, 5e-5, 0.1, 5.0))
                self.machine.at(when, self._quit)
        self._wait("no end")
        demand(self.ended_with is not None, f"stuck: {list(views.slots(self.supervisor))}")
        demand(self.ended_with == self._expected_code, f"the code is {self.ended_with}")
        demand(not self.files.is_busy(), "somebody still reads")
        changes = self.supervisor.changes.under_way.values()
        demand(not any(change.prepares for change in changes), "somebody waits for a reading")
        self.inspector.look()
        self.inspector.census.finish()
        self._close()

    def _close(self) -> None:
        self.supervisor.close()
        self.loop.remove_reader(self._queue_fd)
        self.kernel.close(self._queue_fd)
        self.traffic.close()
        self.loop.close()
        demand(not self.kernel.violations, "; ".join(self.kernel.violations))
        demand(not self.kernel.descriptions, f"left open: {self.kernel.descriptions}")
        timers = set(views.live_timers(self.loop)) - set(self.clients.timers())
        demand(not timers, f"left over: {timers}")
        mains = self.kernel.mains.values()
        demand(all(main.status is Status.GONE for main in mains), "a worker is left")

    def _wait(self, otherwise: str) -> None:
        """Turn until nothing more is to come; Violation when that takes for ever."""
        deadline = self.machine.now + _PATIENCE_S
        for _ in range(_MOST_TURNS):
            if not self._turn():
                return
            if self.machine.now > deadline:
                break
        raise Violation(f"{otherwise}: {list(views.slots(self.supervisor))}")

    def _turn(self) -> bool:
        """Let the loop turn; False when there is nothing more to come."""
        if self.ended_with is None:
            try:
                self.loop.turn()
            except Quiet:
                return False
        return self.ended_with is None

    # --- what happens

    def _something(self) -> None:
        """Do what people do: mostly ask, sometimes kill."""
        chance = self._rng.random()
        if self.traffic.fds and self._rng.random() < 0.4:
            self.traffic.connect()
        elif chance < 0.75:
            self._queue.commands.append(self.clients.ask)
        elif chance < 0.85:
            self._kill(1)
        elif chance < 0.9:
            self._kill(6)
        elif chance < 0.95:
            self.machine.pending.add(SIGHUP)
        elif chance < 0.96:
            self._quit()
        else:
            self._rng.choice((self.machine.stranger, self.kernel.talk.lie))()

    def _kill(self, most: int) -> None:
        """Send a signal to some of ours, behind the supervisor's back."""
        ours = [p for p in self.machine.processes.values() if p.tree is not None]
        signo = self._rng.choice((SIGKILL, SIGKILL, SIGSEGV, SIGTERM, SIGSTOP))
        for process in self._rng.sample(ours, min(most, len(ours))):
            self.machine.signal(process, signo)

    def _quit(self) -> None:
        if self._rng.random() < 0.5:
            self._queue.commands.append(self.clients.shut_down)
        else:
            self.machine.pending.update(
                self._rng.choice(((SIGTERM,), (SIGINT,), (SIGTERM, SIGINT)))
            )

    def _quit_at_once(self) -> None:
        """Be in a hurry while a spawn is under way."""
        self.kernel.on_spawn = lambda: None
        self.machine.pending.update((SIGTERM, SIGINT))

    def _command(self) -> None:
        """Take a command: what a connection does when it has become readable."""
        self._commands += 1
        self._queue.commands.pop(0)()

    # --- what is heard

    def _heard(self, event: str, facts: dict[str, object]) -> None:
        """Take note of what the shells report."""
        if event in ("worker ended", "worker stopped", "worker started"):
            self._heard_of_worker(event, str(facts["slot"]), facts.get("how"))
        elif event == "killing what has not stopped yet":
            self.inspector.hurry = True
        elif event == "giving up" and not self.supervisor.shutting_down:
            watcher = self.supervisor.watchers[str(facts["watcher"])]
            self._expected_code = watcher.spec.give_up_exit_code
        elif event == "critical watcher has ended":
            self._critical_ended(str(facts["watcher"]), facts["code"])
        self._note("log", event, *facts.items())

    def _critical_ended(self, name: str, code: object) -> None:
        """Demand that nothing of it is left that is wanted; work out the code on our own."""
        watcher = self.supervisor.watchers[name]
        demand(watcher.spec.critical, f"{name} is not critical")
        if watcher.spec.on_give_up is GiveUpAction.STOP and not watcher.running:
            assert isinstance(code, int)
            demand(code > 0, f"{name} was given up, its code is {code}")
            self._expected_code = code
            return
        wanted = [slot for slot in watcher.slots.values() if watcher.wants(slot)]
        over = [slot.state in (State.FAILED, State.COMPLETED) for slot in wanted]
        demand(bool(over) and all(over), f"{wanted} have not ended")
        failed = [slot for slot in wanted if slot.state is State.FAILED]
        codes = [_as_a_shell(slot) for slot in failed or wanted]
        self._expected_code = codes[0] or 1 if failed else next(filter(None, codes), 0)

    def _heard_of_worker(self, event: str, name: str, how: object) -> None:
        watcher, _, index = name.partition(":")
        slot = self.supervisor.watchers[watcher].slots[int(index)]
        if event != "worker started":
            self.inspector.census.reported(slot, how)
        elif slot.child is not None:
            self.clients.started_at[slot] = self.inspector.census.main(slot.child).born_at

    def _ended(self, code: int) -> None:
        demand(self.ended_with is None, "ended twice")
        self.ended_with = code

    def _note(self, *what: object) -> None:
        self.trace.note(self.machine.now, *what)


class Failure(AssertionError):
    """A seed that turned red, and how to see it again."""

    def __init__(self, world: World, why: BaseException) -> None:
        self.world = world
        super().__init__(
            f"{world.trace.tell()}{type(why).__name__}: {why}\n"
            f"seed {world.seed}, event {world.events};"
            f" again: python -m tests.simulation {world.seed}"
        )


def run(seed: int, *, wall_jumps: bool = True) -> World:
    """Run a seed; Failure when it is red."""
    world = World(seed, wall_jumps=wall_jumps)
    try:
        world.run()
    except Exception as why:
        raise Failure(world, why) from why
    return world


def _as_a_shell(slot: Slot) -> int:
    if slot.start_errno is not None:
        return 127 if slot.start_errno == ENOENT else 126
    last = slot.last_exit
    assert last is not None
    return 128 + last.signo if last.signo is not None else 1 if last.code is None else last.code
