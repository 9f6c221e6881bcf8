"""A slot: a stable place that one worker at a time runs in.

The shell around policy.lifecycle: it turns what happens to the worker into
events, performs the actions, and decides nothing that policy can decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import EINVAL
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING, Protocol

from pidsup.config.model import WatcherSpec
from pidsup.kernel import Exit, Kernel, Plan, SpawnError
from pidsup.log import Log, span
from pidsup.loop.loop import Handle, Loop
from pidsup.output.outputs import SlotOutput
from pidsup.policy import restart
from pidsup.policy.lifecycle import Action, Event, State, step
from pidsup.policy.restart import Again, Ending, Finished, GiveUp, Later, Verdict
from pidsup.policy.stopping import KILL_CHECK_S, PATIENT_LOOKS, StopPlan, clean_check_s
from pidsup.process.child import Child, Whom
from pidsup.process.exit import ExitReport, ending, report, signal_name
from pidsup.process.spawner import Request, Spawner, Start

if TYPE_CHECKING:
    from pidsup.watcher.inbox import Inbox

#: Of one start, beside the plan: {the child's descriptor: ours}, variables.
Extras = tuple[Mapping[int, int], Mapping[str, str]]
LAST_LINES = 5  #: of a worker that failed, kept in its report


class Owner(Protocol):
    """What a slot needs around it; its watcher."""

    spec: WatcherSpec
    kernel: Kernel
    loop: Loop
    spawner: Spawner
    log: Log
    generation: int

    def plan(self, slot: Slot) -> Plan:
        """Return the plan for a start; OSError or LookupError if there is none now."""

    def open_output(self, slot: Slot) -> SlotOutput:
        """Return what takes the output of the slot's workers; the slot owns it."""

    def hears(self) -> bool:
        """Tell whether somebody is to hear workers that are started from now on."""

    def open_inbox(self, slot: Slot) -> Inbox:
        """Return what hears the slot's workers; the slot owns it."""

    def extras(self, slot: Slot) -> Extras:
        """Return what a start has beside the plan: the connection that it is for."""

    def wants(self, slot: Slot) -> bool:
        """Tell whether the slot is to have a worker."""

    def entered(self, slot: Slot, before: State) -> None:
        """Hear that the state of the slot has just changed."""

    def settled(self, slot: Slot) -> None:
        """Hear that all that an event led to has been done."""

    def next_serial(self) -> int:
        """Return a number for a new worker."""

    def await_empty_tree(self, slot: Slot) -> None:
        """Call `look_again` whenever orphans have been reaped, while the slot is cleaning."""

    def gave_up(self, slot: Slot) -> None:
        """Hear that the slot failed too often."""


