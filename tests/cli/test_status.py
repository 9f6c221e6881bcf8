"""What `pidsupctl status` prints of what it is told, at each width."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pidsup.cli.ctl import status as command
from pidsup.cli.ctl.layout import GAP, broken
from pidsup.cli.ctl.slots import ranges
from pidsup.cli.ctl.terminal import Terminal, cells
from tests.cli.canned import (
    COLOURED,
    IN_UTC,
    NARROW,
    PIPE,
    RELATIVE,
    WIDE,
    change,
    down,
    exit_,
    slot,
    socket,
    status,
    task,
    watcher,
)

FOURTH = "exited with 1, 4th in 60s"
SEGFAULT = exit_(code=None, signal="SEGV", core=True)
IMPORT_ERROR = exit_(last_lines=["Traceback (most recent call last):", "ImportError: no foo"])

SHOP = status(
    watcher(
        "web",
        slot("web:0", pid=4121, up_s=11520.0),
        slot("web:1", pid=812, up_s=125.0, restarts=2, last_exit=SEGFAULT),
        slot("web:2", state="starting", pid=4490, up_s=0.4),
        down("web:3", reason=FOURTH, due_s=7.44, restarts=4, last_exit=IMPORT_ERROR),
        sockets=["http"],
    ),
    watcher("db-sync", down("db-sync:0", "completed", reason="exited with 0", for_s=720.0,
                            last_exit=exit_(code=0))),
    watcher("mailer", slot("mailer:0", pid=4200, up_s=60.0)),
    sockets=[socket()],
    changes=[change(task("web:0"), task("web:1", "doing"))],
)  # fmt: skip


def shown(answer: dict[str, Any], terminal: Terminal, **how: Any) -> list[str]:
    return command.lines(answer, terminal, RELATIVE, **how) + command.changes(answer, here=False)


def test_in_a_pipe_every_line_is_whole() -> None:
    assert shown(SHOP, PIPE) == [
        "web      degraded 2/4  http=127.0.0.1:8080 queue 3/4096",
        "  web:0  ready      pid 4121  up 3h12m",
        "  web:1  ready      pid 812   up 2m05s  restarts 2  last killed by SEGV (core dumped)",
        "  web:2  starting   pid 4490  up 0.4s",
        (
            "  web:3  backoff    exited with 1, 4th in 60s  retry in 7.4s  restarts 4"
            "  last line: ImportError: no foo"
        ),
        "db-sync  completed  exited with 0  12m00s ago",
        "mailer   ready      pid 4200  up 1m00s",
        "change 12 under way: restart web by uid 4000000 (pidsupctl), 1 of 2 done",
    ]


def test_a_socket_from_systemd_is_told_apart() -> None:
    answer = {**SHOP, "sockets": [socket(systemd="web")]}
    assert shown(answer, PIPE)[0] == (
        "web      degraded 2/4  http=127.0.0.1:8080 from systemd queue 3/4096"
    )


def test_at_80_columns_what_is_long_goes_on_below() -> None:
    lines = shown(SHOP, NARROW)
    assert lines[2:7] == [
        "  web:1  ready      pid 812   up 2m05s  restarts 2",
        "                    last killed by SEGV (core dumped)",
        "  web:2  starting   pid 4490  up 0.4s",
        "  web:3  backoff    exited with 1, 4th in 60s  retry in 7.4s  restarts 4",
        "                    last line: ImportError: no foo",
    ]
    assert max(map(len, lines)) <= 80


def test_at_200_columns_nothing_is_broken() -> None:
    assert shown(SHOP, WIDE) == shown(SHOP, PIPE)


LONG = "a-watcher-with-a-very-long-name-of-more-than-forty-letters"


def test_a_long_name_has_a_line_of_its_own_and_moves_nobody_else() -> None:
    answer = status(
        watcher(LONG, slot(f"{LONG}:0", pid=4121), down(f"{LONG}:1", reason="exited with 1")),
        watcher("web", slot("web:0"), slot("web:1")),
        watcher("mailer", slot("mailer:0")),
        watcher(f"{LONG}x", slot(f"{LONG}x:0")),
    )
    assert shown(answer, NARROW) == [
        LONG,
        "         degraded 1/2",
        f"  {LONG}:0",
        "         ready      pid 4121  up 3.0s",
        f"  {LONG}:1",
        "         backoff    exited with 1",
        "web      ready 2/2",
        "  web:0  ready      pid 7     up 3.0s",
        "  web:1  ready      pid 7     up 3.0s",
        "mailer   ready      pid 7     up 3.0s",
        f"{LONG}x",
        "         ready      pid 7     up 3.0s",
    ]
    assert shown(answer, PIPE)[0] == f"{LONG}      degraded 1/2"


def test_colour_changes_nothing_but_colour() -> None:
    coloured = shown(SHOP, COLOURED)
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in coloured] == shown(SHOP, NARROW)
    assert "\x1b[32mready\x1b[m" in coloured[1]
    assert "\x1b[33mbackoff\x1b[m" in coloured[5]


def test_a_long_reason_is_broken_between_words_and_a_long_last_line_is_cut() -> None:
    reason = "cannot start: " + "chdir " * 20 + "No such file"
    last = exit_(last_lines=["x" * 300])
    lines = shown(status(watcher("web", down("web:0", reason=reason, due_s=3.0, last_exit=last),
                                 slot("web:1"))), NARROW)  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()).count("chdir") == 20
    assert lines[-2].endswith("x…")


def test_what_would_steer_the_terminal_is_shown_instead() -> None:
    evil = down(reason="\x1b[2Jgone\n", due_s=1.0, last_exit=exit_(last_lines=["\x07"]))
    text = "\n".join(shown(status(watcher("web", evil)), COLOURED))
    assert "\\x1b[2Jgone\\n" in text
    assert "\\x07" in text


def test_the_healthy_of_a_large_watcher_share_a_line_and_the_sick_do_not() -> None:
    slots = [slot(f"web:{n}", up_s=60.0 + n) for n in range(1000)]
    slots[500] = down("web:500", reason="exited with 1", due_s=2.0)
    slots[998] = down("web:998", "failed", reason="given up", for_s=2.0)
    lines = shown(status(watcher("web", *slots)), PIPE)
    assert lines == [
        "web        degraded 998/1000",
        "  web:0-499,501-997,999  ready      998 slots  up 1m00s to 17m39s",
        "  web:500  backoff    exited with 1  retry in 2.0s",
        "  web:998  failed     given up",
    ]
    assert len(shown(status(watcher("web", *slots)), PIPE, everyone=True)) == 1001


def test_thousands_of_sick_slots_are_counted() -> None:
    slots = [down(f"web:{n}", reason="no") for n in range(200)]
    lines = shown(status(watcher("web", *slots)), PIPE)
    assert len(lines) == 52
    assert lines[-1] == "  and 150 more: --all shows them"


def test_wide_adds_use_serial_and_generation() -> None:
    last = exit_(code=0)
    lines = shown(status(watcher("web", slot(pid=4121, last_exit=last))), PIPE,
                  use={"web:0": (72.0, 251658240)}, everyone=True, wide=True)  # fmt: skip
    assert lines == [
        "shop  pid 40  up 3h12m  pidsup 0.1.0  your role admin  /etc/shop.toml",
        "web      ready 1/1",
        (
            "  web:0  ready      pid 4121  up 3.0s  cpu 1m12s   mem 240M  #1  gen 1"
            "  last exited with 0"
        ),
    ]


FULL = "cannot write /var/log/shop/web.log: No space left on device, for 40 s"


def test_why_output_cannot_be_written_is_said_below_the_slot() -> None:
    slots = [slot(f"web:{n}") for n in range(20)]
    slots[3]["output_trouble"] = FULL
    mailer = slot("mailer:0", output_trouble=FULL)
    assert shown(status(watcher("web", *slots), watcher("mailer", mailer)), NARROW) == [
        "web       ready 20/20",
        "  web:0-2,4-19  ready      19 slots  up 3.0s",
        "  web:3   ready      pid 7  up 3.0s",
        "    output: cannot write /var/log/shop/web.log: No space left on device, for 40",
        "      s",
        "mailer    ready      pid 7  up 3.0s",
        "  output: cannot write /var/log/shop/web.log: No space left on device, for 40 s",
    ]


def test_dropped_output_is_said() -> None:
    assert (
        "12K of output dropped" in shown(status(watcher("w", slot(dropped_bytes=12288))), PIPE)[0]
    )


def test_times_are_absolute_on_request() -> None:
    over = down(state="completed", for_s=5.0, last_exit=exit_(code=0))
    text = command.lines(status(watcher("web", over)), PIPE, IN_UTC)[0]
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)


def test_a_supervisor_that_ends_says_so() -> None:
    assert shown(status(state="stopping"), PIPE) == [
        "no watchers",
        "the supervisor is shutting down",
    ]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 9], "0,2-3,9"),
     ([0, 2, 4, 6], "0,2,4,...")],
)  # fmt: skip
def test_ranges_are_worded(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


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
    assert command.as_wanted(status(watcher("web", slot(**facts)))) is good


def test_a_watcher_that_was_given_up_is_not_as_wanted() -> None:
    assert not command.as_wanted(status(watcher("web", slot(), state="failed")))


def test_what_a_worker_says_of_itself_comes_last_and_is_cut() -> None:
    """What we know of it counts for more; and one that is gone says nothing."""
    says = "4 clients \x1b[2J, all of them served within a tenth of a second or even less"
    answer = status(
        watcher("web", slot("web:0", status=says, reloading=True, restarts=2)),
        watcher("old", down("old:0", "failed", status=says, for_s=5.0)),
    )
    first, second, *others = shown(answer, NARROW)
    assert first == "web  ready      pid 7  up 3.0s  reloading  restarts 2"
    assert second.strip().startswith("says: 4 clients \\x1b[2J, all of them served")
    assert (len(second), second[-1]) == (80, "…")
    assert not any("says" in line for line in others)


def test_wide_characters_take_two_columns_each() -> None:
    """What is cut, and what is broken, fits; marks that are put on a letter take none."""
    reason = "設定がありません " * 20
    says = "日本語" * 30
    answer = status(
        watcher("web", slot("web:0", status=says)),
        watcher("old", down("old:0", reason=reason, due_s=1.0, last_exit=exit_(last_lines=[says]))),
    )
    lines = shown(answer, NARROW)
    assert max(map(cells, lines)) == 80
    assert "\n".join(lines).count("設定がありません") == 20
    cut = [line for line in lines if line.endswith("…")]
    assert len(cut) == 2
    assert all(cells(line) in (79, 80) for line in cut)
    assert NARROW.cut("e\u0301" * 80, 80) == "e\u0301" * 80
    assert NARROW.cut("é日本", 4) == "é日…"


@pytest.mark.parametrize(
    "text", ["word " * 30, "日本語 " * 30, "x" * 99, "語" * 99, "e\u0301" * 99]
)
@pytest.mark.parametrize("columns", [1, 5, 8, 9, 20])
def test_every_text_is_broken_into_all_of_its_pieces(text: str, columns: int) -> None:
    """However little room there is."""
    pieces = broken(text, Terminal(columns))
    assert "".join("".join(pieces).split()) == text.replace(" ", "")
    assert all(cells(piece) <= max(8, columns) + GAP for piece in pieces)
