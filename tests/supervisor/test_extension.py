"""More time is asked for while a start or a stop gets on, and not for what fails again."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.policy.lifecycle import State
from pidsup.policy.upward import EXTEND_EVERY_S
from pidsup.supervisor.extension import Extension
from tests.supervisor.stage import Stage

STARTING, READY, BACKOFF, STOPPING = State.STARTING, State.READY, State.BACKOFF, State.STOPPING


class Scene(Stage):
    """A start, and the time until which systemd waits."""

    def __init__(self) -> None:
        super().__init__()
        supervisor: Any = self
        self.extension = Extension(supervisor, supervisor)
        self.granted_until = 0.0

    def post(self, **assignments: object) -> None:
        super().post(**assignments)
        usec = assignments["EXTEND_TIMEOUT_USEC"]
        assert isinstance(usec, int)
        self.granted_until = max(self.granted_until, self.time + usec / 1e6)

    def begin(self) -> None:
        self.extension.begin()

    def tell(self) -> None:
        self.extension.look()

    def left_s(self) -> float:
        return self.granted_until - self.time


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_slow_start_has_all_the_time_that_its_worker_has(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.slot("web:0").due_at = scene.time + 300
    scene.begin()
    for _ in range(30):
        scene.go(10)
        assert scene.left_s() > 0
    scene.go(60)
    assert scene.left_s() < 0, "not a minute longer"
    assert not len(scene.timers)


def test_a_worker_that_asks_for_more_time_has_it(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.slot("web:0").due_at = scene.time + 20
    scene.begin()
    scene.go(19)
    scene.slot("web:0").due_at = scene.time + 100  # EXTEND_TIMEOUT_USEC= of its own
    scene.go(90)
    assert scene.left_s() > 0


def test_a_worker_without_a_limit_may_take_as_long_as_it_likes(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.begin()
    for _ in range(100):
        scene.go(60)
        assert scene.left_s() > 0


def test_a_crash_loop_gets_no_more(scene: Scene) -> None:
    """However often, and however long each time, its worker is starting."""
    scene.watcher("web", STARTING)
    scene.slot("web:0").due_at = scene.time + 10
    scene.begin()
    scene.go(10)
    for restarts in range(1, 9):
        scene.move("web:0", STOPPING, due_at=scene.time + 5)
        scene.go(5)
        scene.move("web:0", BACKOFF, child=None)
        scene.go(1)
        scene.move("web:0", STARTING, child=object(), restarts=restarts, due_at=scene.time + 10)
        scene.go(10)
    assert scene.left_s() < -60
    assert not len(scene.timers)


def test_each_further_worker_that_is_ready_is_progress(scene: Scene) -> None:
    scene.watcher("web", *[State.WAITING] * 10, warmup_delay_s=60.0)
    scene.begin()
    for n in range(10):
        assert scene.left_s() > 0
        scene.move(f"web:{n}", READY, child=object())
        scene.go(60)
    assert scene.left_s() < 0, "no other follows"


def test_one_that_comes_and_goes_is_none(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.begin()
    for restarts in range(60):
        scene.move("web:0", READY, child=object(), restarts=restarts)
        scene.go(2)
        scene.move("web:0", BACKOFF, child=None)
        scene.go(2)
    assert scene.left_s() < -60


def test_a_stop_has_the_time_of_its_stop_plan(scene: Scene) -> None:
    scene.watcher("web", READY)
    scene.begin()
    scene.move("web:0", STOPPING, due_at=scene.time + 120)
    scene.go(115)
    assert scene.left_s() > 0
    scene.move("web:0", State.KILLING, due_at=scene.time + 2)
    for _ in range(30):  # it does not die
        scene.go(2)
        scene.move("web:0", State.KILLING, due_at=scene.time + 2)
    assert scene.left_s() < 0


def test_a_stop_in_the_midst_of_a_start_is_asked_for_at_once(scene: Scene) -> None:
    """TimeoutStopSec= may be shorter than our pause."""
    scene.watcher("web", STARTING)
    scene.begin()
    scene.go(1)
    scene.move("web:0", STOPPING, due_at=scene.time + 30)
    scene.begin()
    assert scene.posted[-1][0] == scene.time


def test_what_is_left_behind_has_its_time(scene: Scene) -> None:
    scene.watcher("web", State.STOPPED)
    scene.leftovers.due_at = scene.time + 60
    scene.begin()
    scene.go(58)
    assert scene.left_s() > 0


def test_at_the_end_nothing_more_is_asked_for(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.begin()
    scene.extension.end()
    assert not len(scene.timers)
    asked = len(scene.posted)
    scene.extension.look()
    scene.go(100)
    assert len(scene.posted) == asked == 1


def test_it_is_asked_now_and_then_and_not_for_each_event(scene: Scene) -> None:
    scene.watcher("web", *[STARTING] * 100)
    for n in range(100):
        scene.slot(f"web:{n}").due_at = scene.time + 60
    scene.begin()
    for n in range(99):
        scene.move(f"web:{n}", READY)
    assert len(scene.posted) == 1
    scene.go(EXTEND_EVERY_S)
    assert len(scene.posted) == 2
