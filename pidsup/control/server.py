"""The control socket: connections, who is at the other end, and their bounds.

A client can do no harm by being slow: one request of it is answered at a time,
nothing more is read while an answer waits to be taken, and a message has a limit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable

from pidsup.control.protocol import Decoder, Message, encode, error
from pidsup.control.rundir import RuntimeDirectory
from pidsup.control.service import Service, Wait
from pidsup.errors import ControlError, Denied, Invalid, ProtocolError
from pidsup.log import Log
from pidsup.loop.loop import Handle, Loop
from pidsup.supervisor.changes import Actor, Change

_READ_BYTES = 65536
_SEND_BYTES = 1 << 20  # the kernel takes what net.core.wmem_max allows, socket(7)
_MOST_CLIENTS = 256
_RESERVE = 4  # descriptors kept for clients, however many the workers need
_PAUSE_S = 1.0  # after an accept that found no descriptor even so
_UCRED = struct.Struct("3i")  # pid, uid, gid


class Server:
    """Listens in a runtime directory, which it borrows.  Owns socket and connections."""

    def __init__(self, directory: RuntimeDirectory, service: Service, loop: Loop, log: Log) -> None:
        """Begin to listen."""
        self._service = service
        self._loop = loop
        self._log = log
        self._connections: set[Connection] = set()
        self._paused: Handle | None = None
        self._reserve: list[int] = []
        self._lock_fd = directory.lock_fd
        if directory.path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(directory.address)  # of one that died: we hold the lock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            self._socket.bind(directory.address)
        finally:
            os.umask(before)
        self._socket.listen(128)
        loop.add_reader(self._socket.fileno(), self._accept)
        self._fill_reserve()

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
        # The status of a thousand slots in one piece: what is left over waits for a turn.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        pid, uid, _ = _UCRED.unpack(
            accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        )
        connection = Connection(accepted, Actor(uid, pid, ""), self._service, self._loop)
        self._connections.add(connection)
        connection.open(self._closed)

    def _drop_one(self) -> bool:
        """Hang up on the client that has been silent for longest; False if all are busy."""
        idle = [connection for connection in self._connections if connection.is_idle()]
        if not idle:
            return False
        min(idle, key=lambda connection: connection.active_at).close()
        return True

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
        """Hang up on all."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for connection in list(self._connections):
            connection.close()
        while self._reserve:
            os.close(self._reserve.pop())


class Connection:
    """One client.  Owns its socket."""

    def __init__(self, peer: socket.socket, actor: Actor, service: Service, loop: Loop) -> None:
        """Take over the socket."""
        self._socket = peer
        self._actor = actor
        self._service = service
        self._loop = loop
        self._decoder = Decoder()
        self._out = b""
        self._wait: Wait | None = None
        self._timeout: Handle | None = None
        self._reading = False
        self._scheduled = False  # to go on
        self._ended = False  # nothing more comes
        self._hang_up = False  # once all is written
        self.active_at = loop.time()
        self._on_close: Callable[[Connection], object] | None = None

    def open(self, on_close: Callable[[Connection], object]) -> None:
        """Begin to listen, unless the peer is a stranger."""
        self._on_close = on_close
        if self._actor.uid in (0, os.geteuid()):
            self._read_on()
        else:
            self._refuse(Denied(f"only root and user {os.geteuid()} may ask this supervisor"))

    def is_idle(self) -> bool:
        """Tell whether nothing is under way, neither question nor answer."""
        return self._wait is None and not self._out and not self._scheduled

    # --- in

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _read_no_more(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket.fileno())

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()  # what it has asked for goes on
            return
        if not data:
            self._ended = True  # what it has asked for before is still to be done
            self._read_no_more()
        self._decoder.feed(data)
        self._go_on()

    def _go_on(self) -> None:
        """Answer one request that has arrived; the next has its turn in the next turn."""
        self._scheduled = False
        if self._wait is not None or self._out or self._hang_up or self._socket.fileno() < 0:
            return
        self.active_at = self._loop.time()
        try:
            message = self._decoder.next()
        except ProtocolError as problem:
            self._refuse(Invalid("message", str(problem)))
            return
        if message is not None:
            self._answer(message)
            self._go_on_later()
        elif self._ended:
            self.close()
            return
        self._read_if_room()

    def _go_on_later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _read_if_room(self) -> None:
        if self._socket.fileno() < 0 or self._hang_up:
            return
        if self._decoder.is_full() or self._out or self._ended:
            self._read_no_more()
        else:
            self._read_on()

    def _answer(self, message: Message) -> None:
        answer = self._service.call(message, self._who)
        if message.get("oneway") is True:
            return  # it is done, or goes on; nobody wants to hear of it
        if not isinstance(answer, Wait):
            self._send(answer)
            return
        self._wait = answer
        if answer.timeout_s is not None and answer.change.left:
            at = self._loop.time() + answer.timeout_s
            self._timeout = self._loop.call_at(at, self._timed_out)
        answer.change.when_over(self._over)

    def _who(self) -> Actor:
        """Return the peer, with the name that its process has now."""
        try:
            with open(f"/proc/{self._actor.pid}/comm", encoding="utf-8", errors="replace") as file:
                return self._actor._replace(comm=file.read().rstrip("\n"))
        except OSError:
            return self._actor

    def _over(self, _: Change) -> None:
        if self._wait is not None:
            self._answer_late(self._wait.answer())

    def _timed_out(self) -> None:
        if self._wait is not None:
            self._wait.change.forget(self._over)
            self._answer_late(self._wait.timed_out())

    def _answer_late(self, answer: Message) -> None:
        self._wait = None
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        self._send(answer)
        self._go_on_later()

    # --- out

    def _send(self, answer: Message) -> None:
        self._out = encode(answer)
        self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._out = self._out[sent:]
        if self._out:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        elif self._hang_up:
            self.close()

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._write()
        if not self._out:
            self._go_on_later()

    def _refuse(self, why: ControlError) -> None:
        """Say why, and hang up."""
        self._read_no_more()
        self._hang_up = True
        self._send(error(why.name, dict(why.parameters)))

    def close(self) -> None:
        """Hang up; twice is once."""
        fd = self._socket.fileno()
        if fd < 0:
            return
        if self._wait is not None:
            self._wait.change.forget(self._over)
            self._wait = None
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._out = b""
        self._socket.close()
        if self._on_close is not None:
            self._on_close(self)
