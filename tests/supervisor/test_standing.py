"""How all stands, in one line that a person likes."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.policy.lifecycle import State
from pidsup.process.exit import ExitReport
from pidsup.supervisor.standing import failure, is_ready, one_line, status_line
from tests.supervisor.stage import Stage

READY, STARTING, STOPPED = State.READY, State.STARTING, State.STOPPED
BACKOFF, FAILED, WAITING = State.BACKOFF, State.FAILED, State.WAITING
COMPLETED, STOPPING = State.COMPLETED, State.STOPPING


def exited(code: int, cause: str = "") -> ExitReport:
    return ExitReport(code, None, False, 0.0, 0.0, 1.0, False, cause=cause)


@pytest.fixture
def stage() -> Any:
    return Stage()


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ([READY], "1 worker ready"),
        ([READY] * 4, "4 workers ready"),
        ([READY, STARTING, STARTING], "1 of 3 workers ready"),
        ([STOPPED, STOPPED], "0 workers ready"),
        ([READY, COMPLETED, COMPLETED], "1 worker ready, 2 done"),
        ([COMPLETED], "1 done"),
    ],
)
def test_workers_are_counted(stage: Any, states: list[State], line: str) -> None:
    stage.watcher("web", *states)
    assert status_line(stage) == line


def test_watchers_that_listen_are_counted(stage: Any) -> None:
    stage.watcher("web", STOPPED, on_demand=True)
    stage.watcher("off", STOPPED, on_demand=True, running=False)
    assert status_line(stage) == "1 listening for connections"
    assert is_ready(stage.watchers.values())
    stage.watcher("db", READY)
    assert status_line(stage) == "1 worker ready, 1 listening for connections"


def test_the_worst_trouble_is_told_and_others_are_counted(stage: Any) -> None:
    stage.watcher("db", READY, WAITING)
    stage.watcher("web", READY, BACKOFF, BACKOFF)
    for n in (1, 2):
        slot = stage.slot(f"web:{n}")
        slot.reason, slot.due_at, slot.last_exit = "exited with 1", stage.time + 3, exited(1)
    worse = "2 of 5 workers ready; web:1 exited with 1, retrying in 3 s (and 1 more)"
    assert status_line(stage) == worse
    stage.time += 2
    assert status_line(stage) == worse, "it does not change while nothing happens"
    stage.move("web:2", FAILED, reason="exited with 1; given up")
    assert status_line(stage) == "2 of 5 workers ready; web:2 exited with 1; given up"


def test_who_waits_for_whom_is_told(stage: Any) -> None:
    stage.watcher("web", WAITING)
    stage.held_up["web"] = ["db", "cache"]
    assert status_line(stage) == "0 of 1 worker ready; web waits for db, cache"
    stage.held_up.clear()
    assert status_line(stage) == "0 of 1 worker ready; web waits for warmup_delay"


def test_a_failure_reads_well_whatever_it_was(stage: Any) -> None:
    stage.watcher("web", FAILED)
    slot = stage.slot("web:0")
    slot.reason, slot.last_exit = "exited with 3; restart=no", exited(3)
    assert failure(slot) == "web:0 exited with 3; restart=no"
    slot.reason, slot.start_errno = "exec '/bin/web': No such file or directory", 2
    assert failure(slot) == "web:0: exec '/bin/web': No such file or directory"
    slot.start_errno = None
    slot.reason = "it was not ready within 5 s: killed by TERM"
    slot.last_exit = exited(3, "it was not ready within 5 s")
    assert failure(slot) == "web:0: it was not ready within 5 s: killed by TERM"


def test_of_a_stop_is_told_who_is_left_and_who_takes_long(stage: Any) -> None:
    stage.shutting_down = True
    stage.watcher("web", READY, STOPPING, STOPPED)
    stage.slot("web:1").reason = "TERM sent, KILL after 10 s"
    assert status_line(stage) == "2 workers left; web:1: TERM sent, KILL after 10 s"
    stage.watchers["web"] = stage.watcher("web", STOPPED)
    assert status_line(stage) == "no worker left"
    stage.leftovers.due_at = stage.time + 5
    assert status_line(stage) == "what workers have left behind"


def test_it_is_one_line_that_steers_nothing_and_ends() -> None:
    assert one_line(["größe", "готово"]) == "größe; готово"
    assert one_line(["a\nREADY=1", "\x1b[2J"]) == "a\\nREADY=1; \\x1b[2J"
    assert one_line(["\udcff"]).isascii()
    assert len(one_line(["x" * 1000])) == 240
    assert one_line(["x" * 1000]).endswith("x...")
