"""The ring of events: what is published is read once by each, in order, and within bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pidsup.policy.lifecycle import State
from pidsup.process.exit import ExitReport
from pidsup.supervisor import events as events_module
from pidsup.supervisor.changes import Summary, TaskState
from pidsup.supervisor.events import MOST, MOST_BYTES, Events
from pidsup.supervisor.selectors import Filter
from tests.supervisor.doubles import ANN, slot, watcher
from tests.support import EpollDriver

WEB = watcher("web")


@pytest.fixture
def events(epoll_driver: EpollDriver) -> Events:
    return Events(epoll_driver.loop, lambda: 1234.5, "instance")


def read(events: Events, position: int = 0, wanted: Filter | None = None) -> list[Any]:
    """Read all behind *position*."""
    found: list[Any] = []
    while position < events.last:
        text, position = events.read(position, wanted)
        found += json.loads(b"[" + text + b"]")
    return found


def summary(number: int, *watchers: str, tasks: int = 0) -> Summary:
    """Make what is announced of a change."""
    told = tuple((f"web:{n}", TaskState.FAILED, "x" * 200) for n in range(tasks))
    return Summary(
        id=str(number), kind="restart", actor=ANN, what="web", asked_at=1.0, ended_at=2.0,
        state=TaskState.DONE, total=3, over=3, tasks=told, watchers=frozenset(watchers),
    )  # fmt: skip


def test_a_slot_that_enters_a_state_is_told_with_its_worker(events: Events) -> None:
    child = type("Child", (), {"main_pid": 4711, "exit": None})()
    events.slot(WEB, slot("web:3", State.READY, child=child))
    assert read(events) == [
        {
            "seq": 1, "at": 1234.5, "kind": "slot", "subject": "web:3", "state": "ready",
            "reason": "", "pid": 4711, "exit": None, "change": None, "running": None,
            "workers": None, "due_s": None,
        }
    ]  # fmt: skip


def test_the_end_of_a_worker_is_told_with_its_report(events: Events) -> None:
    report = ExitReport(None, 9, core=False, user_s=0.1, system_s=0.2, ran_s=3.0, asked_for=False)
    child = type("Child", (), {"main_pid": 4711, "exit": object()})()
    one = slot("web:3", State.CLEANING, child=child, last_exit=report, why=report)
    events.slot(WEB, one)
    [told] = read(events)
    assert (told["reason"], told["pid"]) == ("killed by KILL", 4711)
    assert (told["exit"]["signal"], told["exit"]["ran_s"]) == ("KILL", 3.0)


def test_the_reason_is_that_of_the_settled_slot(events: Events) -> None:
    """It enters its state before it acts, and says what it did only then."""
    one = slot("web:3", State.STOPPING)
    events.slot(WEB, one)
    one.why = "TERM sent, KILL after 10 s"
    events.settled(one)
    one.why = "something else"
    events.settled(one)
    assert read(events)[0]["reason"] == "TERM sent, KILL after 10 s"


def test_a_slot_in_backoff_says_when_it_is_tried_again(events: Events) -> None:
    one = slot("web:3", State.BACKOFF, why="exited with 1", due_at=None)
    events.slot(WEB, one)
    one.due_at = events._loop.time() + 3600
    events.settled(one)
    [told] = read(events)
    assert 3590 < told["due_s"] <= 3600


def test_the_reason_of_another_slot_is_not_taken(events: Events) -> None:
    one, other = slot("web:3", State.STOPPING), slot("web:4", State.STOPPING, why="its own")
    events.slot(WEB, one)
    events.slot(WEB, other)
    one.why = "late"
    events.settled(one)
    events.settled(other)
    assert [told["reason"] for told in read(events)] == ["", "its own"]


def test_a_slot_that_waits_says_for_whom(events: Events) -> None:
    one = slot("web:0", State.WAITING)
    events.slot(WEB, one)
    events.settled(one)
    assert read(events)[0]["reason"] == "after db"


def test_wishes_changes_and_the_rest_are_told(events: Events) -> None:
    events.supervisor("shop", "running")
    events.watcher("web", running=True, workers=4, why="autostart")
    events.change(summary(7, "web"))
    events.dropped("web:3", 10, 200)
    told = read(events)
    assert [(one["kind"], one["subject"], one["state"], one["reason"]) for one in told] == [
        ("supervisor", "shop", "running", ""),
        ("watcher", "web", "running", "autostart"),
        ("change", "7", "done", "restart web by uid 1000 (ctl 77)"),
        ("output", "web:3", "dropped", "10 bytes dropped, 200 in all"),
    ]
    assert (told[1]["running"], told[1]["workers"]) == (True, 4)
    assert told[2]["change"]["id"] == "7"


def test_numbers_rise_by_one(events: Events) -> None:
    for _ in range(600):
        events.slot(WEB, slot("web:0"))
    assert [told["seq"] for told in read(events)] == list(range(1, 601))
    assert [told["seq"] for told in read(events, 590)] == list(range(591, 601))


def test_a_read_is_no_more_than_a_turn_may_take(events: Events) -> None:
    for _ in range(1000):
        events.slot(WEB, slot("web:0"))
    text, end = events.read(0)
    assert text.count(b'"seq"') == end == 256


def test_who_selects_gets_what_it_is_about(events: Events) -> None:
    events.slot(WEB, slot("web:0"))
    events.slot(WEB, slot("db:0"))
    events.watcher("db", running=True, workers=1, why="")
    events.watcher("web", running=True, workers=1, why="")
    events.change(summary(1, "db"))
    events.change(summary(2, "db", "web"))
    events.supervisor("shop", "stopping")
    subjects = [told["subject"] for told in read(events, wanted=Filter(["web"]))]
    assert subjects == ["web:0", "web", "2", "shop"]


def test_an_event_is_encoded_once_for_all(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not at all while nobody reads."""
    encoded: list[Any] = []
    real = events_module._encode

    def encode(told: Any) -> str:
        encoded.append(told)
        return real(told)

    monkeypatch.setattr(events_module, "_encode", encode)
    for _ in range(100):
        events.slot(WEB, slot("web:0"))
    assert encoded == []
    for _ in range(3):
        read(events)
        read(events, wanted=Filter(["web"]))
    assert len(encoded) == 100


