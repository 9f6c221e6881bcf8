"""systemd's watchdog is fed while supervision works, and not a moment longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pidsup.kernel import LINUX
from pidsup.loop.sources import Sources
from pidsup.policy.lifecycle import State
from pidsup.supervisor import watchdog
from pidsup.supervisor.vitals import LATE_S, Vitals
from pidsup.supervisor.watchdog import Watchdog
from tests.supervisor.stage import Stage
from tests.support import EpollDriver, run_for, run_until


class Scene(Stage):
    """A supervisor in which all works, until a test breaks something."""

    def __init__(self) -> None:
        super().__init__()
        self.oldest: float | None = None
        self.dead: int | None = None
        self.spawner = SimpleNamespace(stuck_since=lambda: self.oldest, children={})
        supervisor: Any = self
        self.vitals = Vitals(supervisor, supervisor)
        for n, slot in enumerate(self.watcher("web", State.READY, State.READY).slots.values()):
            slot.child = SimpleNamespace(
                pid=100 + n, main_pid=100 + n, exit=None, is_watched=lambda: True
            )
            self.spawner.children[100 + n] = slot.child

    def zombie(self) -> int | None:
        return self.dead


@pytest.fixture
def scene() -> Scene:
    return Scene()


def _forget(scene: Scene) -> None:
    del scene.spawner.children[101]


def _confuse(scene: Scene) -> None:
    scene.spawner.children[101] = scene.spawner.children[100]


def _unwatch(scene: Scene) -> None:
    scene.slot("web:1").child.is_watched = lambda: False


def _oversleep(scene: Scene) -> None:
    scene.slot("web:1").due_at = scene.time - LATE_S - 5


def _hang(scene: Scene) -> None:
    scene.oldest = scene.time - LATE_S - 5


@pytest.mark.parametrize(
    ("breaks", "trouble"),
    [
        (_forget, "nobody would hear of the end of web:1, pid 101"),
        (_confuse, "nobody would hear of the end of web:1, pid 101"),
        (_unwatch, "nobody would hear of the end of web:1, pid 101"),
        (_oversleep, "a deadline of web:1 has passed 15 s ago"),
        (_hang, "a start waits, and none has been tried for 15 s"),
    ],
)
def test_each_trouble_is_found(scene: Scene, breaks: Callable[[Scene], None], trouble: str) -> None:
    assert scene.vitals.trouble() == ""
    breaks(scene)
    assert scene.vitals.trouble() == trouble


def test_a_dead_process_that_nobody_reaps_is_found(scene: Scene) -> None:
    """And not one of many that die all the time."""
    scene.dead = 101
    assert scene.vitals.trouble() == ""
    scene.time += LATE_S - 1
    assert scene.vitals.trouble() == ""
    scene.dead = 102
    scene.time += LATE_S - 1
    assert scene.vitals.trouble() == ""
    scene.time += LATE_S
    assert scene.vitals.trouble() == "process 102 has been dead for 10 s, and not reaped"
    scene.dead = None
    assert scene.vitals.trouble() == ""


def test_what_takes_a_moment_is_no_trouble(scene: Scene) -> None:
    scene.oldest = scene.time - LATE_S / 2
    scene.slot("web:0").due_at = scene.time - LATE_S / 2
    ended = scene.slot("web:1").child
    ended.exit, ended.is_watched = object(), lambda: False
    del scene.spawner.children[101]
    assert scene.vitals.trouble() == ""


# --- on the real loop


class Kennel:
    """A watchdog on a real loop, which is fed every 20 ms."""

    def __init__(self, driver: EpollDriver, interval_s: float = 0.04) -> None:
        self.driver = driver
        self.scene = Scene()
        self.sources = Sources(driver.loop, LINUX)
        supervisor: Any = SimpleNamespace(
            kernel=LINUX,
            loop=driver.loop,
            sources=self.sources,
            log=self.scene,
            spawner=self.scene.spawner,
            watchers=self.scene.watchers,
        )
        outbox: Any = self.scene
        self.told: list[str] = []
        self.watchdog = Watchdog(supervisor, outbox, interval_s, self._tell)

    def _tell(self) -> None:
        self.told.append(self.watchdog.trouble)

    def fed(self) -> int:
        return len(self.scene.said("WATCHDOG"))

    def feeds(self, more: int = 3) -> None:
        """Wait until it has been fed some more times."""
        goal = self.fed() + more
        run_until(self.driver, lambda: self.fed() >= goal)

    def close(self) -> None:
        self.watchdog.close()
        self.sources.close()


@pytest.fixture
def kennel(epoll_driver: EpollDriver) -> Iterator[Kennel]:
    one = Kennel(epoll_driver)
    yield one
    one.close()


def test_it_is_fed_as_long_as_all_works(kennel: Kennel) -> None:
    kennel.watchdog.begin()
    began_at = LINUX.now()
    kennel.feeds(6)
    assert LINUX.now() - began_at >= 0.1, "twice per interval"
    assert kennel.scene.logged == []


def test_it_is_not_fed_while_something_does_not_work(kennel: Kennel) -> None:
    kennel.watchdog.begin()
    kennel.feeds()
    _forget(kennel.scene)
    run_until(kennel.driver, lambda: kennel.scene.logged)
    fed = kennel.fed()
    run_for(kennel.driver, 0.1)
    assert kennel.fed() == fed
    why = "nobody would hear of the end of web:1, pid 101"
    assert kennel.scene.logged == [f"supervision does not work {why} systemd ends us"], "once"
    kennel.scene.spawner.children[101] = kennel.scene.slot("web:1").child
    kennel.feeds()
    assert kennel.scene.logged[1:] == ["supervision works again"]
    assert kennel.told == [why, ""]


def test_trouble_that_is_over_in_time_is_seen_in_time(
    epoll_driver: EpollDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look of its own would come when systemd has just lost patience."""
    monkeypatch.setattr(watchdog, "_AGAIN_S", 0.01)
    kennel = Kennel(epoll_driver, interval_s=1000.0)
    kennel.scene.oldest = 0.0
    kennel.watchdog.begin()
    run_until(kennel.driver, lambda: kennel.scene.logged)
    assert kennel.fed() == 0
    kennel.scene.oldest = None
    kennel.feeds(1)
    run_for(kennel.driver, 0.05)
    assert kennel.fed() == 1, "and then no more often than before"
    kennel.close()


def test_it_is_not_fed_when_events_do_not_come_through(
    kennel: Kennel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers alone do: a process that only looks alive is what a watchdog is for."""
    kennel.watchdog.begin()
    kennel.feeds()
    kennel.sources._poller.unregister(kennel.watchdog._fd)
    run_until(kennel.driver, lambda: kennel.scene.logged)
    fed = kennel.fed()
    run_for(kennel.driver, 0.1)
    assert kennel.fed() == fed
    why = "an event has been on its way for 0.02 s"
    assert kennel.scene.logged == [f"supervision does not work {why} systemd ends us"]
    kennel.sources._poller.register(kennel.watchdog._fd, 1)
    kennel.feeds()


def test_a_look_at_a_thousand_slots_takes_a_few_milliseconds_at_most(scene: Scene) -> None:
    slots = scene.watcher("many", *[State.READY] * 1000).slots.values()
    for slot in slots:
        slot.child = scene.slot("web:0").child
    least = min(_timed(scene.vitals.trouble) for _ in range(20))
    assert least < 0.005


def _timed(call: Callable[[], object]) -> float:
    began_at = LINUX.now()
    call()
    return LINUX.now() - began_at
