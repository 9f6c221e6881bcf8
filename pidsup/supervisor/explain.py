"""Why something is as it is: sentences for a person who has to do something about it.

What is wanted and by whom; what is, and since when; why; what it waits for; what comes
next and when; and what the reader can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pidsup.log import span
from pidsup.output.journal import LOST
from pidsup.policy.lifecycle import State
from pidsup.policy.restart import GiveUpAction, Restart
from pidsup.supervisor.changes import Change
from pidsup.supervisor.facts import Facts, socket_names, watcher_state
from pidsup.supervisor.selectors import Selection
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.wishes import Wish
from pidsup.watcher.slot import Slot
from pidsup.watcher.sockets import SocketFacts
from pidsup.watcher.watcher import Watcher

_MOST_CHANGES = 5
_MOST_TROUBLES = 5
_MOST_SLOTS = 20  # of a watcher as a whole: those that are not ready
_AS_WANTED = (State.READY, State.COMPLETED)
_AS_UNWANTED = (State.STOPPED, State.COMPLETED)


def explain(supervisor: Supervisor, chosen: Selection) -> Iterator[Facts]:
    """Yield type Explanation for each watcher or slot that is chosen.

    A watcher as a whole is followed by those of its slots that are not as they should be.
    """
    changes = _changes_of(supervisor)
    sockets = supervisor.listeners.facts()
    for watcher, slots in chosen:
        teller = _Teller(supervisor, watcher, sockets, changes)
        if slots is None:
            yield _explanation(watcher.spec.name, watcher_state(watcher), teller.watcher())
        for slot in teller.remarkable()[:_MOST_SLOTS] if slots is None else slots:
            yield _explanation(slot.name, slot.state.value, teller.slot(slot))


def _explanation(name: str, state: str, why: Iterable[str]) -> Facts:
    return {"name": name, "state": state, "why": list(why)}


def _changes_of(supervisor: Supervisor) -> dict[Slot, dict[Change, None]]:
    """Return the changes under way by slot, oldest first."""
    found: dict[Slot, dict[Change, None]] = {}
    for change in supervisor.changes.under_way.values():
        for task in change.tasks:
            found.setdefault(task.slot, {})[change] = None
    return found


class _Teller:
    """Words what there is to say of one watcher."""

    def __init__(
        self,
        supervisor: Supervisor,
        watcher: Watcher,
        sockets: list[SocketFacts],
        changes: dict[Slot, dict[Change, None]],
    ) -> None:
        self.supervisor = supervisor
        self.watcher_itself = watcher
        self.spec = watcher.spec
        self.sockets = sockets
        self.changes = changes
        self.now = supervisor.kernel.now()

    # --- a watcher

    def watcher(self) -> Iterator[str]:
        """Tell of it as a whole."""
        yield self._wanted()
        yield from self._scaled()
        yield self._standing()
        yield from self._order()
        yield from self._demand()
        yield from self._sockets()
        slots = self.watcher_itself.slots.values()
        yield from self._changes(list(slots))
        yield from self._output(slots)
        hidden = len(self.remarkable()) - _MOST_SLOTS
        if hidden > 0:
            yield f"{hidden} more of its slots are not as they should be; ask for them by name."

    def _wanted(self) -> str:
        watcher, name = self.watcher_itself, self.spec.name
        wish = self.supervisor.wishes.to_run(name)
        if watcher.running:
            return f"{name} is to run with {_count(watcher.workers, 'worker')}{self._by(wish)}."
        if watcher.leaving:
            return f"{name} goes when its last worker is down{self._by(wish)}: it was removed."
        by = self._by(wish) or ": autostart = false, and nobody has started it yet"
        return f"{name} is to be down{by}. To start it: pidsupctl start {name}"

    def _scaled(self) -> Iterator[str]:
        wish = self.supervisor.wishes.to_be_many(self.spec.name)
        if wish is not None and self.watcher_itself.workers != self.spec.workers:
            yield f"{_count(self.spec.workers, 'worker')} are configured; scaled{self._by(wish)}."

    def _standing(self) -> str:
        counts = self.watcher_itself.counts
        present = [f"{counts[state]} {state.value}" for state in State if counts[state]]
        return f"Its slots: {', '.join(present)}." if present else "It has no slots."

    def remarkable(self) -> list[Slot]:
        """Return the slots that are not as they should be."""
        watcher = self.watcher_itself
        return [
            slot
            for _, slot in sorted(watcher.slots.items())
            if slot.state not in (_AS_WANTED if watcher.wants(slot) else _AS_UNWANTED)
        ]

    def _order(self) -> Iterator[str]:
        if self.spec.after:
            yield f"It starts after {_list(self.spec.after)}, and stops before."
        watcher, supervisor = self.watcher_itself, self.supervisor
        for name in supervisor.held_up_by(watcher) if watcher.waits_to_start() else ():
            state = watcher_state(supervisor.watchers[name])
            yield f"{name} is still to be started, it is {state}: pidsupctl explain {name}"
        for name in supervisor.still_up_before(watcher) if watcher.waits_to_stop() else ():
            yield f"{name} has to stop first: pidsupctl explain {name}"

    def _demand(self) -> Iterator[str]:
        watcher = self.watcher_itself
        if watcher.demand is None or not watcher.running:
            return
        names, why = _list(socket_names(watcher)), watcher.demand.why()
        if self.spec.accept:
            yield f"It has a process for each connection to {names}: {why}."
        elif watcher.is_listening():
            was = f"; {why}" if why else ""
            yield f"It is on demand: the next connection to {names} starts it{was}."
        elif why:
            yield f"It is on demand, and was {why}."
        if self.spec.idle_timeout_s:
            yield f"It stops when it has been idle for {span(self.spec.idle_timeout_s)}."

    def _sockets(self) -> Iterator[str]:
        names = socket_names(self.watcher_itself)
        for one in self.sockets if names else ():
            if one.name in names:
                waiting = (
                    "" if one.queued is None else f"; {one.queued} of {one.backlog} wait in it"
                )
                whose = "" if one.systemd is None else f", systemd's {one.systemd!r}"
                yield f"It has the socket {one.name}, {one.address}{whose}{waiting}."

    # --- a slot

    def slot(self, slot: Slot) -> Iterator[str]:
        """Tell of one of its slots."""
        watcher = self.watcher_itself
        yield self._slot_wanted(slot)
        yield self._since(slot)
        yield from self._says(slot)
        yield from self._last(slot)
        yield from self._failures(slot)
        yield from self._next(slot)
        if slot.state is State.WAITING or (slot.state is State.READY and not watcher.wants(slot)):
            yield from self._order()
        if slot.state in (State.READY, State.BACKOFF, State.FAILED):
            yield from self._sockets()
        yield from self._changes([slot])
        yield from self._output([slot])

    def _slot_wanted(self, slot: Slot) -> str:
        watcher, wishes = self.watcher_itself, self.supervisor.wishes
        if slot.index >= watcher.workers:
            by = self._by(wishes.to_be_many(self.spec.name))
            return f"{slot.name} is to go: {_count(watcher.workers, 'worker')} are wanted{by}."
        wish = wishes.to_run(slot.name) or wishes.to_run(self.spec.name)
        wanted = "run" if watcher.wants(slot) else "be down"
        return f"{slot.name} is to {wanted}{self._by(wish)}."

    def _since(self, slot: Slot) -> str:
        """Say what is, since when, and why."""
        state, since = slot.state, span(self.now - slot.since)
        reason = self.watcher_itself.waits_for() if state is State.WAITING else slot.reason
        child = slot.child
        if state is State.READY and child is not None:
            who = f"pid {child.main_pid}, {slot.name}#{slot.serial}"
            return f"It has been ready for {since}: {who}."
        if state is State.STARTING and child is not None:
            who = f"pid {child.main_pid} has not said READY=1 yet"
            return f"It has been starting for {since}: {who}."
        if state is State.STARTING:
            return f"It has been starting for {since}: its process is being made."
        return f"It has been {_WORDS.get(state, state.value)} for {since}{_because(reason)}."

    def _says(self, slot: Slot) -> Iterator[str]:
        """Tell what its worker says of itself, and who else has tried to."""
        if slot.status_text:
            yield f"It says of itself: {slot.status_text}"
        if slot.reloading:
            yield "It says that it is reloading."
        if slot.stopping_itself:
            yield "It says that it is stopping."
        if slot.inbox is None:
            return
        if slot.inbox.store:
            kept = _count(len(slot.inbox.store), "descriptor")
            yield f"It has had {kept} kept for the next worker."
        if slot.inbox.strangers:
            ignored = _count(slot.inbox.strangers, "message")
            yield f"{ignored} to it of processes that are not its worker's were ignored."

    def _last(self, slot: Slot) -> Iterator[str]:
        last = slot.last_exit
        if slot.restarts:
            yield f"It was started again by itself {_count(slot.restarts, 'time')}."
        if last is None:
            return
        asked = ", as it was asked to" if last.asked_for else ""
        was = "was " if last.signo is not None else ""
        yield f"Its last worker {was}{last} after {span(last.ran_s)}{asked}."
        if last.last_lines and not last.asked_for:
            yield "The last that it wrote:"
            yield from (f"  {line}" for line in last.last_lines)

    def _failures(self, slot: Slot) -> Iterator[str]:
        policy = self.spec.restart
        count = len([at for at in slot.failed_at if self.now - at < policy.interval_s])
        if count and slot.state is not State.FAILED:
            yield (
                f"It failed {_count(count, 'time')} within {span(policy.interval_s)}; after more "
                f"than {policy.burst} it is given up (start_limit_burst)."
            )

    def _next(self, slot: Slot) -> Iterator[str]:
        due_s = None if slot.due_at is None else max(0.0, slot.due_at - self.now)
        name = slot.name
        if slot.state is State.BACKOFF and due_s is not None:
            yield f"It is started again in {span(due_s)}; at once by: pidsupctl restart {name}"
        elif slot.state is State.FAILED:
            yield f"{self._given_up()} When that is mended: pidsupctl start {name}"
        elif slot.state is State.STARTING and due_s is not None:
            yield f"If it is not ready in {span(due_s)}, it is stopped (start_timeout)."
        elif slot.state is State.STOPPING and due_s is not None:
            yield f"If it has not ended in {span(due_s)}, the next step of its stop plan follows."
        elif slot.state is State.KILLING and slot.child is not None:
            where = slot.child.sleeps_in()
            yield f"SIGKILL was sent; its process is in state {where}, and looked at every second."
        elif slot.state is State.CLEANING:
            yield "Its worker has gone; processes that it left behind are being killed."
        elif slot.state is State.COMPLETED:
            yield f"It is done: restart = {self.spec.restart.restart.value}."
        elif slot.state is State.STOPPED and not self.watcher_itself.wants(slot):
            yield f"To start it: pidsupctl start {name}"

    def _given_up(self) -> str:
        if self.spec.restart.restart is Restart.NO:
            return "Nothing starts it again: restart = no."
        action = self.spec.on_give_up
        also = "" if action is GiveUpAction.STAY else f" (on_give_up = {action.value})"
        return f"It is not tried again by itself{also}."

    # --- what both have

    def _changes(self, slots: list[Slot]) -> Iterator[str]:
        found = {change: None for slot in slots for change in self.changes.get(slot, ())}
        for change in list(found)[:_MOST_CHANGES]:
            yield f"{_capital(change.because())} is under way{_progress(change)}."

    def _output(self, slots: Iterable[Slot]) -> Iterator[str]:
        outputs = [slot.output for slot in slots if slot.output is not None]
        if any(output.is_held_up for output in outputs):
            yield (
                "What it writes is not taken at the moment, so that it has to wait: nobody reads "
                "the supervisor's own output, or the disk is slow. "
                'log_policy = "drop" would drop it instead.'
            )
        troubles = list(dict.fromkeys(filter(None, (output.trouble for output in outputs))))
        for trouble in troubles[:_MOST_TROUBLES]:
            heals = not trouble.endswith(LOST)
            again = " What it writes goes there again once that is mended." if heals else ""
            yield f"{_capital(trouble)}.{again}"
        dropped = sum(output.dropped_bytes for output in outputs)
        if dropped and (troubles or self.spec.output.block):
            yield (
                f"{dropped} bytes of output were dropped, as they could not be written: "
                "the supervisor's log says why."
            )
        elif dropped:
            yield (
                f"{dropped} bytes of output were dropped: it writes faster than they can be "
                'taken; log_policy = "block" lets it wait instead.'
            )

    def _by(self, wish: Wish | None) -> str:
        return "" if wish is None else f": {wish.why}, {span(self.now - wish.at)} ago"


_WORDS = {State.BACKOFF: "waiting to be started again", State.KILLING: "being killed"}


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _progress(change: Change) -> str:
    return f", {len(change.tasks) - change.left} of {len(change.tasks)} done"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _list(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
