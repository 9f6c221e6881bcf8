"""What systemd is told of a supervisor, when, and how often."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from pidsup.policy.lifecycle import State
from pidsup.supervisor.upward import Upward
from tests.supervisor.stage import Stage

STARTING, READY, STOPPED = State.STARTING, State.READY, State.STOPPED
BACKOFF, FAILED = State.BACKOFF, State.FAILED


class Scene(Stage):
    """A supervisor that is observed."""

    def __init__(self) -> None:
        super().__init__()
        supervisor: Any = self
        self.sources = SimpleNamespace(add=lambda *_: None, remove=lambda *_: None)
        self.upward = Upward(supervisor, supervisor)

    def began(self) -> Scene:
        self.upward.begin()
        return self

    def told(self, key: str) -> int:
        return len(self.said(key))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_ready_is_said_once_when_each_watcher_is(scene: Scene) -> None:
    scene.watcher("db", STARTING)
    scene.watcher("web", STARTING, STARTING)
    scene.began()
    assert scene.status == "starting: 0 of 3 workers ready"
    for name in ("db:0", "web:1"):
        scene.move(name, READY)
        assert not scene.told("READY")
    scene.move("web:0", READY)
    assert scene.posted[-1][1] == {"READY": 1, "STATUS": "3 workers ready"}
    scene.move("web:0", BACKOFF)
    scene.move("web:0", READY)
    assert scene.told("READY") == 1


def test_without_anything_to_run_it_is_ready_at_once(scene: Scene) -> None:
    scene.began()
    assert [message for _, message in scene.posted] == [{"READY": 1, "STATUS": "0 workers ready"}]
    assert not len(scene.timers)


def test_the_status_changes_at_most_once_a_second_and_only_when_it_has(scene: Scene) -> None:
    scene.watcher("web", *[READY] * 3)
    scene.began()
    for _ in range(50):
        for state in (BACKOFF, READY):
            scene.move("web:1", state)
            scene.go(0.01)
        for _ in range(20):
            scene.tell()
    assert scene.told("STATUS") <= 2
    scene.move("web:1", BACKOFF)
    scene.go(10)
    assert scene.status == "2 of 3 workers ready; web:1: "
    times = [at for at, message in scene.posted if "STATUS" in message]
    assert all(b - a >= 1 for a, b in pairwise(times))
    said = scene.told("STATUS")
    scene.tell()
    scene.go(10)
    assert scene.told("STATUS") == said
    assert not len(scene.timers), "nothing changes: no timer"


def test_a_look_is_followed_by_a_pause_but_readiness_does_not_wait_for_the_status(
    scene: Scene,
) -> None:
    scene.watcher("web", STARTING)
    scene.began()
    scene.go(0.2)
    scene.move("web:0", STARTING, reason="x")
    scene.watcher("db", STARTING)
    scene.tell()  # the status is due in 0.8 s
    scene.move("web:0", READY)
    scene.move("db:0", READY)
    assert scene.told("READY") == 1


def test_a_start_that_cannot_succeed_ends_with_a_failure(scene: Scene) -> None:
    scene.watcher("web", READY, BACKOFF)
    scene.watcher("db", READY)
    scene.began()
    assert not scene.shutting_down
    scene.move("web:1", FAILED, reason="exited with 1; given up")
    assert (scene.shutting_down, scene.exit_code) == (True, 1)
    assert scene.logged == ["cannot become ready web:1: exited with 1; given up shutting down"]
    why = "cannot start: web:1: exited with 1; given up"
    assert scene.said("STOPPING") == [1]
    assert scene.status == f"{why}; stopping: 2 workers left"
    scene.upward.close()
    assert scene.posted[-1][1] == {"STATUS": why, "EXIT_STATUS": 1}
    assert not scene.told("READY")


def test_what_is_not_needed_may_fail(scene: Scene) -> None:
    scene.watcher("web", READY, FAILED, min_ready=1)
    scene.watcher("extra", FAILED, min_ready=0)
    scene.began()
    assert scene.told("READY") == 1
    assert not scene.shutting_down


def test_once_it_is_ready_a_failure_only_changes_the_status(scene: Scene) -> None:
    scene.watcher("web", READY)
    scene.began()
    scene.go(5)
    scene.move("web:0", FAILED, reason="exited with 1; given up")
    assert scene.status == "0 of 1 worker ready; web:0: exited with 1; given up"
    assert not scene.shutting_down


def test_the_stop_is_said_at_once_and_how_it_ended(scene: Scene) -> None:
    scene.watcher("web", READY)
    scene.began()
    scene.shutting_down = True
    scene.move("web:0", State.STOPPING, reason="TERM sent", due_at=scene.time + 10)
    assert scene.posted[-2][1] == {
        "STOPPING": 1,
        "STATUS": "stopping: 1 worker left; web:0: TERM sent",
    }
    assert "EXTEND_TIMEOUT_USEC" in scene.posted[-1][1]
    scene.move("web:0", STOPPED)
    scene.upward.close()
    assert scene.status == "stopped"
    assert scene.told("STOPPING") == 1
    assert not len(scene.timers)
    assert not scene.waiting
    assert not scene.is_open


def test_a_stop_before_it_is_ready_keeps_the_latest_failure_of_what_lacks_workers(
    scene: Scene,
) -> None:
    """As systemd does when a start takes too long: until then there was another attempt."""
    scene.watcher("extra", BACKOFF, min_ready=0)
    scene.watcher("web", STARTING)
    scene.began()
    scene.move("web:0", BACKOFF, reason="it was not ready within 4 s: killed by TERM")
    scene.go(1)
    scene.move("web:0", STARTING, reason="")
    scene.shutting_down = True
    scene.move("web:0", State.STOPPING, reason="TERM sent")
    scene.upward.close()
    why = "web:0: it was not ready within 4 s: killed by TERM"
    assert scene.posted[-1][1] == {"STATUS": f"cannot start: {why}", "EXIT_STATUS": 0}
    assert scene.logged == [f"stopped before it was ready {why}"]


def test_a_failure_that_is_over_does_not_keep_it_from_starting(scene: Scene) -> None:
    scene.watcher("web", STARTING, STARTING)
    scene.began()
    scene.move("web:0", BACKOFF, reason="exited with 1")
    scene.go(1)
    scene.move("web:0", READY)
    scene.go(1)
    scene.shutting_down = True
    scene.upward.close()
    assert scene.posted[-1][1] == {"STATUS": "stopped", "EXIT_STATUS": 0}
    assert not scene.logged


def test_a_stop_that_is_over_before_it_was_seen_is_said_all_the_same(scene: Scene) -> None:
    scene.began()
    scene.shutting_down = True
    scene.upward.close()
    assert [*scene.posted[-2][1]] == ["STOPPING", "STATUS"]
    assert scene.posted[-1][1] == {"STATUS": "stopped", "EXIT_STATUS": 0}


def test_an_end_with_a_code_says_why(scene: Scene) -> None:
    scene.watcher("web", READY)
    scene.began()
    scene.move("web:0", FAILED, reason="exited with 7; restart=no")
    scene.shutdown(None, code=7)
    scene.tell()
    scene.upward.close()
    why = "ending with code 7: web:0: exited with 7; restart=no"
    assert scene.posted[-1][1] == {"STATUS": why, "EXIT_STATUS": 7}


def test_a_reload_is_framed_and_each_begin_is_younger(scene: Scene) -> None:
    """For systemd takes only a RELOADING=1 that is younger than its own wish to reload."""
    scene.watcher("web", READY)
    scene.began()
    scene.on_reloading(True, "")
    scene.go(2.5)
    scene.on_reloading(True, "")
    usec = [int(1000.0 * 1e6), int(1002.5 * 1e6)]
    assert scene.said("MONOTONIC_USEC") == usec
    assert scene.told("RELOADING") == 2
    assert scene.status == "reloading: 1 worker ready"
    scene.on_reloading(False, "")
    assert scene.posted[-1][1] == {"READY": 1, "STATUS": "1 worker ready"}
    assert not len(scene.timers)


def test_a_reload_that_failed_ends_too_and_is_told_until_the_next(scene: Scene) -> None:
    scene.watcher("web", READY)
    scene.began()
    scene.on_reloading(True, "")
    scene.on_reloading(False, "apply failed: shop.toml:3: unknown option")
    assert scene.posted[-1][1] == {
        "READY": 1,
        "STATUS": "1 worker ready; apply failed: shop.toml:3: unknown option",
    }
    scene.go(60)
    scene.move("web:0", BACKOFF, reason="x")
    assert str(scene.status).endswith("; apply failed: shop.toml:3: unknown option")
    scene.on_reloading(True, "")
    scene.on_reloading(False, "")
    assert "apply failed" not in str(scene.status)


def test_a_reload_that_a_stop_has_ended_makes_nothing_ready(scene: Scene) -> None:
    scene.began()
    scene.on_reloading(True, "")
    scene.shutting_down = True
    scene.on_reloading(False, "apply failed: the supervisor is shutting down")
    scene.tell()
    assert scene.told("READY") == 1
    assert scene.told("STOPPING") == 1


def test_a_reload_in_the_midst_of_a_start_or_a_stop_is_not_told(scene: Scene) -> None:
    scene.watcher("web", STARTING)
    scene.began()
    for ends in (False, True):
        scene.shutting_down = ends
        scene.tell()
        scene.on_reloading(True, "")
        scene.on_reloading(False, "")
    assert not scene.told("RELOADING")
    assert not scene.told("READY")


def test_that_supervision_does_not_work_is_told_as_long_as_it_is_so(scene: Scene) -> None:
    scene.watcher("web", READY)
    supervisor: Any = scene
    upward = Upward(supervisor, supervisor, watchdog_s=1000)
    watchdog = upward._watchdog
    assert watchdog is not None
    upward.begin()
    watchdog._found("a start hangs")
    scene.go(1)
    assert scene.said("STATUS")[-1] == "supervision does not work: a start hangs; 1 worker ready"
    watchdog._found("")
    scene.go(1)
    assert scene.said("STATUS")[-1] == "1 worker ready"
    upward.close()
