"""Apply the configuration: it is read again, and the supervisor becomes what it says.

As a whole or not at all: another process reads and checks the files, then sockets are opened,
and only then, when nothing can fail any more, watchers come, go and change.  A command is
told the truth about the files as they were after it was given: while they are read for
others, it waits for the next reading.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pidsup.config.diff import NEVER, Difference
from pidsup.config.model import Config
from pidsup.errors import ShuttingDown
from pidsup.supervisor.changes import Actor, Change, Goal, Task, TaskState
from pidsup.supervisor.rereading import Reader, Reading, Tell
from pidsup.supervisor.turnover import Turnover
from pidsup.watcher.passed import SocketMismatch
from pidsup.watcher.reopening import Switch, fixed, switch

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor

_NO_FILES = (
    "cannot read the configuration again: it does not come from a file; restart the supervisor"
)
_TOO_LATE = "the supervisor is shutting down"


class Applying:
    """Carries out `apply`, and tells for `diff` what it would do.  Borrows the supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Have nothing to read from, until there is a reader."""
        self.reader: Reader | None = None
        #: Hears of each configuration that is in force from now on.
        self.on_applied: Callable[[Config], object] = lambda _: None
        self._supervisor = supervisor
        self._asking: list[Tell] = []  # whom the present reading is for
        self._waiting: list[Tell] = []  # and the next
        self._next: Change | None = None  # that waits for the next, and whom others join
        self._under_way = 0  # changes
        self._began_at = 0.0  # the present reading
        self.read_at = supervisor.kernel.now()  #: when what is in force was, or a little before
        self._in_force: Reading | None = None
        self._last: list[Task] = []  # of the one that has put it in force
        self._ended_by: Change | None = None

    # --- asking

    def apply(self, actor: Actor) -> Change:
        """Want the supervisor to be as the files say now.

        Who wants that before they are read next joins the first who did.
        """
        supervisor = self._supervisor
        if supervisor.shutting_down:
            raise ShuttingDown
        change = self._next
        joins = change is not None
        if change is None:
            change = supervisor.changes.prepare("apply", actor)
            change.on_over = self._over
            self._under_way += 1
        supervisor.log.info("apply", change=change.id, asked_by=actor)
        supervisor.on_reloading(True, "")
        if not joins:
            self.look(partial(self._apply, change))
            self._next = change if self._waiting else None
        return change

    def look(self, tell: Tell) -> None:
        """Have *tell* hear what the files say now, in comparison with what is in force."""
        if self.reader is None or self._ended_by is not None:
            tell(Reading([_NO_FILES if self.reader is None else _TOO_LATE]))
            return
        self._waiting.append(tell)
        if not self._asking:
            self._read_next(self.reader)

    def forget(self, tell: Tell) -> None:
        """Tell it no more."""
        if tell in self._waiting:
            self._waiting.remove(tell)
        elif tell in self._asking:
            self._asking[self._asking.index(tell)] = bool

    def end(self, by: Change, on_gone: Callable[[], object]) -> None:
        """Read no further: the supervisor is shutting down; *on_gone* as Reader.cancel has it."""
        if self._ended_by is None and self.reader is not None:
            self._ended_by = by
            self.reader.cancel(on_gone)
            told = [*self._asking, *self._waiting]
            self._asking, self._waiting, self._next = [], [], None
            for tell in told:
                tell(Reading([_TOO_LATE]))

    def is_reading(self) -> bool:
        """Tell whether a process is still there that reads, or that was told not to."""
        return self.reader is not None and self.reader.is_busy()

    def _read_next(self, reader: Reader) -> None:
        self._asking, self._waiting, self._next = self._waiting, [], None
        self._began_at = self._supervisor.kernel.now()
        reader.begin(self._read)

    def _read(self, reading: Reading) -> None:
        reading = self._without_systemds(reading)
        told, self._asking = self._asking, []
        for tell in told:
            tell(reading)
        if self._waiting and self.reader is not None:
            self._read_next(self.reader)

    def _without_systemds(self, reading: Reading) -> Reading:
        """Say of sockets that are systemd's that they cannot change: the reader knows of none."""
        if reading.config is None or not reading.differences:
            return reading
        names = fixed(self._supervisor.listeners, reading.config.sockets)
        found = [
            each._replace(takes=NEVER) if each.section == "sockets" and each.name in names else each
            for each in reading.differences
        ]
        return reading._replace(differences=found)

    # --- carrying out

    def _apply(self, change: Change, reading: Reading) -> None:
        changes = self._supervisor.changes
        if self._ended_by is not None:
            changes.refuse(change, reading.errors, by=self._ended_by)
            return
        for warning in reading.warnings:
            self._supervisor.log.warning("configuration", warning=warning)
        problems = [*reading.errors] or self._become(change, reading)
        for problem in problems:
            self._supervisor.log.error("cannot apply", change=change.id, why=problem)
        if problems:
            changes.refuse(change, problems)

    def _become(self, change: Change, reading: Reading) -> list[str]:
        """Put it in force; return why that is not possible, and then nothing was done."""
        if reading is self._in_force or not reading.differences:
            if reading.config is not None:
                self._take_over(reading.config)  # of other files, perhaps
            self._repeat(change)
            return []
        cannot = [self._cannot(each) for each in reading.differences if each.takes == NEVER]
        if cannot:
            return cannot
        assert reading.config is not None  # noqa: S101  there are no errors
        try:
            sockets = switch(self._supervisor.listeners, reading.config.sockets)
        except (SocketMismatch, LookupError, OSError) as error:
            return [str(error)]
        self._put_in_force(change, reading, reading.config, sockets)
        return []

    def _cannot(self, each: Difference) -> str:
        why = _cannot_change(each)
        if each.section != "sockets":
            return f"{why} while the supervisor runs: restart it, or undo that"
        install = f"pidsup install-units {self._supervisor.files[0]}"
        return (
            f"{why}: it is systemd's socket: {install}, then stop the service and its socket "
            "units by systemctl, and start these"
        )

    def _put_in_force(self, change: Change, reading: Reading, new: Config, sockets: Switch) -> None:
        supervisor = self._supervisor
        fds = dict(supervisor.listeners.fds)
        supervisor.listeners.become(sockets.wanted)
        moved = [name for name, fd in supervisor.listeners.fds.items() if fds.get(name) != fd]
        turnover = Turnover(supervisor, reading.differences, moved)
        turnover.configure(new, change.because())
        self._last = turnover.tasks()
        if self.reader is not None:
            self.reader.accept(reading)
        self._in_force = reading
        self._take_over(new)
        self.on_applied(new)
        supervisor.log.info("configuration applied", change=change.id, **turnover.summary())
        supervisor.changes.go_on(change, self._last)
        turnover.carry_out(change.because())
        for one in sockets.left:
            one.close()
        self._carried_out(change)

    def _take_over(self, config: Config) -> None:
        self.read_at = self._began_at
        self._supervisor.configured(config)

    def _repeat(self, change: Change) -> None:
        """Wait for what the last one has not achieved, if it is still wanted."""
        tasks = [
            Task(task.watcher, task.slot, task.goal)
            for task in self._last
            if task.state is not TaskState.DONE and _is_still_wanted(task)
        ]
        self._supervisor.log.info("configuration is in force already", change=change.id)
        self._supervisor.changes.go_on(change, tasks)
        self._carried_out(change)

    def _carried_out(self, change: Change) -> None:
        self._supervisor.review(change)
        self._supervisor.changes.carried_out(change)

    def _over(self, change: Change) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._supervisor.on_reloading(False, _why(change))


def _cannot_change(each: Difference) -> str:
    old, new = (value if value is not None else "nothing" for value in (each.old, each.new))
    return f"{each.key} cannot change from {old} to {new}"


def _is_still_wanted(task: Task) -> bool:
    """Tell whether no other command has come meanwhile."""
    watcher, slot = task.watcher, task.slot
    if watcher is None or watcher.slots.get(slot.index) is not slot:
        return False
    return watcher.wants(slot) is (task.goal is Goal.UP)


def _why(change: Change) -> str:
    """Say why a change has failed; "" if it has not."""
    if change.state is TaskState.DONE:
        return ""
    failed = (f"{t.slot.name}: {t.reason}" for t in change.tasks if t.state is not TaskState.DONE)
    return f"apply failed: {next(iter(change.problems), None) or next(failed, change.state.value)}"
