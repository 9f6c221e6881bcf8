"""Changes: who waits hears once, what is over is kept within bounds."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from pidsup.policy.lifecycle import State
from pidsup.supervisor import changes as changes_module
from pidsup.supervisor.changes import HISTORY, Change, Changes, Goal, Summary, Task, TaskState
from tests.supervisor.doubles import ANN, slot


class Scene:
    """Changes, and what they announce."""

    def __init__(self) -> None:
        self.wall = 1000.0
        self.announced: list[Summary] = []
        self.changes = Changes(lambda: self.wall, self.announced.append)

    def begin(self, goal: Goal, *slots: Any, kind: str = "start", what: str = "web") -> Change:
        return self.changes.begin(kind, ANN, what, [Task(None, one, goal) for one in slots])

    def move(self, one: Any, state: State) -> None:
        one.state = state
        self.changes.review(one)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_change_is_over_with_its_last_task(scene: Scene) -> None:
    first, second = slot("web:0", State.STARTING), slot("web:1", State.STARTING)
    change = scene.begin(Goal.UP, first, second)
    over: list[Change] = []
    change.when_over(over.append)

    scene.move(first, State.READY)
    assert (over, change.left, change.ended_at) == ([], 1, None)
    scene.wall = 1002.0
    scene.move(second, State.READY)

    assert over == [change]
    assert (change.state, change.ended_at) == (TaskState.DONE, 1002.0)
    assert scene.changes.under_way == {}


def test_who_follows_hears_of_each_task_and_who_waits_of_the_last(scene: Scene) -> None:
    slots = [slot(f"web:{n}", State.STARTING) for n in range(3)]
    change = scene.begin(Goal.UP, *slots)
    heard: list[str] = []
    change.follow(lambda: heard.append("task"))
    change.when_over(lambda _: heard.append("over"))
    for one in slots:
        scene.move(one, State.READY)
    assert heard == ["task", "task", "over"]


def test_who_has_gone_hears_nothing(scene: Scene) -> None:
    one = slot("web:0", State.STARTING)
    change = scene.begin(Goal.UP, one)
    heard: list[object] = []
    change.follow(heard.clear)
    change.when_over(heard.append)
    change.forget(heard.clear, heard.append)
    scene.move(one, State.READY)
    assert not change.is_waited_for()
    assert heard == []


def test_a_contrary_wish_supersedes_and_an_equal_one_joins(scene: Scene) -> None:
    one = slot("web:0", State.STARTING)
    first, equal = scene.begin(Goal.UP, one), scene.begin(Goal.UP, one)
    contrary = scene.begin(Goal.DOWN, one, kind="stop")
    assert (first.state, equal.state) == (TaskState.SUPERSEDED, TaskState.SUPERSEDED)
    assert str(first.superseded_by).startswith("stop (change 3) by uid ")
    assert list(scene.changes.under_way.values()) == [contrary]


def test_beginning_and_end_are_announced(scene: Scene) -> None:
    one = slot("web:0", State.STARTING)
    scene.begin(Goal.UP, one)
    scene.move(one, State.FAILED)
    begun, ended = scene.announced
    assert (begun.state, begun.over, begun.total, begun.ended_at) == (TaskState.DOING, 0, 1, None)
    assert (ended.state, ended.over, ended.ended_at) == (TaskState.FAILED, 1, 1000.0)
    assert ended.watchers == {"web"}
    assert str(ended) == "start web by uid 1000 (ctl 77)"


def test_what_is_over_at_once_is_announced_once(scene: Scene) -> None:
    """A signal, say: its tasks are done before it begins."""
    task = Task(None, slot("web:0"), None)
    task.end(TaskState.DONE)
    scene.changes.begin("signal HUP", ANN, "web", [task])
    assert [change.state for change in scene.announced] == [TaskState.DONE]
    assert scene.changes.known() == scene.announced


def test_all_that_is_known_comes_oldest_first(scene: Scene) -> None:
    """By when it was asked for, not by when it ended."""
    slots = [slot(f"web:{n}", State.STARTING) for n in range(4)]
    for one in slots:
        scene.begin(Goal.UP, one)
    for n in (2, 0, 3):
        scene.move(slots[n], State.READY)
    known = scene.changes.known()
    assert [change.id for change in known] == ["1", "2", "3", "4"]
    assert [change.state for change in known].count(TaskState.DOING) == 1


def test_of_what_is_over_only_tasks_that_are_not_done_are_kept_and_not_many(scene: Scene) -> None:
    slots = [slot(f"web:{n}", State.STARTING, reason="x" * 999) for n in range(100)]
    scene.begin(Goal.UP, *slots, what="web " * 1000)
    for n, one in enumerate(slots):
        scene.move(one, State.READY if n < 50 else State.FAILED)
    [kept] = scene.changes.history
    assert (kept.total, kept.over, len(kept.tasks)) == (100, 100, 20)
    assert {state for _, state, _ in kept.tasks} == {TaskState.FAILED}
    assert len(kept.what) == 200
    assert max(len(reason) for _, _, reason in kept.tasks) == 200


def test_the_history_has_an_end(scene: Scene) -> None:
    one = slot("web:0")
    for _ in range(HISTORY + 5):
        scene.begin(Goal.UP, one)
        scene.changes.review(one)
    known = scene.changes.known()
    assert len(known) == HISTORY
    assert (known[0].id, known[-1].id) == ("6", str(HISTORY + 5))


def test_memory_is_flat_over_many_changes(scene: Scene) -> None:
    """Of slots that come and go, half of which fail."""

    def change(number: int) -> None:
        one = slot(f"web:{number}", State.STARTING, reason=f"failed for reason {number}")
        scene.begin(Goal.UP, one, what=f"web:{number}")
        scene.move(one, State.FAILED if number % 2 else State.READY)
        scene.announced.clear()

    for number in range(2 * HISTORY):
        change(number)
    tracemalloc.start()
    try:
        for number in range(HISTORY):
            change(number)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20 * HISTORY):
            change(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000
    assert scene.changes._open == {}


def test_wishes_that_never_come_true_are_not_followed_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start what waits, without waiting, again and again: the oldest is given up."""
    monkeypatch.setattr(changes_module, "_MOST_UNDER_WAY", 10)
    one = slot("web:0", State.WAITING)
    waited_for = scene.begin(Goal.UP, one)
    waited_for.when_over(lambda _: None)
    forgotten = scene.begin(Goal.UP, one)
    for _ in range(20):
        scene.begin(Goal.UP, one)
    assert len(scene.changes.under_way) == 10
    assert waited_for.state is TaskState.DOING
    assert forgotten.tasks[0].reason == "not followed any more: too many are under way"
    assert len(scene.changes._open[one]) == 10
    assert scene.changes._left == 10


