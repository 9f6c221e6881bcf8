"""The control socket: who may connect, and how many.

A client can do no harm by being slow (see `connection`), nor by being many: of those
that are too many, who has nothing to lose by it is hung up on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from pidsup.config.model import Access
from pidsup.control.connection import Connection
from pidsup.control.roles import peer_of, resolve
from pidsup.control.rundir import RuntimeDirectory
from pidsup.control.service import Service
from pidsup.log import Log
from pidsup.loop.loop import Handle, Loop

_SEND_BYTES = 1 << 20  # the kernel takes what net.core.wmem_max allows, socket(7)
_MOST_CLIENTS = 256
_RESERVE = 4  # descriptors kept for clients, however many the workers need
_PAUSE_S = 1.0  # after an accept that found no descriptor even so
NOBODY = Access()


class Server:
    """Listens in a runtime directory, which it borrows.  Owns socket and connections."""

    def __init__(
        self,
        directory: RuntimeDirectory,
        service: Service,
        loop: Loop,
        log: Log,
        *,
        access: Access = NOBODY,
    ) -> None:
        """Begin to listen; anybody may connect once anybody else has a role."""
        self._service = service
        self._loop = loop
        self._log = log
        self._roles = resolve(access)
        self._connections: set[Connection] = set()
        self._paused: Handle | None = None
        self._reserve: list[int] = []
        self._directory = directory
        self._lock_fd = directory.lock_fd
        self._socket = _listening(directory, _mode(access))
        loop.add_reader(self._socket.fileno(), self._accept)
        self._fill_reserve()

    def grant(self, access: Access) -> None:
        """Give roles anew, to those who are connected, too."""
        self._roles = resolve(access)
        if self._directory.path is not None:
            try:
                if any(access):
                    self._directory.open_up()
                os.chmod(self._directory.address, _mode(access))
            except OSError as problem:
                self._log.error("cannot let others connect", why=problem.strerror)
        for connection in list(self._connections):
            connection.give(self._roles.of(connection.peer))

    def _fill_reserve(self) -> None:
        """Hold descriptors that a client can have when there are no others."""
        with contextlib.suppress(OSError):
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.dup(self._lock_fd))

    def _accept(self) -> None:
        if len(self._connections) >= _MOST_CLIENTS and not self._drop_one():
            self._pause(f"{_MOST_CLIENTS} clients wait for answers")
            return
        try:
            accepted = self._accept_one()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as problem:  # EMFILE, ENFILE, ENOBUFS, ENOMEM: accept(2)
            self._pause(str(problem.strerror))
            return
        accepted.setblocking(False)
        peer = peer_of(accepted)
        role = self._roles.of(peer)
        if role:
            # The status of a thousand slots in one piece: what is left over waits for a turn.
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        connection = Connection(accepted, peer, role, self._service, self._loop)
        self._connections.add(connection)
        connection.open(self._closed)

    def _drop_one(self) -> bool:
        """Hang up on one with nothing under way, else on one that can go on later or is slow.

        The one with the least rights, and of those the one that has asked longest ago;
        False if all wait for changes.
        """
        for may_go in (Connection.is_idle, Connection.can_come_back, Connection.does_not_read):
            chosen = list(filter(may_go, self._connections))
            if chosen:
                min(chosen, key=lambda connection: (connection.role, connection.active_at)).close()
                return True
        return False

    def _accept_one(self) -> socket.socket:
        try:
            return self._socket.accept()[0]
        except OSError as problem:
            if problem.errno not in (errno.EMFILE, errno.ENFILE) or not self._reserve:
                raise
        os.close(self._reserve.pop())
        return self._socket.accept()[0]

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._fill_reserve()

    def _pause(self, why: str) -> None:
        """Let clients wait in the backlog for a while, instead of spinning on the socket."""
        self._log.warning("cannot accept a client, retrying", why=why, in_s=_PAUSE_S)
        self._loop.remove_reader(self._socket.fileno())
        self._paused = self._loop.call_at(self._loop.time() + _PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Tell all what is left to tell, as far as they take it at once, and hang up."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for connection in list(self._connections):
            connection.finish()
        while self._reserve:
            os.close(self._reserve.pop())


def _mode(access: Access) -> int:
    """Return the permissions of the socket: who connects is told apart by his credentials."""
    return 0o666 if any(access) else 0o600


def _listening(directory: RuntimeDirectory, mode: int) -> socket.socket:
    if directory.path is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory.address)  # of one that died: we hold the lock
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o777 & ~mode)
    try:
        made.bind(directory.address)
        made.listen(128)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made
