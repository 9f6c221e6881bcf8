"""Clients that are too many: who has to go, so that nobody is locked out."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pidsup.control import server
from pidsup.control.protocol import Decoder, encode
from pidsup.control.roles import Peer
from pidsup.control.rundir import RuntimeDirectory
from pidsup.control.server import Server
from tests.control.test_connection import Counting, Echo
from tests.output.box import Said
from tests.support import EpollDriver, run_until

MOST = 3


class Scene:
    """A server that takes three clients."""

    def __init__(self, driver: EpollDriver, directory: RuntimeDirectory) -> None:
        self.driver = driver
        self.service = Echo()
        self.log = Said()
        self._address = directory.address
        self._clients = ExitStack()
        self.server = Server(directory, self.service, driver.loop, self.log)  # type: ignore[arg-type]  # as good as a Service

    def client(self, *methods: str) -> socket.socket:
        one = self._clients.enter_context(socket.socket(socket.AF_UNIX))
        one.connect(self._address)
        one.setblocking(False)
        one.sendall(b"".join(encode({"method": method}) for method in methods))
        return one

    def settle(self) -> None:
        for _ in range(100):
            self.driver.turn(lambda: True)

    def is_answered(self, one: socket.socket) -> bool:
        """Tell whether an answer comes."""
        one.sendall(encode({"method": "a"}))
        decoder = Decoder(1 << 30)

        def has_come() -> bool:
            try:
                decoder.feed(one.recv(1 << 20))
            except BlockingIOError:
                return False
            return decoder.next() is not None

        run_until(self.driver, has_come)
        return True

    def close(self) -> None:
        self.server.close()
        self._clients.close()


@pytest.fixture
def scene(
    epoll_driver: EpollDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    monkeypatch.setattr(server, "_MOST_CLIENTS", MOST)
    monkeypatch.setattr("pidsup.control.rundir.base", lambda: str(tmp_path))
    directory = RuntimeDirectory("shop")
    one = Scene(epoll_driver, directory)
    yield one
    one.close()
    directory.close()


def test_those_who_never_read_lock_nobody_out(scene: Scene) -> None:
    """Their answers would wait for ever."""
    scene.service.size = 1 << 22
    crowd = [scene.client("a", "b") for _ in range(MOST)]
    scene.settle()
    scene.service.size = 0
    assert scene.is_answered(scene.client())
    assert len(crowd) == MOST
    assert scene.log.lines == []


def test_those_who_wait_for_the_end_of_something_stay(scene: Scene) -> None:
    """They have a right to hear of it: who comes has to wait, and that is said."""
    scene.service.streams.append(Counting(last=1))
    for _ in range(MOST):
        scene.client("stream")
        scene.settle()
    scene.client()
    scene.settle()
    assert scene.log.facts("cannot accept a client, retrying")


def test_users_without_a_role_get_no_large_buffers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent to somebody who does not read is the supervisor's memory."""
    sizes = []
    for uid in (os.geteuid(), 54321):
        peer = Peer(1, uid, frozenset())
        monkeypatch.setattr(server, "peer_of", lambda _, peer=peer: peer)
        before = set(scene.server._connections)
        scene.client()
        scene.settle()
        [made] = scene.server._connections - before
        sizes.append(made._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
    assert sizes[1] < sizes[0]