class Slot:
    """A place for a worker.

    Owns the worker's Child, which owns its pidfd, and what all its workers share: the output,
    and the inbox for what they say of themselves.
    """

    __slots__ = (
        "_attempt",
        "_busy",
        "_cause",
        "_doom",
        "_due_event",
        "_events",
        "_memory",
        "_owner",
        "_request",
        "_step",
        "_stop_plan",
        "_timer",
        "_verdict",
        "_watchdog_s",
        "_why",
        "child",
        "due_at",
        "generation",
        "inbox",
        "index",
        "last_exit",
        "name",
        "not_before",
        "output",
        "output_is_old",
        "own_plan",
        "ready_at",
        "record",
        "reloading",
        "restarts",
        "running",
        "serial",
        "since",
        "start_errno",
        "state",
        "status_text",
        "stopping_itself",
        "written",
    )

    def __init__(self, owner: Owner, index: int) -> None:
        """Start out stopped."""
        self.index = index
        self.name = f"{owner.spec.name}:{index}"
        self.state = State.STOPPED
        self.since = owner.kernel.now()  #: when the state was entered
        self.running: bool | None = None  #: what was asked of this slot alone
        self.not_before = 0.0  #: a worker started earlier is to be replaced
        self.child: Child | None = None
        self.serial = 0  #: of the current or last worker, web:3#41
        self.generation = owner.generation  #: of what that worker was started from
        self.own_plan: Plan | None = None  #: where the slots of a watcher differ
        self.output: SlotOutput | None = None  #: from the first start on
        self.output_is_old = False  #: the next worker is to have another
        self.inbox: Inbox | None = None  #: from the first start on, where it is needed
        self.restarts = 0  #: starts that nobody asked for
        self.last_exit: ExitReport | None = None
        #: Why the last start failed, if it did; only of the program itself in its own words.
        self.start_errno: int | None = None
        self.ready_at: float | None = None  #: since when its worker is, or was
        # What its worker says of itself, sd_notify(3):
        self.status_text = ""  #: STATUS=
        self.reloading = False  #: RELOADING=1, until the next READY=1
        self.stopping_itself = False  #: STOPPING=1
        self._why: object = ""
        self.due_at: float | None = None  #: when the deadline of this state passes
        self.written: State | None = None  #: what the table has
        self.record = -1  #: its place in the table, which `supervisor.table` gives
        self._owner = owner
        self._events: list[Event] = []
        self._busy = False
        self._request: Request | None = None
        self._timer: Handle | None = None
        self._due_event = Event.KILL_DUE  # what the timer leads to
        self._verdict: Verdict | None = None  # None: nobody wants it back
        self._doom: Ending | None = None  # as what it counts that we end this worker, unasked
        self._cause = ""  # and why
        self._watchdog_s = 0.0
        self._memory = restart.FRESH
        self._step = 0  # of the stop plan
        self._stop_plan: StopPlan = ()  # that is under way: the watcher's may be another by now
        self._attempt = 0  # at cleaning

    def __repr__(self) -> str:
        """Show where it stands."""
        return f"Slot({self.name}, {self.state.value})"

    @property
    def reason(self) -> str:
        """Say why it is where it is, for people; worded only when somebody asks."""
        return str(self._why)

    @property
    def why(self) -> object:
        """Return the reason as it is kept, to be worded later; it does not change any more."""
        return self._why

    @property
    def failed_at(self) -> tuple[float, ...]:
        """Return when it failed of late, as far as that counts for giving it up."""
        return self._memory.bad_at

    @property
    def shows_due(self) -> bool:
        """Tell whether a deadline is worth knowing: that of a watchdog moves all the time."""
        return self.due_at is not None and (self.state is not State.READY or self.stopping_itself)

    def close(self) -> None:
        """Give up the output and the inbox."""
        if self.inbox is not None:
            self.inbox.close()
            self.inbox = None
        if self.output is not None:
            self.output.close()
            self.output = None

    # --- events in

    def handle(self, event: Event) -> None:
        """Take an event, and all that it leads to, to its end."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._take(self._events.pop(0))
        finally:
            self._busy = False
        self._owner.settled(self)

    def reset(self) -> None:
        """Forgive all failures: a command wants it to run."""
        self._memory = restart.FRESH
        self._verdict = None
        self.handle(Event.RESET)

    def because(self, why: str) -> None:
        """Say why it is where it is, if that is not its own affair."""
        self._why = why

    def outdated(self) -> bool:
        """Tell whether its worker is one that a restart was to replace."""
        return self.child is not None and self.child.started_at < self.not_before

    def look_again(self) -> None:
        """Look whether the tree is empty by now."""
        if self.state is State.CLEANING:
            self.handle(Event.OVERDUE)

    def send(self, signo: int, whom: Whom) -> bool:
        """Signal the worker; False when there was nobody to get it."""
        return self.child is not None and self.child.signal(signo, whom)

    # --- what the worker says of itself, sd_notify(3)

    @property
    def awaits_process(self) -> bool:
        """Tell whether a worker may be there that is not known yet."""
        return self._request is not None

    def said_ready(self) -> None:
        """Hear READY=1."""
        self.reloading = False
        if self.state is State.STARTING and self.child is not None:
            self.handle(Event.READY)

    def said_reloading(self) -> None:
        """Hear RELOADING=1."""
        self.reloading = self.state is State.READY

    def said_stopping(self) -> None:
        """Hear STOPPING=1: it may take as long as one that was asked to."""
        if self.state is State.READY and not self.stopping_itself:
            self.stopping_itself = True
            timeout_s = sum(step.timeout_s for step in self._owner.spec.stop_plan)
            self._cause = f"it said STOPPING=1, and did not end within {timeout_s:g} s"
            self._set_timer(timeout_s, Event.KILL_DUE)

    def said_alive(self) -> None:
        """Hear WATCHDOG=1."""
        if self.state is State.READY and not self.stopping_itself:
            self._set_watchdog()

    def said_broken(self) -> None:
        """Hear WATCHDOG=trigger."""
        if self.state in (State.STARTING, State.READY) and self.child is not None:
            self._condemn(Ending.WATCHDOG, "it said WATCHDOG=trigger")
            self.handle(Event.WATCHDOG_DUE)

    def set_watchdog(self, interval_s: float) -> None:
        """Hear WATCHDOG_USEC=: how often this worker is to say that it lives; 0: not at all."""
        self._watchdog_s = interval_s
        self.said_alive()

    def extend(self, more_s: float) -> None:
        """Hear EXTEND_TIMEOUT_USEC=: to start, or to stop, it needs so long from now on."""
        until = self._owner.kernel.now() + more_s
        waits = self.state in (State.STARTING, State.STOPPING) or self.stopping_itself
        if waits and self.due_at is not None and until > self.due_at:
            self._set_timer(more_s, self._due_event)

    def _condemn(self, doom: Ending, cause: str) -> None:
        self._doom, self._cause = doom, cause
        self._owner.log.warning("ending worker", slot=self.name, why=cause)

    # Requester, for the spawner

    def prepare(self) -> Start:
        """Return the plan to start from, and the pipes of this slot."""
        plan = self._owner.plan(self)
        fds, variables = self._owner.extras(self)
        self.generation = self._owner.generation
        if self.output is not None and self.output_is_old:  # of its worker nothing is left
            self.output.close()
            self.output = None
        if self.output is None:
            self.output = self._owner.open_output(self)
            self.output_is_old = False
        try:
            fds = {**self.output.fds(plan.uid), **fds}
            variables = {**self.output.variables, **variables}
        except SpawnError:
            raise
        except OSError as error:
            raise SpawnError(error.errno or EINVAL, "pipe") from error
        return self._with_inbox(Start(plan, fds, variables))

    def _with_inbox(self, start: Start) -> Start:
        """Add the way to us, and the descriptors that are kept, for a worker that needs it."""
        if not self._owner.hears():
            if self.inbox is not None:  # it was for workers of another generation
                self.inbox.close()
                self.inbox = None
            return start
        if self.inbox is None:
            try:
                self.inbox = self._owner.open_inbox(self)
            except OSError as error:
                raise SpawnError(error.errno or EINVAL, "notify socket") from error
        self.inbox.begin(start.plan.uid)
        fds, variables = self.inbox.extras()
        return Start(start.plan, {**start.fds, **fds}, {**start.variables, **variables})

    def spawned(self, child: Child) -> None:
        """Take the child over."""
        self._request = None
        self.child = child
        self.written = None  # the table has yet to name this worker
        self.serial = self._owner.next_serial()
        self.start_errno = self.ready_at = self._doom = None
        self.status_text = self._cause = ""
        self.reloading = self.stopping_itself = False
        self._watchdog_s = self._owner.spec.watchdog_s
        if self.output is not None:
            self.output.begin(self.serial)
        self._why = ""
        try:
            self.handle(Event.SPAWNED)
        finally:
            child.watch(self._exited, None if self.inbox is None else self.inbox.hear_out)

    def spawn_failed(self, error: Exception | None) -> None:
        """Take note that there is no process."""
        self._request = None
        self._verdict = None
        if error is not None:
            self._why = str(error)
            self.start_errno = EINVAL
            if isinstance(error, SpawnError) and error.step == "exec":
                self.start_errno = error.errno
            self._decide(Ending.CODE, ran_s=None)
            self._log_end("cannot start worker", why=self.reason)
        self.handle(Event.SPAWN_FAILED)

    def _exited(self) -> None:
        child = self.child
        assert child is not None and child.exit is not None and child.ended_at is not None  # noqa: S101, PT018  whoever calls this has just reaped it
        asked_for = self.state in (State.STOPPING, State.KILLING) and self._doom is None
        ran_s = child.ended_at - child.started_at
        self.last_exit = report(
            child.exit,
            ran_s=ran_s,
            asked_for=asked_for,
            last_lines=self._last_lines(child.exit),
            cause="" if self._doom is None else self._cause,
            said="" if self.inbox is None else self.inbox.said_of_its_end,
        )
        self._why = self.last_exit
        self._verdict = None
        if asked_for:
            self._owner.log.info(
                "worker stopped",
                slot=self.name,
                pid=child.main_pid,
                serial=self.serial,
                generation=self.generation,
                how=self._why,
                ran_s=ran_s,
            )
        else:
            ready_s = None if self.ready_at is None else child.ended_at - self.ready_at
            self._decide(self._doom or ending(child.exit), ran_s=ready_s)
            self._log_end(
                "worker ended",
                pid=child.main_pid,
                serial=self.serial,
                generation=self.generation,
                how=self._why,
                ran_s=ran_s,
            )
        self.handle(Event.EXITED)

    def _last_lines(self, ended: Exit) -> list[str]:
        """Take what the worker has written to the end; return the last of it if it failed."""
        if self.output is None:
            return []
        self.output.ended()
        return [] if ending(ended) is Ending.CLEAN else self.output.last_lines(LAST_LINES)

    def _decide(self, how: Ending, ran_s: float | None) -> None:
        owner = self._owner
        self._verdict = restart.decide(
            owner.spec.restart,
            self._memory,
            how,
            ran_s=ran_s,
            now=owner.kernel.now(),
            chance=owner.kernel.random(),
        )
        self._memory = self._verdict.memory if isinstance(self._verdict, Later) else restart.FRESH

    def _log_end(self, event: str, **facts: object) -> None:
        verdict = self._verdict
        if verdict is not None:
            log = self._owner.log
            tell = log.error if isinstance(verdict, GiveUp) else log.warning
            if isinstance(verdict, Finished) and self.start_errno is not None:
                tell = log.error
            elif isinstance(verdict, Finished) and not verdict.failed:
                tell = log.info
            tell(event, slot=self.name, **facts, next=verdict.reason)

    # --- actions out

    def _take(self, event: Event) -> None:
        before = self.state
        self.state, actions = step(before, event)
        if self.state is not before:
            self.since = self._owner.kernel.now()
            self.due_at = None
            self._step = self._attempt = 0
            self._owner.entered(self, before)
        for action in actions:
            _PERFORM[action](self)

    def _spawn(self) -> None:
        if self._verdict is not None:  # nobody asked for it
            self.restarts += 1
        self._verdict = None
        self._request = self._owner.spawner.request(self)

    def _cancel_spawn(self) -> None:
        if self._request is not None:
            self._owner.spawner.cancel(self._request)
        elif self.child is not None:
            self._events.append(Event.SPAWNED)

    def _await_ready(self) -> None:
        spec = self._owner.spec
        if spec.type == "exec":
            assert self.child is not None  # noqa: S101  it was spawned
            self.ready_at = self.child.started_at
            self._events.append(Event.READY)
            return
        self._owner.entered(self, self.state)  # now it has a pid
        if spec.start_timeout_s:
            self._set_timer(spec.start_timeout_s, Event.START_DUE)

    def _set_watchdog(self) -> None:
        if self.ready_at is None:
            self.ready_at = self.since
        if self._watchdog_s:
            self._set_timer(self._watchdog_s, Event.WATCHDOG_DUE)
        elif self._timer is not None:
            self._drop_timer()

    def _abort(self) -> None:
        spec = self._owner.spec
        last_s = spec.stop_plan[-1].timeout_s
        name = signal_name(spec.watchdog_signal)
        self._why = f"{self._cause}; {name} sent, KILL after {last_s:g} s"
        assert self.child is not None  # noqa: S101  the table asks for this with a worker only
        self.child.pin_descendants()  # before the signal, as in _stop_step
        self._signal(spec.watchdog_signal, Whom.MAIN)
        self._signal(SIGCONT, Whom.MAIN)
        self._set_timer(last_s, Event.KILL_DUE)

    def _stop_step(self) -> None:
        if self._step == 0:
            self._stop_plan = self._owner.spec.stop_plan
        plan = self._stop_plan
        now = plan[self._step]
        self._step += 1
        last = self._step == len(plan)
        following = "KILL" if last else signal_name(plan[self._step].signo)
        because = f"{self._cause}; " if self._doom is not None else ""
        self._why = f"{because}{signal_name(now.signo)} sent, {following} after {now.timeout_s:g} s"
        assert self.child is not None  # noqa: S101  the table asks for this with a worker only
        # Before the signal: an orphan's ancestry is lost.
        self.child.pin_descendants()
        whom = Whom.ALL if now.to_all else Whom.MAIN
        self._signal(now.signo, whom)
        self._signal(SIGCONT, whom)  # one that is suspended hears it too, systemd.kill(5)
        self._set_timer(now.timeout_s, Event.KILL_DUE if last else Event.STEP_DUE)

    def _kill(self) -> None:
        if self.child is None:  # the answer to the request for a process is still to come
            return
        if self._attempt:
            self._why = f"KILL sent, still there: {self.child.sleeps_in()}"
        else:
            self._why = "KILL sent"
        if self._attempt == 1:  # said once; status goes on to say it
            self._owner.log.warning("worker does not die", slot=self.name, why=self.reason)
        self._attempt += 1
        self._signal(SIGKILL, Whom.ALL)
        self._set_timer(KILL_CHECK_S, Event.OVERDUE)

    def _clean(self) -> None:
        child = self.child
        if child is not None:
            if not child.tree_is_empty(thorough=self._attempt >= PATIENT_LOOKS):
                self._signal(SIGKILL, Whom.ALL)
                self._owner.await_empty_tree(self)
                self._set_timer(clean_check_s(self._attempt), Event.OVERDUE)
                self._attempt += 1
                return
            child.close()
            self.child = None
        self._drop_timer()
        self._events.append(self._verdict_event())

    def _verdict_event(self) -> Event:
        verdict = self._verdict
        if verdict is None or not self._owner.wants(self):
            self._verdict = None
            return Event.DOWN
        if isinstance(verdict, Again):
            return Event.AGAIN
        if isinstance(verdict, Later):
            return Event.LATER
        self._why = f"{self.reason}; {verdict.reason}"
        if isinstance(verdict, GiveUp):
            self._owner.gave_up(self)
            return Event.GIVE_UP
        return Event.FAIL if verdict.failed else Event.COMPLETE

    def _set_retry(self) -> None:
        assert isinstance(self._verdict, Later)  # noqa: S101  it is what led here
        self._set_timer(self._verdict.delay_s, Event.RETRY_DUE)

    def _signal(self, signo: int, whom: Whom) -> None:
        """Send a signal; what cannot be signalled is said, and the deadline goes on."""
        try:
            self.send(signo, whom)
        except OSError as error:
            self._why = error.strerror
            if self._attempt <= 1:
                self._owner.log.error("cannot signal worker", slot=self.name, why=self._why)

    # --- the one timer

    def _set_timer(self, delay_s: float, event: Event) -> None:
        self._drop_timer()
        self._due_event = event
        self.due_at = self._owner.kernel.now() + delay_s
        self._timer = self._owner.loop.call_at(self.due_at, self._due, event)

    def _due(self, event: Event) -> None:
        self._timer = None
        if event is Event.START_DUE:
            assert self.child is not None  # noqa: S101  the deadline is a process'
            limit_s = self._owner.kernel.now() - self.child.started_at
            self._condemn(Ending.TIMEOUT, f"it was not ready within {span(limit_s)}")
        elif event is Event.WATCHDOG_DUE:
            self._condemn(Ending.WATCHDOG, f"it did not say WATCHDOG=1 for {self._watchdog_s:g} s")
        elif self.stopping_itself and self.state is State.READY:
            self._condemn(Ending.TIMEOUT, self._cause)
        self.handle(event)

    def _drop_timer(self) -> None:
        self.due_at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_PERFORM: dict[Action, Callable[[Slot], None]] = {
    Action.SPAWN: Slot._spawn,
    Action.CANCEL_SPAWN: Slot._cancel_spawn,
    Action.AWAIT_READY: Slot._await_ready,
    Action.SET_WATCHDOG: Slot._set_watchdog,
    Action.ABORT: Slot._abort,
    Action.STOP_STEP: Slot._stop_step,
    Action.KILL: Slot._kill,
    Action.CLEAN: Slot._clean,
    Action.SET_RETRY: Slot._set_retry,
    Action.DROP_TIMER: Slot._drop_timer,
}
