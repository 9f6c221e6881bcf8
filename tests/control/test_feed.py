"""Subscriptions: a snapshot, every event once, and a gap where some are missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pidsup.control.feed import Feed, Subscription
from pidsup.errors import Invalid
from pidsup.supervisor.events import MOST, Events
from pidsup.supervisor.selectors import Filter
from tests.supervisor.doubles import slot, watcher
from tests.support import EpollDriver, run_until

WEB = watcher("web")


class Scene:
    """A feed, with what a status says: how many events there were."""

    def __init__(self, driver: EpollDriver) -> None:
        self.driver = driver
        self.events = Events(driver.loop, lambda: 0.0, "here")
        self.feed = Feed(self.events)

    def happen(self, times: int = 1, name: str = "web:0") -> None:
        for _ in range(times):
            self.events.slot(WEB, slot(name))

    def subscribe(self, cursor: str | None = None, wanted: Filter | None = None) -> Subscription:
        stream = Subscription(
            self.feed, lambda: {"seen": self.events.last}, cursor=cursor, wanted=wanted
        )
        stream.begin(bool)
        return stream


def take(stream: Subscription) -> Any:
    answer = stream.next()
    if answer is None:
        return None
    told = json.loads(answer[:-1])
    assert told["continues"] is True
    return told["parameters"]


def soon(scene: Scene, stream: Subscription) -> tuple[Any, int]:
    """Take what comes, whenever the stream says that it is ready; return it, and how often."""
    turns = 0
    ready: list[bool] = []
    stream.begin(lambda: ready.append(True))
    while (told := take(stream)) is None:
        run_until(scene.driver, ready.__len__)
        ready.clear()
        turns += 1
    return told, turns


def seqs(stream: Subscription) -> list[int]:
    """Take events until there are none."""
    found: list[int] = []
    while (told := take(stream)) is not None:
        assert told["kind"] == "events"
        assert told["cursor"] == f"here:{told['events'][-1]['seq']}"
        found += [event["seq"] for event in told["events"]]
    return found


@pytest.fixture
def scene(epoll_driver: EpollDriver) -> Scene:
    return Scene(epoll_driver)


def test_a_snapshot_and_then_what_comes_behind_it(scene: Scene) -> None:
    """Neither what it has in it already, nor less than what it has not."""
    scene.happen(5)
    stream = scene.subscribe()
    scene.happen(2)
    first = take(stream)
    assert (first["kind"], first["cursor"], first["status"]) == ("snapshot", "here:7", {"seen": 7})
    scene.happen(3)
    assert seqs(stream) == [8, 9, 10]
    assert take(stream) is None


def test_a_cursor_goes_on_without_a_snapshot(scene: Scene) -> None:
    scene.happen(10)
    assert seqs(scene.subscribe("here:7")) == [8, 9, 10]


def test_who_missed_nothing_is_greeted_all_the_same(scene: Scene) -> None:
    """Or it would not know that it is connected."""
    scene.happen(10)
    stream = scene.subscribe("here:10")
    assert take(stream)["events"] == []
    assert take(stream) is None
    scene.happen()
    assert seqs(stream) == [11]


def test_a_cursor_that_is_too_old_is_a_gap_and_a_snapshot(scene: Scene) -> None:
    scene.happen(MOST + 10)
    stream = scene.subscribe("here:3")
    gap = take(stream)
    assert (gap["kind"], gap["cursor"], gap["missed"]) == ("gap", "here:3", 7)
    assert take(stream)["kind"] == "snapshot"
    scene.happen()
    assert seqs(stream) == [MOST + 11]


def test_a_cursor_of_another_run_is_a_gap_and_a_snapshot(scene: Scene) -> None:
    scene.happen(4)
    stream = scene.subscribe("there:99")
    gap = take(stream)
    assert (gap["kind"], gap["cursor"], gap["missed"]) == ("gap", "there:99", 4)
    assert take(stream)["cursor"] == "here:4"


@pytest.mark.parametrize(
    "cursor", ["", "here", "here:", "here:-1", "here:1.5", "here:x", "here:11", "here:" + "9" * 99]
)
def test_what_never_was_a_cursor_is_refused(scene: Scene, cursor: str) -> None:
    scene.happen(10)
    with pytest.raises(Invalid, match="cursor"):
        scene.subscribe(cursor)


def test_who_reads_too_slowly_gets_a_gap_that_counts(scene: Scene) -> None:
    stream = scene.subscribe()
    take(stream)
    scene.happen(3)
    assert seqs(stream) == [1, 2, 3]
    scene.happen(MOST + 100)
    gap = take(stream)
    assert (gap["kind"], gap["cursor"], gap["missed"]) == ("gap", "here:3", 100)
    assert take(stream)["status"] == {"seen": MOST + 103}


def test_many_events_come_in_several_answers(scene: Scene) -> None:
    stream = scene.subscribe()
    take(stream)
    scene.happen(1000)
    first = take(stream)
    assert 0 < len(first["events"]) < 1000
    assert seqs(stream)[-1] == 1000


def test_who_stands_at_the_same_place_gets_the_same_bytes(scene: Scene) -> None:
    """Made once: with a hundred subscribers the rest is sending."""
    first, second, late = (scene.subscribe() for _ in range(3))
    for stream in (first, second, late):
        take(stream)
    scene.happen(2)
    shared = first.next()
    assert second.next() is shared
    scene.happen(2)
    assert seqs(late) == [1, 2, 3, 4]
    assert seqs(first) == [3, 4]


def test_a_filter_leaves_out_what_is_about_others(scene: Scene) -> None:
    stream = scene.subscribe(wanted=Filter(["db"]))
    take(stream)
    scene.happen(2000)
    scene.happen(name="db:0")
    scene.happen(3)
    told, turns = soon(scene, stream)
    assert turns >= 7, "of others' events no turn looks at more than 256"
    assert [event["subject"] for event in told["events"]] == ["db:0"]
    assert take(stream) is None
    again = scene.subscribe(told["cursor"], wanted=Filter(["db"]))
    assert take(again)["events"] == []


def test_who_has_read_all_is_told_of_more_and_who_has_gone_is_not(scene: Scene) -> None:
    told: list[str] = []
    streams = [scene.subscribe() for _ in range(2)]
    for stream, name in zip(streams, "ab", strict=True):
        stream.begin(lambda name=name: told.append(name))  # type: ignore[misc]
        take(stream)
        assert take(stream) is None
    streams[0].close()
    streams[0].close()
    scene.happen()
    for _ in range(3):
        scene.driver.turn(lambda: True)
    assert told == ["b"]
