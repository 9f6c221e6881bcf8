"""What the worker of a slot says of itself: sd_notify(3), with us in systemd's place.

Each slot has a socket of its own.  So it is known whose worker is meant, and a flood of one
keeps no other waiting; who may speak is decided by who sent (see Inbox._is_ours).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pidsup.output.harmless import clean
from pidsup.policy.lifecycle import State
from pidsup.systemd.notify import Message, parse
from pidsup.watcher.fd_store import FdStore

if TYPE_CHECKING:
    from pidsup.kernel import Kernel, NotifySocket
    from pidsup.loop.loop import Handle
    from pidsup.loop.sources import Sources
    from pidsup.process.child import Child
    from pidsup.systemd.notify_server import Received
    from pidsup.watcher.slot import Extras, Owner, Slot

VARIABLE = "NOTIFY_SOCKET"
_BATCH = 16  # datagrams and descriptors of one turn
# What is always readable would keep us busy for ever, and its sender waits whether we take
# 2,000 messages a second or 40,000.  So each has a price, twenty times what it takes us: 25
# microseconds, 500 to find out that somebody is a stranger (2 CPUs, 2026-11-20).  Some go on
# credit, for a worker has many descriptors kept at once; then we nap until half is paid.
_PRICE_S = 0.0005
_PRICE_OF_STRANGER_S = 0.01
_PRICE_OF_MAIN_S = 0.05  # all descendants are looked for, and a line is logged
_CREDIT_S = 0.1
_LONGEST_STATUS = 256
_QUIET_S = 60.0  # between two lines on the same
_MOST_TAKEN = 100  # abstract names that others have
_NAMELESS = "stored"  # as systemd calls a descriptor without a name
_FIRST_FD = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


class Inbox:
    """Hears the worker of one slot.  Owns the socket, and the descriptors that are kept."""

    __slots__ = (
        "_errno",
        "_exit_status",
        "_kernel",
        "_nap",
        "_owner",
        "_paid_at",
        "_shown",
        "_silent_until",
        "_slot",
        "_socket",
        "_uids",
        "not_kept",
        "store",
        "strangers",
    )

    def __init__(self, slot: Slot, owner: Owner, sources: Sources, places: Iterator[str]) -> None:
        """Bind the socket; OSError when that cannot be done."""
        self._slot = slot
        self._owner = owner
        self._kernel = owner.kernel
        address, self._socket = _bind(owner.kernel, places)
        self._shown = address.replace("\0", "@", 1)  # as $NOTIFY_SOCKET has it
        self._uids: frozenset[int] = frozenset()
        self._silent_until: dict[str, float] = {}
        self._paid_at = 0.0  # when what was read will have been paid for
        self._nap: Handle | None = None
        self.store = FdStore(owner.kernel, sources)
        self.strangers = 0  #: messages of those who may not speak for the worker
        self.not_kept = 0  #: descriptors for which there was no room
        self._errno: int | None = None
        self._exit_status: int | None = None
        owner.loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Give up all; twice is once."""
        self.store.close()
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None
        if self._socket.fileno() >= 0:
            self._owner.loop.remove_reader(self._socket.fileno())
            self._socket.close()

    @property
    def said_of_its_end(self) -> str:
        """Word what the worker has said of its end, before it came; "" if it has not."""
        said = []
        if self._exit_status is not None:
            said.append(f"exit status {self._exit_status}")
        if self._errno is not None:
            said.append(f"{errno.errorcode.get(self._errno, 'errno')}: {os.strerror(self._errno)}")
        return ", ".join(said)

    # --- a start

    def begin(self, uid: int | None) -> None:
        """Be ready for a new worker, which will be of *uid*: what an old one has said is over."""
        for _ in range(self._socket.capacity):
            received = self._socket.receive()
            if received is None:
                break
            self._close(received)
        ours = os.geteuid()
        self._uids = frozenset({0, ours, ours if uid is None else uid})
        self._errno = self._exit_status = None
        self.store.trim(self._owner.spec.fd_store_max)  # it may be less than it was

    def extras(self) -> Extras:
        """Return what a start has beside the plan: the way to us, and what was kept."""
        spec = self._owner.spec
        variables = {VARIABLE: self._shown}
        if spec.fd_store_max:
            variables["FDSTORE"] = str(spec.fd_store_max)
        kept = list(self.store)
        if not kept:
            return {}, variables
        first = _FIRST_FD + len(spec.sockets)
        variables["LISTEN_FDS"] = str(len(spec.sockets) + len(kept))
        variables["LISTEN_FDNAMES"] = ":".join([*spec.sockets, *(one.name for one in kept)])
        return {first + place: one.fd for place, one in enumerate(kept)}, variables

    # --- messages in

    def _read(self) -> None:
        """Take some; the rest comes with the next turn, and all once a new worker is known."""
        if self._slot.awaits_process:
            return
        room = _BATCH
        while room > 0 and not self._is_exhausted() and (received := self._take()) is not None:
            room -= 1 + len(received.fds)
        if self._is_exhausted() and self._socket.fileno() >= 0:
            self._owner.loop.remove_reader(self._socket.fileno())
            self._nap = self._owner.loop.call_at(self._paid_at - _CREDIT_S / 2, self._wake)

    def _is_exhausted(self) -> bool:
        return self._paid_at > self._kernel.now() + _CREDIT_S

    def _wake(self) -> None:
        self._nap = None
        self._owner.loop.add_reader(self._socket.fileno(), self._read)

    def hear_out(self) -> None:
        """Take all that has come: the worker may have ended, and these be its last words."""
        for _ in range(self._socket.capacity):
            if self._take() is None:
                return

    def _take(self) -> Received | None:
        """Take one, and return what it was; None when there is none."""
        came = left = self._socket.receive() if self._socket.fileno() >= 0 else None
        if came is None or left is None:
            return None
        self._charge(_PRICE_S * (1 + len(came.fds)))
        try:
            left = self._handle(came)
        finally:
            self._close(left)
        return came

    def _charge(self, price_s: float) -> None:
        self._paid_at = max(self._paid_at, self._kernel.now()) + price_s

    def _close(self, received: Received) -> None:
        if received.pidfd >= 0:
            self._kernel.close(received.pidfd)
        for fd in received.fds:
            self._kernel.close_aside(fd)

    def _handle(self, received: Received) -> Received:
        """Do what a message says; return it less the descriptors that were kept."""
        child, message = self._slot.child, parse(received.data)
        if child is None or message is None or self._slot.state is State.CLEANING:
            return received
        if not self._is_ours(received, child):
            self._refuse("not of its worker", received)
            return received
        if message.main_pid is not None or message.main_pidfd:
            self._follow(message, received, child)
        if message.store_remove:
            if message.fd_name is not None:  # not those without a name, either: as systemd has it
                self.store.remove(message.fd_name)
        elif message.store:
            received = self._keep(message, received)
        self._tell(message)
        return received

    def _tell(self, message: Message) -> None:
        """Let the slot know, which knows what it means in its state."""
        slot = self._slot
        if message.status is not None:
            slot.status_text = _one_line(message.status)
        if message.errno is not None:
            self._errno = message.errno
        if message.exit_status is not None:
            self._exit_status = message.exit_status
        if message.watchdog_usec is not None:
            slot.set_watchdog(message.watchdog_usec / 1e6)
        if message.extend_timeout_usec is not None:
            slot.extend(message.extend_timeout_usec / 1e6)
        if message.alive:
            slot.said_alive()
        if message.reloading and self._is_past(message.monotonic_usec):
            slot.said_reloading()
        if message.ready:
            slot.said_ready()
        if message.stopping:
            slot.said_stopping()
        if message.trigger:
            slot.said_broken()

    def _is_past(self, monotonic_usec: int | None) -> bool:
        """Tell whether a reload can have begun then: one that is still to come cannot."""
        return monotonic_usec is None or monotonic_usec <= self._kernel.now() * 1e6

    # --- who may speak

    def _is_ours(self, sender: Received, child: Child) -> bool:
        """Tell whether a message is the worker's, whichever of its processes has sent it.

        One that lives, a zombie too, is of its tree.  Of one that is gone, a short-lived
        systemd-notify, less is known: its user, and where the kernel tells, its cgroup.
        """
        if sender.pid <= 0:  # of another pid namespace, so not below us
            return False
        if self._lives(sender):
            return self._belongs(sender.pid, child)
        if sender.uid not in self._uids:
            return False
        cgroups = {self._cgroup(sender.pidfd), self._cgroup(child.pidfd)} - {None}
        return len(cgroups) < 2

    def _lives(self, sender: Received) -> bool:
        try:
            if sender.pidfd >= 0:
                self._kernel.signal(sender.pidfd, 0)
            else:
                self._kernel.group_of(sender.pid)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _belongs(self, pid: int, child: Child) -> bool:
        """Tell whether a process is of the worker's tree, or a daemon that has come of it.

        A daemon has left its session, and its parents are gone: it is our own child, whom
        nobody has started for another slot.  But it has our address from its parents.
        """
        if child.has(pid):
            return True
        lost = pid in self._kernel.adopted() and pid not in self._owner.spawner.children
        return lost and self._kernel.variable(pid, VARIABLE) == self._shown

    def _cgroup(self, pidfd: int) -> int | None:
        info = self._kernel.info(pidfd) if pidfd >= 0 else None
        return None if info is None else info.cgroup_id

    def _refuse(self, why: str, sender: Received) -> None:
        self.strangers += 1
        self._charge(_PRICE_OF_STRANGER_S)
        self._warn(
            "message ignored", why=why, pid=sender.pid, uid=sender.uid, so_far=self.strangers
        )

    def _warn(self, event: str, **facts: object) -> None:
        """Log it, but only once in a while: who sends may have much to say."""
        now = self._kernel.now()
        if now >= self._silent_until.get(event, 0.0):
            self._silent_until[event] = now + _QUIET_S
            self._owner.log.warning(event, slot=self._slot.name, **facts)

    # --- descriptors

    def _follow(self, message: Message, received: Received, child: Child) -> None:
        """Take the process that is meant for the main one, if it is of the worker's tree."""
        pid = message.main_pid
        if message.main_pidfd and len(received.fds) == 1:
            info = self._kernel.info(received.fds[0])
            pid = pid if info is None else info.pid
        if not pid or pid == child.main_pid or child.exit is not None:
            return
        self._charge(_PRICE_OF_MAIN_S)
        try:
            pidfd = self._kernel.pidfd_open(pid)
        except OSError:
            self._refuse("MAINPID= names a process that is gone", received)
            return
        if self._belongs(pid, child):
            child.follow(pid, pidfd)
            self._owner.log.info("main process changed", slot=self._slot.name, pid=pid)
        else:
            self._kernel.close(pidfd)
            self._refuse("MAINPID= names a stranger", received)

    def _keep(self, message: Message, received: Received) -> Received:
        """Keep descriptors for the next worker; return the message with those that were not."""
        room = self._owner.spec.fd_store_max - len(self.store)
        left = []
        for fd in received.fds:
            if room > 0 and self.store.add(fd, message.fd_name or _NAMELESS, polled=message.poll):
                room -= 1
            else:
                left.append(fd)
        if left and room <= 0:
            self.not_kept += len(left)
            most = self._owner.spec.fd_store_max
            why = f"file_descriptor_store_max = {most}"
            self._warn("descriptors not kept", why=why, so_far=self.not_kept)
        return received._replace(fds=tuple(left))


def _bind(kernel: Kernel, places: Iterator[str]) -> tuple[str, NotifySocket]:
    """Return a new socket and its address; abstract ones that others have are left out."""
    for _ in range(_MOST_TAKEN):
        address = next(places)
        try:
            return address, kernel.notify_socket(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _one_line(text: str) -> str:
    """Make a status fit for a line of a terminal."""
    text = clean(text.strip())
    return text if len(text) <= _LONGEST_STATUS else f"{text[: _LONGEST_STATUS - 1]}…"
