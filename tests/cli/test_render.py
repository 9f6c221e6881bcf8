"""What pidsupctl prints of what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.cli import render


def slot(**facts: Any) -> dict[str, Any]:
    """Return type Slot, ready unless told otherwise."""
    return {
        "name": "web:0", "state": "ready", "wanted": True, "pid": 7, "serial": 1, "for_s": 3.0,
        "due_s": None, "up_s": 3.0, "restarts": 0, "reason": "", "last_exit": None, **facts,
    }  # fmt: skip


def status(*slots: dict[str, Any], state: str = "ready") -> dict[str, Any]:
    """Return what Status answers for one watcher."""
    watcher = {"name": "web", "state": state, "ready": 1, "workers": len(slots), "slots": slots}
    return {"state": "running", "watchers": [watcher], "changes": []}


EXIT = {"code": 1, "signal": None, "core": False}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (7.44, "7.4s"), (59.94, "59.9s"), (60, "1m00s"), (125, "2m05s"),
     (3600, "1h00m"), (11520, "3h12m"), (86399, "23h59m"), (86400, "1d00h"), (200000, "2d07h")],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


def test_a_failed_slot_shows_reason_and_next_try(capsys: pytest.CaptureFixture[str]) -> None:
    failing = slot(
        state="backoff", pid=None, up_s=None, due_s=7.4, reason="exited with 1", restarts=3
    )
    render.status(status(failing, state="backoff"), "table")
    assert capsys.readouterr().out.splitlines() == [
        "web      backoff 1/1",
        "  web:0  backoff    exited with 1  retry in 7.4s  restarts 3",
    ]


def test_a_restarted_slot_shows_how_the_last_worker_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    render.status(status(slot(restarts=1, last_exit=EXIT)), "table")
    assert capsys.readouterr().out.splitlines()[1] == (
        "  web:0  ready      pid 7  up 3.0s  restarts 1  last exited with 1"
    )


@pytest.mark.parametrize(
    ("facts", "good"),
    [
        ({}, True),
        ({"state": "completed"}, True),
        ({"state": "stopped", "wanted": False}, True),
        ({"state": "completed", "wanted": False}, True),
        ({"state": "starting"}, False),
        ({"state": "backoff"}, False),
        ({"state": "failed"}, False),
        ({"state": "failed", "wanted": False}, False),
        ({"state": "stopping", "wanted": False}, False),
    ],
)
def test_as_wanted_is_what_lsb_calls_running(facts: dict[str, Any], good: bool) -> None:
    assert render.is_as_wanted(status(slot(**facts))) is good


def test_a_failed_change_names_its_tasks_and_not_too_many() -> None:
    tasks = [{"slot": f"web:{n}", "state": "failed", "reason": "no"} for n in range(12)]
    tasks.append({"slot": "web:12", "state": "done", "reason": ""})
    text = render.error("Failed", {"change": {"kind": "start", "tasks": tasks}})
    assert text.splitlines()[:2] == ["start failed:", "  web:0: no"]
    assert text.splitlines()[-1] == "  and 2 more"
    assert "web:12" not in text
