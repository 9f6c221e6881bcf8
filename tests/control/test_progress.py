"""The answer to a wish, and its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pidsup.control.progress import Progress
from pidsup.policy.lifecycle import State
from pidsup.supervisor.changes import Change, Changes, Goal, Task
from tests.supervisor.doubles import ANN, slot
from tests.support import EpollDriver, run_for, run_until


class Scene:
    """A change of several slots, and one who is answered."""

    def __init__(self, driver: EpollDriver, count: int) -> None:
        self.driver = driver
        self.changes = Changes(lambda: 0.0, lambda _: None)
        self.slots = [slot(f"web:{n}", State.STARTING) for n in range(count)]
        self.change = self._begin(Goal.UP)
        self.answers: list[Any] = []
        self.progress: Progress | None = None

    def _begin(self, goal: Goal) -> Change:
        tasks = [Task(None, one, goal) for one in self.slots]
        return self.changes.begin("start", ANN, "web", tasks)

    def supersede(self) -> None:
        self._begin(Goal.DOWN)

    @contextmanager
    def answered(self, *, more: bool = False, timeout_s: float | None = None) -> Iterator[None]:
        """Begin to be answered as a connection is."""
        progress = Progress(self.change, self.driver.loop, timeout_s=timeout_s, more=more)
        self.progress = progress

        def pump() -> None:
            while not progress.over and (answer := progress.next()) is not None:
                self.answers.append(json.loads(answer[:-1]))

        progress.begin(pump)
        pump()
        yield
        progress.close()
        assert progress.timers() == []

    def move(self, number: int, state: State) -> None:
        self.slots[number].state = state
        self.changes.review(self.slots[number])


@pytest.fixture
def scene(epoll_driver: EpollDriver) -> Scene:
    return Scene(epoll_driver, 3)


def over(answer: Any) -> int:
    count: int = answer["parameters"]["change"]["over"]
    return count


def test_without_more_there_is_one_answer(scene: Scene) -> None:
    with scene.answered():
        for number in range(3):
            assert scene.answers == []
            scene.move(number, State.READY)
    [answer] = scene.answers
    assert "continues" not in answer
    assert answer["parameters"]["change"]["state"] == "done"


def test_what_is_over_at_once_is_answered_at_once(scene: Scene) -> None:
    for number in range(3):
        scene.move(number, State.READY)
    with scene.answered(more=True):
        assert [over(answer) for answer in scene.answers] == [3]


def test_with_more_it_is_told_how_it_stands_and_how_it_goes_on(scene: Scene) -> None:
    with scene.answered(more=True):
        assert [over(answer) for answer in scene.answers] == [0], "at once"
        scene.move(0, State.READY)
        run_until(scene.driver, lambda: len(scene.answers) == 2, "progress")
        scene.move(1, State.READY)
        scene.move(2, State.READY)
    assert [over(answer) for answer in scene.answers] == [0, 1, 3]
    assert [answer.get("continues") for answer in scene.answers] == [True, True, None]


def test_progress_comes_ten_times_a_second_at_most(epoll_driver: EpollDriver) -> None:
    """And the last is never late."""
    scene = Scene(epoll_driver, 400)
    loop = epoll_driver.loop
    with scene.answered(more=True):
        begun = loop.time()
        for number in range(400):
            scene.move(number, State.READY)
            if number < 399:
                run_for(epoll_driver, 0.001)
        took_s = loop.time() - begun
    assert over(scene.answers[-1]) == 400
    assert 3 <= len(scene.answers) <= took_s / 0.1 + 3


def test_failures_and_superseders_are_told_at_the_end(scene: Scene) -> None:
    with scene.answered():
        scene.slots[0].reason = "exec '/nope': No such file or directory"
        scene.move(0, State.FAILED)
        scene.move(1, State.READY)
        scene.move(2, State.READY)
    assert scene.answers[0]["error"] == "org.pidsup.Supervisor.Failed"
    [failed] = [t for t in scene.answers[0]["parameters"]["change"]["tasks"] if t["reason"]]
    assert failed["slot"] == "web:0"


def test_who_is_superseded_is_told_by_whom(scene: Scene) -> None:
    with scene.answered(more=True):
        scene.supersede()
    assert scene.answers[-1]["error"] == "org.pidsup.Supervisor.Superseded"
    assert scene.answers[-1]["parameters"]["by"] == "start (change 2) by uid 1000 (ctl 77)"


def test_a_limit_ends_the_waiting_and_not_the_change(scene: Scene) -> None:
    with scene.answered(timeout_s=0.01):
        run_until(scene.driver, lambda: scene.answers, "timed out")
    assert scene.answers[0]["error"] == "org.pidsup.Supervisor.TimedOut"
    assert scene.change.left == 3
    assert not scene.change.is_waited_for()


def test_nothing_is_made_for_one_who_does_not_read(scene: Scene) -> None:
    """Progress is what it is when it is asked for, not what it was."""
    progress = Progress(scene.change, scene.driver.loop, timeout_s=None, more=True)
    progress.begin(bool)
    assert progress.next() is not None
    scene.move(0, State.READY)
    scene.move(1, State.READY)
    run_for(scene.driver, 0.12)
    answer = progress.next()
    assert answer is not None
    assert over(json.loads(answer[:-1])) == 2
    assert progress.next() is None
    progress.close()
