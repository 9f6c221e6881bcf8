"""What tests see of the inside of the shells: the only module that knows its names."""

from __future__ import annotations

from collections.abc import Iterator

from pidsup.loop.loop import EpollLoop
from pidsup.loop.timers import TimerHandle
from pidsup.policy.lifecycle import State
from pidsup.process.child import Child
from pidsup.supervisor.supervisor import Supervisor
from pidsup.watcher.accepting import Accepting
from pidsup.watcher.activation import OnDemand
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher
from tests.simulation.poller import FakePoller


def slots(supervisor: Supervisor) -> Iterator[Slot]:
    """Return the slots of all watchers."""
    for watcher in supervisor.watchers.values():
        yield from watcher.slots.values()


def on_their_way(loop: EpollLoop) -> dict[Child, Slot]:
    """Return the children that the loop has still to deliver, and to whom."""
    found: dict[Child, Slot] = {}
    for handle in loop._soon:
        for argument in handle.args:
            if isinstance(argument, Child):
                receiver = getattr(handle.callback, "__self__", None)
                assert isinstance(receiver, Slot)
                found[argument] = receiver
    return found


def awaited(supervisor: Supervisor, loop: EpollLoop) -> set[object]:
    """Return the slots that an answer of the spawner is on its way to."""
    found: set[object] = set()
    for watcher in supervisor.watchers.values():
        found.update(request.requester for request in watcher.spawner._queue)
        break  # they share it
    for handle in loop._soon:
        found.add(getattr(handle.callback, "__self__", None))
    return found


def live_timers(loop: EpollLoop) -> list[TimerHandle]:
    """Return the timers that will fire."""
    return [entry[2] for entry in loop._timers._heap if entry[2].callback is not None]


def timer(slot: Slot) -> TimerHandle | None:
    """Return the slot's timer."""
    handle = slot._timer
    assert handle is None or isinstance(handle, TimerHandle)
    return handle


def warmup(watcher: Watcher) -> TimerHandle | None:
    """Return the watcher's timer."""
    handle = watcher._warmup
    assert handle is None or isinstance(handle, TimerHandle)
    return handle


def demand_timer(watcher: Watcher) -> TimerHandle | None:
    """Return the timer of what decides for a watcher on demand."""
    demand = watcher.demand
    handle = demand._timer if isinstance(demand, OnDemand) else None
    if isinstance(demand, Accepting):
        handle = demand._pause
    assert handle is None or isinstance(handle, TimerHandle)
    return handle


def connections(watcher: Watcher) -> list[int]:
    """Return the descriptors of the connections that a watcher has accepted."""
    demand = watcher.demand
    if not isinstance(demand, Accepting):
        return []
    return [connection.fd for connection in demand._connections.values()]


def is_stopped_as_idle(watcher: Watcher, slot: Slot) -> bool:
    """Tell whether a slot is being stopped because its watcher was idle."""
    demand = watcher.demand
    return isinstance(demand, OnDemand) and demand._lets_go and watcher.is_on_demand(slot)


def patience(supervisor: Supervisor) -> TimerHandle | None:
    """Return the timer of what was left behind."""
    handle = supervisor.leftovers._timer
    assert handle is None or isinstance(handle, TimerHandle)
    return handle


def progress(slot: Slot) -> tuple[int, int]:
    """Return the step of the stop plan and the attempts at killing or cleaning."""
    return slot._step, slot._attempt


def is_busy(slot: Slot) -> bool:
    """Tell whether the slot is in the middle of something."""
    return slot._busy or bool(slot._events)


def pinned(child: Child) -> list[int]:
    """Return the descriptors that pin descendants."""
    return list(child._pinned.values())


def watched(supervisor: Supervisor) -> FakePoller:
    """Return the inner set of processes."""
    poller = supervisor.sources._poller
    assert isinstance(poller, FakePoller)
    return poller


def looks_for_orphans(supervisor: Supervisor) -> bool:
    """Tell whether a look at all children is on its way."""
    return supervisor._orphans._pending


def table_fd(supervisor: Supervisor) -> int:
    """Return the descriptor of the table."""
    return supervisor._table.fd


def is_looking(supervisor: Supervisor) -> bool:
    """Tell whether the supervisor is about to go on with watchers that waited for others."""
    return supervisor._looking


def inbox_fds(watcher: Watcher) -> set[int]:
    """Return the descriptors of the sockets that workers talk to."""
    inboxes = [slot.inbox for slot in watcher.slots.values() if slot.inbox is not None]
    return {inbox._socket.fileno() for inbox in inboxes}


def watchdog_s(slot: Slot) -> float:
    """Return how often its worker has to say that it lives."""
    return slot._watchdog_s


def says_ready(slot: Slot) -> bool:
    """Tell whether its worker is ready only once it says so."""
    return slot._owner.spec.type == "notify"


def patience_with(slot: Slot) -> float | None:
    """Return how long a worker may take to say something, None if nobody waits for that."""
    if slot.state is State.STARTING:
        return slot._owner.spec.start_timeout_s
    return slot._watchdog_s if slot.state is State.READY and not slot.stopping_itself else None


def is_condemned(slot: Slot) -> bool:
    """Tell whether its worker is being ended though nobody has asked for that."""
    return slot._doom is not None
