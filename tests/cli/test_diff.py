"""What applying would change, in lines; and what is said of one that was refused."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.cli.ctl.changes import in_detail
from pidsup.cli.ctl.changing import summary
from pidsup.cli.ctl.diff import lines
from pidsup.cli.ctl.endings import worded
from tests.cli.canned import COLOURED, PIPE, RELATIVE


def difference(**facts: Any) -> dict[str, Any]:
    """Return type Difference."""
    return {
        "section": "watchers", "name": "web", "option": "workers", "old": "2", "new": "3",
        "takes": "live", **facts,
    }  # fmt: skip


def answer(*differences: dict[str, Any], problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what Diff answers."""
    return {"differences": list(differences), "problems": list(problems), "warnings": []}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "~ watchers.web.workers: 2 -> 3  (no restart)"),
        (
            {"option": "environment.A", "old": None, "new": '"1"', "takes": "restart"},
            '~ watchers.web.environment.A: nothing -> "1"  (restarts web)',
        ),
        (
            {"section": "sockets", "name": "http", "option": "listen", "takes": "reopen"},
            "~ sockets.http.listen: 2 -> 3  (opens it anew, restarts who has it)",
        ),
        (
            {"option": "", "old": None, "new": '["web"]', "takes": "add"},
            '+ watchers.web: ["web"]  (new)',
        ),
        (
            {"option": "", "old": '["web"]', "new": None, "takes": "remove"},
            '- watchers.web: ["web"]  (stops)',
        ),
        (
            {"section": "supervisor", "name": "", "option": "name", "takes": "never"},
            "! supervisor.name: 2 -> 3  (cannot change while the supervisor runs)",
        ),
        (
            {"section": "sockets", "name": "http", "option": "listen", "takes": "never"},
            "! sockets.http.listen: 2 -> 3  (is systemd's: its unit says that, not the supervisor)",
        ),
        ({"new": '"\x1b[2J"'}, '~ watchers.web.workers: 2 -> "\\x1b[2J"  (no restart)'),
    ],
)
def test_a_difference_is_a_line(facts: dict[str, Any], line: str) -> None:
    assert lines(answer(difference(**facts)), PIPE) == [line]


def test_without_a_difference_that_is_said_and_of_a_problem_nothing() -> None:
    assert lines(answer(), PIPE) == ["nothing differs"]
    assert lines(answer(problems=("no",)), PIPE) == []


def test_a_line_has_colours_on_a_terminal() -> None:
    (line,) = lines(answer(difference(takes="remove", option="")), COLOURED)
    assert line.startswith("\x1b[31m-\x1b[m ")


def change(**facts: Any) -> dict[str, Any]:
    """Return type Change, of an apply."""
    actor = {"uid": 0, "pid": 7, "comm": "ctl"}
    return {
        "id": "3", "kind": "apply", "actor": actor, "what": "", "asked_at": 1.0, "ended_at": 2.0,
        "state": "failed", "total": 0, "over": 0, "tasks": [], "problems": [], **facts,
    }  # fmt: skip


def test_why_one_was_refused_is_said() -> None:
    refused = change(problems=["shop.toml:3: watchers.web: no"])
    assert worded("Failed", {"change": refused}) == (
        "apply failed, nothing was changed:\n  shop.toml:3: watchers.web: no"
    )
    assert "  shop.toml:3: watchers.web: no" in in_detail(refused, PIPE, RELATIVE, here=True)


def test_one_that_touches_no_slot_is_done_all_the_same() -> None:
    assert summary(change(state="done")) == "apply: done, no slot had to change"
    assert summary(change(state="done", total=2)) == "apply: done, 2 slots"
