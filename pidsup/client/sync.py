"""The blocking client of the control socket; light to import, and in need of no loop."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from pidsup.control.paths import address, base, meant, names, shown
from pidsup.control.protocol import INTERFACE, Decoder, Message, call, encode
from pidsup.errors import PidsupError, ProtocolError

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Self

_NO_LIMIT = 1 << 40  # of answers: the supervisor is ours

_SLOW_S = 2.0


class NotRunning(PidsupError):
    """There is no supervisor to talk to."""


class NotAnswering(PidsupError):
    """The supervisor has taken a call, and says nothing."""


class CallFailed(PidsupError):
    """The supervisor answered with an error: `name` without the interface, `parameters`."""

    def __init__(self, name: str, parameters: Message) -> None:
        """Word it from its parameters."""
        super().__init__(parameters.get("why") or name)
        self.name = name
        self.parameters = parameters


def answered(answer: Message) -> Message:
    """Return the parameters of an answer; CallFailed if it is an error."""
    problem, given = answer.get("error"), answer.get("parameters", {})
    if not isinstance(given, dict):
        raise ProtocolError("the answer has no parameters")
    if problem is not None:
        raise CallFailed(str(problem).removeprefix(f"{INTERFACE}."), given)
    return given


class Client:
    """A connection to one supervisor.  Owns its socket."""

    def __init__(self, to: str | socket.socket) -> None:
        """Connect to a path, or take over a socket that leads to a supervisor already.

        A path that begins with @ or NUL is an abstract name, unix(7); a file is ./@name.
        NotRunning when nobody listens, PermissionError without the right.
        """
        self._decoder = Decoder(_NO_LIMIT)
        self._unanswered = False  # a call was given up: its answers may still come
        self._socket = _connected(to) if isinstance(to, str) else to

    @classmethod
    def over(cls, connected: socket.socket) -> Self:
        """Talk over a socket that leads to a supervisor already, and take it over."""
        return cls(connected)

    def call(
        self,
        method: str,
        *,
        when_slow: Callable[[], object] | None = None,
        within_s: float | None = None,
        **parameters: object,
    ) -> Message:
        """Call a method of org.pidsup.Supervisor and return its parameters.

        CallFailed when it answers with an error; NotRunning when it hangs up;
        NotAnswering when *within_s* passes, and then the connection is of no more use.
        *when_slow* is called once if there is no answer after 2 seconds.
        """
        self._begin()
        try:
            self._socket.sendall(encode(call(method, parameters)))
            if when_slow is not None and not self._answers_within(_SLOW_S):
                when_slow()
                within_s = None if within_s is None else max(0.001, within_s - _SLOW_S)
            if within_s is not None and not self._answers_within(within_s):
                raise NotAnswering("the supervisor does not answer; is it stopped?")
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._hung_up() from error
        answer = self._receive()
        self._unanswered = False
        return answered(answer)

    def stream(self, method: str, **parameters: object) -> Iterator[Message]:
        """Call a method with "more", and yield the parameters of each answer, as they come.

        It is called with the first that is asked for.  Who does not read to the end cannot
        use the connection for anything else: it is to be closed.  CallFailed and NotRunning
        as of `call`.
        """
        self._begin()
        try:
            self._socket.sendall(encode(call(method, parameters, more=True)))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._hung_up() from error
        while self._unanswered:
            answer = self._receive()
            self._unanswered = answer.get("continues") is True
            yield answered(answer)

    def _hung_up(self) -> NotRunning:
        """Expect nothing more."""
        self._unanswered = False
        return NotRunning("the supervisor has hung up")

    def _begin(self) -> None:
        """Begin a call, unless it would get the answers of another."""
        if self._unanswered:
            raise NotRunning("an earlier call was given up on this connection: make a new one")
        self._unanswered = True

    def _answers_within(self, seconds: float) -> bool:
        """Tell whether an answer begins in time; hanging up is one, which `_receive` words."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(None)
        return True

    def _receive(self) -> Message:
        while (message := self._decoder.next()) is None:
            try:
                data = self._socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise self._hung_up()
            self._decoder.feed(data)
        return message

    def fileno(self) -> int:
        """Return the socket's descriptor: readable when an answer comes, or the end."""
        return self._socket.fileno()

    def peer_uid(self) -> int:
        """Return the user that the supervisor runs as, SO_PEERCRED of unix(7)."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[4:8], sys.byteorder)

    def detach(self) -> socket.socket:
        """Give the socket away; what has been read and not asked for is lost."""
        return socket.socket(fileno=self._socket.detach())

    def close(self) -> None:
        """Hang up; twice is once."""
        self._socket.close()

    def __enter__(self) -> Self:
        """Be the value of a with statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self.close()


def _connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(meant(path))
    except PermissionError:
        made.close()
        raise
    except OSError as error:  # nothing there, nobody listens, no path of a socket
        made.close()
        raise NotRunning(f"no supervisor listens at {shown(path)!r}: {error}") from error
    return made


def connect(name: str | None = None) -> Client:
    """Connect to the supervisor called *name*, or to the only one that runs.

    NotRunning lists those to choose from when there are several.
    """
    if name is not None:
        try:
            return _trusted(address(name))
        except NotRunning as error:
            raise NotRunning(f"no supervisor {name!r} is running in {base()}{_others()}") from error
    alive = live_names()
    if len(alive) == 1:
        return _trusted(address(alive[0]))
    if alive:
        raise NotRunning(f"several supervisors are running, choose one by -n: {', '.join(alive)}")
    raise NotRunning("no supervisor is running: start one by `pidsup run -c FILE`")


def _trusted(path: str) -> Client:
    """Connect to a supervisor of our own, or of root: its directory may be in everybody's /tmp.

    Where root looks only root can have made a directory for somebody, by RuntimeDirectory=.
    """
    client = Client(path)
    uid = client.peer_uid()
    is_meant = (
        os.geteuid() == 0 and path[0] == "/" and os.lstat(os.path.dirname(path)).st_uid == uid
    )
    if uid not in (0, os.geteuid()) and not is_meant:
        client.close()
        raise PermissionError(f"{shown(path)!r} belongs to user {uid}")
    return client


def live_names() -> list[str]:
    """Return the names of the supervisors of this user that answer."""
    alive = []
    for name in names():
        try:
            Client(address(name)).close()
        except (NotRunning, OSError):
            continue
        alive.append(name)
    return alive


def _others() -> str:
    alive = live_names()
    return f"; running: {', '.join(alive)}" if alive else ""
