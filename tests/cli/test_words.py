"""Durations, sizes, texts, errors."""

from __future__ import annotations

import pytest

from pidsup.cli.ctl import words
from pidsup.cli.ctl.endings import worded
from tests.cli.canned import IN_UTC, change, exit_, task


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (7.44, "7.4s"), (59.94, "59.9s"), (60, "1m00s"), (125, "2m05s"),
     (3600, "1h00m"), (11520, "3h12m"), (86399, "23h59m"), (86400, "1d00h"), (200000, "2d07h")],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (870, "870B"), (999, "999B"), (1000, "1.0K"), (1024, "1.0K"), (10200, "10K"),
     (2040109465, "1.9G"), (251658240, "240M"), (1 << 50, "1.0P"), (1 << 62, "4096P")],
)  # fmt: skip
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert words.size(count) == text


def test_59_96_seconds_are_a_minute() -> None:
    """Not 60.0s."""
    assert words.duration(59.96) == "1m00s"


@pytest.mark.parametrize(
    ("facts", "text"),
    [({}, "exited with 1"), ({"code": None}, "ended, unknown how"),
     ({"code": None, "signal": "KILL"}, "killed by KILL"),
     ({"code": None, "signal": "SEGV", "core": True}, "killed by SEGV (core dumped)")],
)  # fmt: skip
def test_ends_are_worded(facts: dict[str, object], text: str) -> None:
    assert words.how_it_ended(exit_(**facts)) == text


def test_users_are_named_where_they_are_ours() -> None:
    who = {"uid": 0, "pid": 4, "comm": "pidsupctl"}
    assert words.actor(who, here=True) == "root (pidsupctl)"
    assert words.actor(who, here=False) == "uid 0 (pidsupctl)"


def test_instants_of_a_stream_have_milliseconds() -> None:
    assert IN_UTC.clock(1_000_000_000.25) == "2001-09-09T01:46:40.250Z"


def test_a_failed_change_names_its_tasks_and_not_too_many() -> None:
    tasks = [task(f"web:{n}", "failed", "no") for n in range(12)]
    text = worded("Failed", {"change": change(*tasks, task("web:12"), kind="start")})
    assert text.splitlines()[:2] == ["start failed:", "  web:0: no"]
    assert text.splitlines()[-1] == "  and 2 more"
    assert "web:12" not in text


def test_a_signal_that_reaches_nobody_says_so() -> None:
    nobody = change(kind="signal HUP", what="web db", state="done")
    assert worded("Failed", {"change": nobody}) == "signal HUP failed: no worker runs in web db"


def test_a_timeout_says_how_to_look_at_the_change() -> None:
    text = worded("TimedOut", {"change": change(task("web:0", "doing"))})
    assert text.startswith("timed out; change 12 goes on, see: pidsupctl changes 12")


def test_a_method_that_is_missing_is_an_old_supervisor() -> None:
    text = worded("org.varlink.service.MethodNotFound", {"method": "org.pidsup.Supervisor.Logs"})
    assert text == "the supervisor is older than pidsupctl and has no Logs: restart it"