def test_tasks_under_way_have_a_limit_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "_MOST_OPEN", 100)
    slots = [slot(f"web:{n}", State.WAITING) for n in range(30)]
    for _ in range(10):
        scene.begin(Goal.UP, *slots)
    assert scene.changes._left == 90
    assert sum(map(len, scene.changes._open.values())) == 90


# --- a command that has to find out first what it is about


def test_a_command_that_is_prepared_is_under_way_until_its_tasks_are_over(scene: Scene) -> None:
    one = slot("web:0", State.READY)
    change = scene.changes.prepare("apply", ANN)
    over: list[Change] = []
    change.when_over(over.append)
    assert (change.state, change.left, over) == (TaskState.DOING, 1, [])
    assert (change.summary().total, change.summary().over) == (0, 0)

    scene.changes.go_on(change, [Task(None, one, Goal.DOWN)])
    assert (change.state, change.summary().over, over) == (TaskState.DOING, 0, [])
    scene.move(one, State.STOPPED)
    assert (change.state, change.summary().over, over) == (TaskState.DOING, 1, [])
    scene.changes.carried_out(change)

    assert (over, change.state) == ([change], TaskState.DONE)
    assert scene.changes.under_way == {}
    assert [each.state.value for each in scene.announced] == ["doing", "done"]


def test_one_that_finds_nothing_to_do_is_done(scene: Scene) -> None:
    change = scene.changes.prepare("apply", ANN)
    scene.changes.go_on(change, [])
    scene.changes.carried_out(change)
    assert (change.state, change.left, scene.changes.under_way) == (TaskState.DONE, 0, {})


def test_its_tasks_supersede_contrary_ones(scene: Scene) -> None:
    one = slot("web:0", State.STARTING)
    start = scene.begin(Goal.UP, one)
    change = scene.changes.prepare("apply", ANN)
    assert scene.changes.under_way == {start.id: start, change.id: change}
    scene.changes.go_on(change, [Task(None, one, Goal.DOWN)])
    assert start.state is TaskState.SUPERSEDED


def test_one_that_is_refused_has_failed_and_says_why(scene: Scene) -> None:
    change = scene.changes.prepare("apply", ANN)
    over: list[Change] = []
    change.when_over(over.append)
    scene.changes.refuse(change, ["shop.toml:3: no"])
    assert over == [change]
    assert (change.state, change.problems) == (TaskState.FAILED, ["shop.toml:3: no"])
    assert scene.changes.known()[-1].problems == ("shop.toml:3: no",)


def test_one_that_is_refused_because_of_another_is_superseded(scene: Scene) -> None:
    change = scene.changes.prepare("apply", ANN)
    by = scene.begin(Goal.DOWN, slot("web:0"), kind="shutdown")
    scene.changes.refuse(change, ["the supervisor is shutting down"], by=by)
    assert (change.state, change.superseded_by) == (TaskState.SUPERSEDED, by.because())
