"""One client: its requests in, one at a time, and the answers out."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable

from pidsup.control.progress import refusal
from pidsup.control.protocol import Decoder, Message, encode
from pidsup.control.request import Caller
from pidsup.control.roles import Peer, Role
from pidsup.control.service import Service
from pidsup.control.stream import Stream
from pidsup.errors import ControlError, Invalid, ProtocolError
from pidsup.loop.loop import Loop
from pidsup.supervisor.changes import Actor

_READ_BYTES = 65536
_LAST_ANSWERS = 16  # at the end: as many as hold all events that are kept


class Connection:
    """One client.  Owns its socket, and the stream that it is being answered with.

    Slow clients do no harm: nothing more is read from one that has requests enough,
    one request is answered at a time, and no more than one answer is ever held.
    """

    def __init__(
        self, connected: socket.socket, peer: Peer, role: Role, service: Service, loop: Loop
    ) -> None:
        """Take over the socket."""
        self._socket = connected
        self.peer = peer
        self.role = role
        self._caller = Caller(peer.uid, role, self._actor)
        self._service = service
        self._loop = loop
        self._decoder = Decoder()
        self._out: bytes | memoryview = b""
        self._stream: Stream | None = None
        self._reading = False
        self._scheduled = False  # to go on
        self._ended = False  # nothing more comes
        self._hang_up = False  # once all is written
        self.active_at = loop.time()
        self._on_close: Callable[[Connection], object] | None = None

    def give(self, role: Role) -> None:
        """Let it do from now on what the role may; without any it follows nothing any more."""
        self.role = role
        self._caller = self._caller._replace(role=role)
        if not role and self.can_come_back():
            self.close()

    def open(self, on_close: Callable[[Connection], object]) -> None:
        """Begin to listen."""
        self._on_close = on_close
        self._read_on()

    def is_idle(self) -> bool:
        """Tell whether nothing is under way, neither question nor answer."""
        return self._stream is None and not self._out and not self._scheduled

    def can_come_back(self) -> bool:
        """Tell whether it would lose nothing by being hung up on: it can go on from a cursor."""
        return self._stream is not None and self._stream.endless

    def does_not_read(self) -> bool:
        """Tell whether an answer is waiting for it, and not the other way round."""
        return bool(self._out)

    def _actor(self) -> Actor:
        """Return the peer, with the name that its process has now."""
        pid, comm = self.peer.pid, ""
        with (
            contextlib.suppress(OSError),
            open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file,
        ):
            comm = file.read().rstrip("\n")
        return Actor(self.peer.uid, pid, comm)

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
        self._decoder.feed(data)
        gone = self._is_gone()
        if self.can_come_back() and (self._decoder.is_full() or gone):
            self.close()  # what it asks for behind that would never have its turn
            return
        if gone:
            self._drop_stream()  # nobody waits for it; what was asked for behind it is done
        self._go_on()
        self._read_if_room()

    def _is_gone(self) -> bool:
        """Tell whether the peer has not only said all it had to say, but reads no more."""
        poll = select.poll()
        poll.register(self._socket, 0)
        return self._ended and any(events & select.POLLHUP for _, events in poll.poll(0))

    def _go_on(self) -> None:
        """Answer one request that has arrived; the next has its turn in the next turn."""
        self._scheduled = False
        if self._stream is not None or self._out or self._hang_up or self._socket.fileno() < 0:
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

    # --- out

    def _answer(self, message: Message) -> None:
        answer = self._service.call(message, self._caller)
        if message.get("oneway") is True:
            if not isinstance(answer, dict):
                answer.close()
            return  # it is done, or goes on; nobody wants to hear of it
        if isinstance(answer, dict):
            self._send(encode(answer))
            return
        self._stream = answer
        answer.begin(self._ready)
        self._pump()

    def _ready(self) -> None:
        if not self._out:
            self._pump()

    def _pump(self) -> None:
        """Send what the stream has next; what comes behind it has its turn in the next turn."""
        stream = self._stream
        if stream is None or self._out or self._socket.fileno() < 0:
            return
        answer = self._service.next(stream)
        if answer is None:
            return
        if stream.over:
            self._drop_stream()
            self._go_on_later()
        else:
            self._loop.call_soon(self._pump)
        self._send(answer)

    def _drop_stream(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def _send(self, answer: bytes) -> None:
        self._out = answer
        self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        # A view: what is left of the status of a thousand slots is not copied with each write.
        self._out = memoryview(self._out)[sent:] if sent < len(self._out) else b""
        if self._out:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        elif self._hang_up:
            self.close()

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._write()
        if not self._out:
            self._pump()
            self._go_on_later()
            self._read_if_room()

    def _refuse(self, why: ControlError) -> None:
        """Say why, and hang up."""
        self._read_no_more()
        self._hang_up = True
        self._send(encode(refusal(why)))

    def finish(self) -> None:
        """Send what its stream still has, as far as that is taken at once, and hang up.

        The last events, of the end itself, come in the turn in which the loop ends.
        """
        for _ in range(_LAST_ANSWERS):
            self._pump()
        self.close()

    def close(self) -> None:
        """Hang up; twice is once."""
        fd = self._socket.fileno()
        if fd < 0:
            return
        self._drop_stream()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._out = b""
        self._socket.close()
        if self._on_close is not None:
            self._on_close(self)
