"""Who asks for the configuration to be applied, and when he is answered."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pidsup.config.diff import REMOVE, Difference
from pidsup.config.model import Config, SocketSpec
from pidsup.supervisor.applying import Applying
from pidsup.supervisor.changes import Change, Changes, TaskState
from pidsup.supervisor.rereading import Reading, Tell
from pidsup.watcher.sockets import Listeners
from tests.supervisor.doubles import ANN

NOTHING_NEW = Reading([], config=Config("shop", (), (), files=("/etc/shop.toml", "more.toml")))


class Reader:
    """Reads when it is told to."""

    def __init__(self) -> None:
        self.tell: Tell | None = None
        self.begun = 0

    def begin(self, tell: Tell) -> None:
        self.tell = tell
        self.begun += 1

    def cancel(self, on_gone: Callable[[], object]) -> None:
        self.tell = None

    def is_busy(self) -> bool:
        return self.tell is not None

    def accept(self, reading: Reading) -> None:
        pass

    def has_read(self, reading: Reading) -> None:
        tell, self.tell = self.tell, None
        assert tell is not None
        tell(reading)


class Scene:
    """A supervisor without watchers."""

    def __init__(self) -> None:
        self.listeners = Listeners([SocketSpec("http", "127.0.0.1:0")])
        self.reader = Reader()
        self.reloading: list[bool] = []
        self.files: list[tuple[str, ...]] = []
        self.changes = Changes(lambda: 0.0, lambda _: None)
        self.time = 1000.0
        silent = SimpleNamespace(info=_nothing, warning=_nothing, error=_nothing)
        supervisor: Any = SimpleNamespace(
            shutting_down=False,
            kernel=SimpleNamespace(now=lambda: self.time),
            log=silent,
            changes=self.changes,
            listeners=self.listeners,
            watchers={},
            wishes=None,
            arrange=_nothing,
            review=_nothing,
            configured=lambda config: self.files.append(config.files),
            on_reloading=lambda begins, _: self.reloading.append(begins),
        )
        self.applying = Applying(supervisor)
        self.applying.reader = self.reader

    def apply(self) -> Change:
        return self.applying.apply(ANN)


def _nothing(*_: object, **__: object) -> None:
    pass


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.listeners.close()


def test_a_thousand_at_once_are_two_readings_and_two_changes(scene: Scene) -> None:
    """A storm of SIGHUP, or a client that does not wait: the work is bounded."""
    first, *others = [scene.apply() for _ in range(1000)]
    assert set(others) == {others[0]} != {first}
    assert list(scene.changes.under_way.values()) == [first, others[0]]

    scene.reader.has_read(NOTHING_NEW)
    late = scene.apply()  # these files were read before it was asked for
    assert late not in (first, others[0])
    for change in (first, others[0], late):
        assert (change.state is TaskState.DONE) is (change is first)
    scene.reader.has_read(Reading(["shop.toml:1: no"]))
    assert (others[0].state, late.state) == (TaskState.FAILED, TaskState.DOING)
    scene.reader.has_read(NOTHING_NEW)
    assert (late.state, scene.reader.begun) == (TaskState.DONE, 3)
    assert scene.reloading == [True] * 1001 + [False]


def test_one_that_nobody_waits_for_may_be_followed_no_longer(scene: Scene) -> None:
    """What waits for a slot for ever is not kept for ever."""
    assert not scene.apply().is_waited_for()


def test_at_the_answer_all_is_done(scene: Scene) -> None:
    """A socket that was removed does not take the connection of who was told so."""
    address = scene.listeners.all[0].address
    host, _, port = address.rpartition(":")
    gone = Difference("sockets", "http", "", '"127.0.0.1:0"', None, REMOVE)
    refused: list[bool] = []

    def answered(_: Change) -> None:
        with socket.socket() as client:
            refused.append(client.connect_ex((host, int(port))) != 0)

    change = scene.apply()
    change.when_over(answered)
    scene.reader.has_read(Reading([], (), [gone], Config("shop", (), ())))
    assert refused == [True]


def test_when_it_was_read_is_known(scene: Scene) -> None:
    """What is in force may be older than what was tried since, and is as old as its reading."""
    read_at = []
    for reading in (Reading(["cannot"]), NOTHING_NEW):
        scene.time += 10
        scene.apply()
        scene.time += 1
        scene.reader.has_read(reading)
        read_at.append(scene.applying.read_at)
    assert read_at == [1000.0, 1021.0]


def test_other_files_may_say_the_same(scene: Scene) -> None:
    """A drop-in without a word, for one."""
    scene.apply()
    scene.reader.has_read(NOTHING_NEW)
    assert scene.files == [("/etc/shop.toml", "more.toml")]


def test_who_does_not_wait_any_more_is_not_read_for(scene: Scene) -> None:
    heard: list[str] = []

    def first(_: Reading) -> None:
        heard.append("first")

    def second(_: Reading) -> None:
        heard.append("second")

    scene.applying.look(first)
    scene.applying.look(second)
    scene.applying.forget(first)
    scene.applying.forget(second)
    scene.reader.has_read(NOTHING_NEW)
    assert (heard, scene.reader.begun) == ([], 1)


def test_without_a_file_it_fails_at_once_each_time(scene: Scene) -> None:
    scene.applying.reader = None
    for _ in range(2):
        change = scene.apply()
        assert change.state is TaskState.FAILED
        assert "does not come from a file" in change.problems[0]
    assert scene.reloading == [True, False] * 2