# --- bounds


def test_no_more_than_so_many_are_kept(events: Events) -> None:
    for _ in range(3 * MOST):
        events.slot(WEB, slot("web:0"))
    kept = events.last - events.first + 1
    assert MOST / 2 < kept <= MOST
    assert len(read(events, events.first - 1)) == kept


def test_large_ones_take_the_place_of_more_small_ones(events: Events) -> None:
    """Changes with their tasks, ends with their last lines."""
    for number in range(1000):
        events.change(summary(number, "web", tasks=20))
        assert events._bytes <= MOST_BYTES
    assert 100 < events.last - events.first < 250


def test_texts_count_and_what_is_read_is_whole(events: Events) -> None:
    """Encoded by a reader they take more room: what that displaces has been read."""
    for number in range(1000):
        events.change(summary(number, "web", tasks=20))
    first, last = events.first, events.last
    seqs = [told["seq"] for told in read(events, first - 1)]
    assert seqs == list(range(first, last + 1))
    assert events._bytes <= MOST_BYTES


def test_what_is_gone_cannot_be_read(events: Events) -> None:
    for _ in range(2 * MOST):
        events.slot(WEB, slot("web:0"))
    with pytest.raises(LookupError, match="not kept"):
        events.read(0)


# --- waiting


def test_who_waits_is_called_once_for_all_that_belongs_together(
    events: Events, epoll_driver: EpollDriver
) -> None:
    """A turn later than the loop's next: then a death has led to its successor."""
    called: list[int] = []

    def tell() -> None:
        called.append(events.last)

    events.when_more(tell)
    events.slot(WEB, slot("web:0"))
    events.slot(WEB, slot("web:0"))
    epoll_driver.turn(lambda: True)
    assert called == []
    events.slot(WEB, slot("web:0"))
    epoll_driver.turn(lambda: True)
    assert called == [3]
    events.slot(WEB, slot("web:0"))
    epoll_driver.turn(lambda: True)
    epoll_driver.turn(lambda: True)
    assert called == [3], "it has to ask again"


def test_many_who_wait_are_called_over_several_turns(
    events: Events, epoll_driver: EpollDriver
) -> None:
    called: list[int] = []
    for number in range(100):
        events.when_more(lambda number=number: called.append(number))  # type: ignore[misc]
    events.slot(WEB, slot("web:0"))
    turns = 0
    while len(called) < 100:
        before = len(called)
        epoll_driver.turn(lambda: True)
        turns += 1
        assert len(called) - before <= 32
        assert turns < 10
    assert called == list(range(100))


def test_who_has_gone_is_not_called(events: Events, epoll_driver: EpollDriver) -> None:
    """Neither before something happens, nor between that and the call."""
    called: list[int] = []

    def early() -> None:
        called.append(1)

    def late() -> None:
        called.append(2)

    events.when_more(early)
    events.forget(early)
    events.when_more(late)
    events.slot(WEB, slot("web:0"))
    events.forget(late)
    for _ in range(3):
        epoll_driver.turn(lambda: True)
    assert called == []
