"""One client: it gets all its answers, in order, and is never a burden."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pidsup.control.connection import Connection
from pidsup.control.protocol import LIMIT, Message, encode, error, reply
from pidsup.control.request import Caller
from pidsup.control.roles import Peer, Role
from pidsup.control.stream import Stream
from tests.support import EpollDriver, run_for, run_until


class Counting:
    """A stream of numbers; the test says how far it has come."""

    def __init__(self, *, last: int | None, size: int = 0) -> None:
        self.endless = last is None
        self.over = False
        self.ready_up_to = 0
        self.made = 0
        self.closed = False
        self._last = last
        self._size = size
        self._ready: Callable[[], object] = bool

    def begin(self, ready: Callable[[], object]) -> None:
        self._ready = ready

    def go_on(self, up_to: int) -> None:
        self.ready_up_to = up_to
        self._ready()

    def next(self) -> bytes | None:
        if self.made >= self.ready_up_to:
            return None
        self.made += 1
        self.over = self.made == self._last
        return encode(reply({"n": self.made, "x": "x" * self._size}, continues=not self.over))

    def close(self) -> None:
        self.closed = True


class Echo:
    """Answers with what was asked, or with a stream that the test has laid ready."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.streams: list[Counting] = []
        self.size = 0  #: of answers

    def call(self, message: Message, caller: Caller) -> Message | Stream:
        self.asked.append(message)
        if message["method"] == "stream":
            return self.streams[-1]
        return reply({"to": message["method"], "x": "x" * self.size})

    def next(self, stream: Stream) -> bytes | None:
        return stream.next()


class Scene:
    """A connection, and the peer at its other end."""

    def __init__(self, driver: EpollDriver) -> None:
        self.driver = driver
        self.service = Echo()
        self.peer, ours = socket.socketpair()
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.closed: list[Connection] = []
        self.connection = Connection(
            ours, Peer(1, 0, frozenset()), Role.ADMIN, self.service, driver.loop  # type: ignore[arg-type]  # as good as a Service
        )  # fmt: skip
        self.connection.open(self.closed.append)
        self._data = b""

    def ask(self, *methods: str, **more: Any) -> None:
        self.peer.sendall(b"".join(encode({"method": method, **more}) for method in methods))

    def stream(self, **how: Any) -> Counting:
        self.service.streams.append(Counting(**how))
        self.ask("stream")
        self.run_until(lambda: self.service.asked and self.service.asked[-1]["method"] == "stream")
        return self.service.streams[-1]

    def run_until(self, predicate: Callable[[], object]) -> None:
        run_until(self.driver, predicate)

    def answers(self, count: int) -> list[Any]:
        """Read that many answers."""
        while self._data.count(b"\0") < count:
            try:
                data = self.peer.recv(1 << 20)
            except BlockingIOError:
                self.driver.turn(lambda: True)
                continue
            assert data, f"hung up after {self._data[-200:]!r}"
            self._data += data
        *found, self._data = self._data.split(b"\0", count)
        return [json.loads(one) for one in found]

    def told(self, count: int) -> list[Any]:
        """Read that many answers; return what they are to, or their numbers."""
        found = [answer["parameters"] for answer in self.answers(count)]
        return [told.get("to", told.get("n")) for told in found]

    def close(self) -> None:
        self.peer.close()
        self.connection.close()


@pytest.fixture
def scene(epoll_driver: EpollDriver) -> Iterator[Scene]:
    one = Scene(epoll_driver)
    yield one
    one.close()


def test_answers_come_in_the_order_of_the_calls(scene: Scene) -> None:
    scene.ask("a", "b", "c")
    assert scene.told(3) == ["a", "b", "c"]


def test_one_request_is_answered_per_turn(scene: Scene) -> None:
    """A thousand in one packet hold nobody up."""
    scene.ask(*"abcdefgh")
    for _ in range(3):
        before = len(scene.service.asked)
        scene.driver.turn(lambda: True)
        assert len(scene.service.asked) - before <= 1


def test_half_a_message_is_waited_for(scene: Scene) -> None:
    whole = encode({"method": "a"})
    scene.peer.sendall(whole[:5])
    run_for(scene.driver, 0.02)
    assert scene.connection.is_idle()
    scene.peer.sendall(whole[5:])
    assert scene.told(1) == ["a"]


