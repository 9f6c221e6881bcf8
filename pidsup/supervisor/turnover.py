"""What becomes of each watcher when the configuration has changed: who comes, goes, is renewed.

In two steps, with the tasks of the change between them: first all are configured as they are
to be, and nothing starts or stops; then it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pidsup.config.diff import RESTART, Difference
from pidsup.config.model import Config, WatcherSpec
from pidsup.policy.lifecycle import AT_REST, State
from pidsup.supervisor.changes import Goal, Task
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

if TYPE_CHECKING:
    from pidsup.supervisor.supervisor import Supervisor

#: A slot that is there, or whose failure has nothing to do with a number of workers.
TRIED = frozenset({State.READY, State.BACKOFF, State.FAILED, State.COMPLETED})


class Turnover:
    """One such change.  Borrows the supervisor."""

    def __init__(
        self, supervisor: Supervisor, differences: Iterable[Difference], moved: Iterable[str]
    ) -> None:
        """Know what differs, and which sockets have another descriptor."""
        self._supervisor = supervisor
        self._moved = frozenset(moved)
        self._options: dict[str, dict[str, str]] = {}  # by watcher: what each takes
        for each in differences:
            if each.section == "watchers":
                self._options.setdefault(each.name, {})[each.option] = each.takes
        self._to_start: list[Watcher] = []
        self._to_renew: list[Watcher] = []
        self._to_leave: list[Watcher] = []
        self._adjusted: list[Watcher] = []  # in place
        self._resized: dict[Watcher, int] = {}  # with the number that was wanted before

    def configure(self, config: Config, why: str) -> None:
        """Have all watchers as *config* says, beside those that have to go."""
        supervisor = self._supervisor
        known = dict(supervisor.watchers)
        for spec in config.watchers:
            watcher = known.get(spec.name)
            if watcher is None:
                watcher = known[spec.name] = supervisor.make_watcher(spec, why)
                if spec.autostart:
                    self._to_start.append(watcher)
            else:
                self._change(watcher, spec)
        names = {spec.name for spec in config.watchers}
        self._to_leave = [w for w in known.values() if w.spec.name not in names and not w.leaving]
        in_file = {name: known[name] for name in names}  # the file decides where `after` does not
        supervisor.arrange({**{s.name: in_file[s.name] for s in config.watchers}, **known}.values())

    def _change(self, watcher: Watcher, spec: WatcherSpec) -> None:
        options, returns = self._options.get(spec.name, {}), watcher.leaving
        moved = not self._moved.isdisjoint((*spec.sockets, spec.stdin_socket))
        renew = returns or moved or RESTART in options.values()
        if renew or spec != watcher.spec:
            watcher.adopt(spec, renew=renew)
            self._adjusted.append(watcher)
        if renew:
            self._to_renew.append(watcher)
        if spec.autostart and (returns or "autostart" in options):
            self._to_start.append(watcher)
        too_many = watcher.workers > 1 and (spec.singleton or spec.foreground)
        if returns or too_many or "workers" in options:
            self._resized[watcher] = watcher.workers
            watcher.resize(spec.workers)

    def tasks(self) -> list[Task]:
        """Return what there is to wait for."""
        changed = dict.fromkeys([*self._to_start, *self._to_renew, *self._resized])
        found = [
            Task(watcher, slot, goal)
            for watcher in changed
            for slot in watcher.slots.values()
            if (goal := self._goal(watcher, slot)) is not None
        ]
        gone = (Task(w, slot, Goal.DOWN) for w in self._to_leave for slot in w.slots.values())
        return [*found, *gone]

    def _goal(self, watcher: Watcher, slot: Slot) -> Goal | None:
        if watcher.spec.accept:  # a connection keeps its worker, to its end
            is_another = watcher in self._to_renew and not watcher.wants(slot)
            return Goal.DOWN if is_another and slot.state not in AT_REST else None
        if slot.index >= watcher.workers:
            return None if slot.state in AT_REST else Goal.DOWN
        starts = watcher in self._to_start and watcher.demand is None
        if starts or (watcher.wants(slot) and watcher in self._to_renew):
            return Goal.UP
        return Goal.UP if watcher.wants(slot) and slot.state not in TRIED else None

    def carry_out(self, why: str) -> None:
        """Stop what has to go, in reverse order, and start what comes."""
        wishes, watchers = self._supervisor.wishes, self._supervisor.watchers
        leaving, starting, renewed = map(set, (self._to_leave, self._to_start, self._to_renew))
        adjusted = {*self._adjusted, *self._resized}
        for watcher, before in self._resized.items():
            wishes.configured(watcher, before, why)
        for watcher in reversed(watchers.values()):
            if watcher in leaving:
                wishes.run(watcher, None, wanted=False, why=why)
                self._supervisor.let_go(watcher)
        for watcher in watchers.values():
            if watcher in renewed:  # first: until then an old worker counts for a new one
                watcher.renew()
            elif watcher in adjusted:
                watcher.reconcile()
            if watcher in starting:
                wishes.run(watcher, None, wanted=True, why=why)
                watcher.start()

    def summary(self) -> dict[str, object]:
        """Return who is concerned, for the log."""
        parts = {
            "started": self._to_start,
            "restarted": self._to_renew,
            "scaled": self._resized,
            "removed": self._to_leave,
        }
        return {
            word: ",".join(watcher.spec.name for watcher in watchers)
            for word, watchers in parts.items()
            if watchers
        }
