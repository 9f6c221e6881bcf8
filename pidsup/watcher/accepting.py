"""A process per connection: Accept=yes of systemd.socket(5), nowait of inetd(8).

The supervisor accepts, and each connection has a slot of its own for as long as it lasts.
At the limit nothing is accepted: connections wait in the backlog.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pidsup.loop.loop import Handle
from pidsup.policy.lifecycle import AT_REST

if TYPE_CHECKING:
    from pidsup.linux.sockets import Connection
    from pidsup.watcher.slot import Extras, Slot
    from pidsup.watcher.watcher import Watcher

_BATCH = 16  # connections of one turn
_PAUSE_S = 1.0  # after an accept that failed for want of something
#: Of that one connection, accept(2): the next may be better.
_OF_ONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EAGAIN, errno.EINTR})
_FIRST = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


class Accepting:
    """Makes a slot for each connection.  Owns the connections that no process has yet."""

    def __init__(self, watcher: Watcher) -> None:
        """Start out deaf; `review` sees that the watcher is to run."""
        self._watcher = watcher
        self._connections: dict[Slot, Connection] = {}
        self._listener = -1  # with a reader
        self._pause: Handle | None = None
        self._was_listening = False

    # --- what the watcher asks

    def wants(self, slot: Slot) -> bool:
        """Tell whether a slot has a connection that is not over."""
        return slot in self._connections or slot.state not in AT_REST

    def is_listening(self) -> bool:
        """Tell whether it serves connections, whether there are any or not."""
        return self._watcher.running and self._watcher.workers > 0

    def is_becoming_idle(self) -> bool:
        """Tell whether it will listen once workers are stopped: it always does."""
        return False

    def why(self) -> str:
        """Say how many there are."""
        return f"{len(self._watcher.slots)} of {self._watcher.workers} connections"

    def extras(self, slot: Slot) -> Extras:
        """Return the connection of a slot: as standard input and output, or as systemd has it."""
        fd, address, port = self._connections[slot]
        variables = {"REMOTE_ADDR": address} if address else {}
        if port:
            variables["REMOTE_PORT"] = str(port)
        spec = self._watcher.spec
        if spec.stdin_socket is not None:
            return {0: fd, 1: fd}, variables
        if spec.listen_fds:
            variables["LISTEN_FDNAMES"] = "connection"
        return {_FIRST: fd}, variables

    def entered(self, slot: Slot) -> None:
        """Hear that a slot has just changed its state."""

    def settled(self, slot: Slot) -> None:
        """Close our copy of a connection once a process has it, or none will."""
        connection = self._connections.get(slot)
        if connection is not None and (slot.child is not None or slot.state in AT_REST):
            del self._connections[slot]
            self._watcher.kernel.close(connection.fd)

    def review(self) -> None:
        """Listen while there is room; harmless at any time."""
        watcher = self._watcher
        room = watcher.running and len(watcher.slots) < watcher.workers and self._pause is None
        if not room:
            self.mute()
        elif self._listener < 0:
            (self._listener,) = watcher.sockets().values()
            watcher.loop.add_reader(self._listener, self._accept)
        if watcher.running is not self._was_listening:
            self._was_listening = watcher.running
            watcher.demand_changed()

    def mute(self) -> None:
        """Give the socket back for a moment: it may be another when `review` takes it."""
        if self._listener >= 0:
            self._watcher.loop.remove_reader(self._listener)
            self._listener = -1

    def close(self) -> None:
        """Give up the socket, the timer, and the connections that nobody has."""
        self.mute()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        while self._connections:
            self._watcher.kernel.close(self._connections.popitem()[1].fd)

    # --- connections

    def _accept(self) -> None:
        """Take what waits; asked first, since a listener may be blocking."""
        watcher, fd = self._watcher, self._listener
        for _ in range(_BATCH):
            if self._listener != fd or not watcher.kernel.is_readable(fd):
                return
            try:
                connection = watcher.kernel.accept(fd)
            except OSError as error:
                if error.errno not in _OF_ONE:
                    self._take_a_break(error)
                continue
            slot = watcher.make_slot()
            self._connections[slot] = connection
            watcher.reconcile_slot(slot)
            self.review()

    def _take_a_break(self, error: OSError) -> None:
        """Say that no connection can be accepted, no descriptor is left, say; wait for better."""
        watcher = self._watcher
        watcher.log.error(
            "cannot accept a connection",
            watcher=watcher.spec.name,
            why=error.strerror,
            next=f"retrying in {_PAUSE_S:g} s",
        )
        self._pause = watcher.loop.call_at(watcher.kernel.now() + _PAUSE_S, self._go_on)
        self.review()

    def _go_on(self) -> None:
        self._pause = None
        self.review()