def test_a_message_that_is_too_long_is_refused_and_hung_up_on(scene: Scene) -> None:
    data = b'{"method":"' + b"x" * LIMIT

    def sent() -> bool:
        nonlocal data
        try:
            data = data[scene.peer.send(data) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True
        return not data

    run_until(scene.driver, sent)
    [answer] = scene.answers(1)
    assert answer == error(
        "Invalid", {"field": "message", "why": f"a message of more than {LIMIT} bytes"}
    )
    scene.run_until(lambda: scene.closed)


# --- streams


def test_a_stream_is_sent_as_it_comes_and_the_next_call_after_it(scene: Scene) -> None:
    stream = scene.stream(last=4)
    scene.ask("behind")
    stream.go_on(1)
    assert scene.told(1) == [1]
    stream.go_on(4)
    assert scene.told(4) == [2, 3, 4, "behind"]
    assert stream.closed


def test_of_a_stream_one_answer_is_made_per_turn(scene: Scene) -> None:
    stream = scene.stream(last=100)
    stream.go_on(100)
    for _ in range(5):
        before = stream.made
        scene.driver.turn(lambda: True)
        assert stream.made - before <= 1


def test_of_one_who_does_not_read_one_answer_is_held(scene: Scene) -> None:
    """What comes is not even made, however much there is."""
    stream = scene.stream(last=None, size=100_000)
    stream.go_on(1_000_000)
    run_for(scene.driver, 0.05)
    made = stream.made
    assert made < 20
    run_for(scene.driver, 0.05)
    assert stream.made == made
    assert len(scene.connection._out) <= 100_100
    assert scene.told(made + 1)[-1] == made + 1, "once it reads, it goes on"


def test_one_that_is_closed_in_the_middle_is_closed(scene: Scene) -> None:
    stream = scene.stream(last=None)
    stream.go_on(1)
    scene.told(1)
    scene.peer.close()
    scene.run_until(lambda: scene.closed)
    assert stream.closed


def test_one_that_is_closed_in_the_middle_of_an_answer_is_closed(scene: Scene) -> None:
    stream = scene.stream(last=None, size=1_000_000)
    stream.go_on(5)
    scene.run_until(lambda: scene.connection._out)
    scene.peer.close()
    scene.run_until(lambda: scene.closed)
    assert stream.closed


def test_one_that_is_closed_while_it_waits_is_not_kept(scene: Scene) -> None:
    """A change may take for ever; what was asked for behind it has its turn all the same."""
    stream = scene.stream(last=1)
    scene.ask("behind")
    scene.peer.close()
    scene.run_until(lambda: scene.closed)
    assert stream.closed
    assert [message["method"] for message in scene.service.asked] == ["stream", "behind"]


def test_who_has_nothing_more_to_say_still_gets_what_has_no_end(scene: Scene) -> None:
    """As `nc -N` does."""
    stream = scene.stream(last=None)
    scene.peer.shutdown(socket.SHUT_WR)
    run_for(scene.driver, 0.02)
    stream.go_on(2)
    assert scene.told(2) == [1, 2]
    scene.peer.close()
    stream.go_on(3)
    scene.run_until(lambda: scene.closed)


def test_who_has_nothing_more_to_say_gets_the_end_of_what_has_one(scene: Scene) -> None:
    stream = scene.stream(last=2)
    scene.peer.shutdown(socket.SHUT_WR)
    run_for(scene.driver, 0.02)
    stream.go_on(2)
    assert scene.told(2) == [1, 2]
    scene.run_until(lambda: scene.closed)


def test_requests_behind_what_has_no_end_are_not_hoarded(scene: Scene) -> None:
    """They would never have their turn; up to a limit they are kept, and then it is over."""
    stream = scene.stream(last=None)
    scene.ask("never")
    stream.go_on(1)
    assert scene.told(1) == [1]
    assert len(scene.service.asked) == 1

    def flood() -> None:
        for _ in range(1000):
            try:
                scene.peer.send(encode({"method": "x" * 60_000}))
            except BlockingIOError:
                scene.driver.turn(lambda: True)

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        flood()
    assert stream.closed
    assert scene.closed


def test_requests_behind_what_has_an_end_wait_in_the_socket(scene: Scene) -> None:
    stream = scene.stream(last=1)
    request = encode({"method": "x" * 60_000})
    sent = full = 0
    while full < 50:
        try:
            sent += scene.peer.send(request[sent % len(request) :])
        except BlockingIOError:
            full += 1
            scene.driver.turn(lambda: True)
    assert len(scene.connection._decoder._data) <= LIMIT + 65536
    stream.go_on(1)
    assert scene.told(2)[0] == 1


def test_a_call_that_wants_no_answer_gets_none(scene: Scene) -> None:
    scene.service.streams.append(Counting(last=None))
    scene.ask("stream", "a", oneway=True)
    scene.ask("b")
    assert scene.told(1) == ["b"]
    assert scene.service.streams[0].closed


def test_who_sends_and_never_reads_is_not_read_from(scene: Scene) -> None:
    scene.service.size = 100_000
    full = 0
    while full < 50:
        try:
            scene.peer.send(encode({"method": "a"}) * 100)
        except BlockingIOError:
            full += 1
            scene.driver.turn(lambda: True)
    assert len(scene.connection._decoder._data) <= LIMIT + 65536
    assert len(scene.connection._out) <= 100_100
    assert not scene.connection.is_idle()
