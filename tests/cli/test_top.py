"""The screen of `top`: what it shows at each size, and what keys do."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.cli.ctl import top as live
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.top import split_keys
from pidsup.cli.ctl.top_rows import Look, rows, shares
from pidsup.cli.ctl.top_view import View
from pidsup.client import NotAnswering
from tests.cli.canned import (
    COLOURED,
    NARROW,
    PIPE,
    WIDE,
    down,
    process,
    slot,
    slot_stats,
    socket,
    stats,
    status,
    watcher,
)

STATUS = status(
    watcher("web", slot("web:0", pid=10), slot("web:1", pid=11, restarts=2)),
    watcher("bad", down("bad:0", "backoff", reason="exited with 1", restarts=9)),
)


def look(at: float, first_s: float, second_s: float) -> Look:
    """Return a look at two workers that have used so much of the processor."""
    return Look(
        STATUS,
        stats(
            slot_stats("web:0", process(10, cpu_s=first_s, rss_bytes=30 << 20)),
            slot_stats("web:1", process(11, cpu_s=second_s)),
            slot_stats("bad:0", up_s=None),
            at=at,
            sockets=[socket()],
        ),
    )


def view(sort: str = "cpu") -> View:
    shown = View(sort)
    shown.take(look(100.0, 1.0, 1.0))
    shown.take(look(102.0, 1.5, 3.0))
    return shown


def test_shares_are_of_the_time_between_two_looks() -> None:
    before, now = look(100.0, 1.0, 1.0).stats, look(102.0, 1.5, 3.0).stats
    assert shares(before, now) == {"web:0": 25.0, "web:1": 100.0, "bad:0": 0.0}


def test_the_first_look_shows_the_average_of_a_life() -> None:
    assert shares(None, stats(slot_stats("web:0", process(10, cpu_s=1.5)))) == {"web:0": 50.0}


def test_a_new_process_with_an_old_pid_is_not_taken_for_it() -> None:
    before = stats(slot_stats("web:0", process(10, cpu_s=900.0)))
    now = stats(slot_stats("web:0", process(10, cpu_s=1.0, started_at=2.0)), at=110.0)
    assert shares(before, now) == {"web:0": 10.0}


def test_watchers_are_sums() -> None:
    web = rows(look(1, 0, 0), {"web:0": 25.0, "web:1": 100.0})[0][0]
    assert (web.cpu, web.mem, web.restarts, web.more) == (125.0, 54 << 20, 2, "2/2 ready")


SCREEN = [
    "shop  up 3h12m  2 of 3 workers ready  1 to be retried",
    "cpu 125%  mem 54M  processes 2  threads 2  restarts 11",
    "http=127.0.0.1:8080 queue 3/4096",
    "NAME     STATE         PID     UP  *CPU%   MEM  THR  RST",
    "web      ready               3.0s  125.0   54M    2    2  2/2 ready",
    "  web:1  ready          11   3.0s  100.0   24M    1    2",
    "  web:0  ready          10   3.0s   25.0   30M    1    0",
    "bad      degraded                    0.0    0B    0    9  0/1 ready",
    "  bad:0  backoff                     0.0    0B    0    9  exited with 1",
]
FOOT = "sorted by cpu  1-5 of 5"


@pytest.mark.parametrize(("terminal", "columns", "lines"), [(NARROW, 80, 24), (WIDE, 200, 50)])
def test_a_screen_is_filled_exactly(terminal: Any, columns: int, lines: int) -> None:
    shown = [line.rstrip() for line in view().screen(columns, lines, terminal)]
    assert shown[:9] == SCREEN
    assert shown[9:-1] == [""] * (lines - 10)
    assert shown[-1].startswith(FOOT)
    assert shown[-1].endswith("q quit  s sort  t fold  / filter  ? help")
    assert len(shown[-1]) == columns


@pytest.mark.parametrize("columns", [1, 5, 20, 40])
@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_tiny_window_is_no_reason_to_fail(columns: int, lines: int) -> None:
    shown = view().screen(columns, lines, NARROW)
    assert len(shown) == lines
    assert max(map(len, shown)) <= columns


def test_colour_adds_nothing_visible() -> None:
    assert "\x1b[33mbackoff\x1b[m" in "".join(view().screen(80, 24, COLOURED))


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ("m", ["web", "web:0", "web:1", "bad", "bad:0"]),
        ("r", ["bad", "bad:0", "web", "web:1", "web:0"]),
        ("n", ["bad", "bad:0", "web", "web:0", "web:1"]),
        ("s", ["web", "web:0", "web:1", "bad", "bad:0"]),
        ("ss", ["bad", "bad:0", "web", "web:1", "web:0"]),
        ("t", ["web", "bad"]),
        ("tt", ["web", "web:1", "web:0", "bad", "bad:0"]),
        ("/bac", ["bad", "bad:0"]),
        ("/web:1", ["web", "web:1"]),
        ("/nothing", []),
    ],
)
def test_keys_order_fold_and_filter(keys: str, order: list[str]) -> None:
    shown = view()
    for key in keys:
        shown.press(key)
    shown.press("enter")
    lines = shown.screen(80, 24, NARROW)
    assert [line.split()[0] for line in lines[4:-1] if line] == order


def test_escape_ends_a_filter() -> None:
    shown = view()
    for key in ["/", "b", "x", "backspace", "enter"]:
        shown.press(key)
    assert shown.only == "b"
    shown.press("escape")
    assert shown.only == ""


def test_what_is_typed_is_shown_and_does_nothing_else() -> None:
    shown = view()
    for key in "/q":
        shown.press(key)
    assert not shown.over
    assert shown.screen(80, 24, NARROW)[-1] == "show only: q_"


def test_scrolling_stays_within_the_rows() -> None:
    many = status(watcher("web", *(slot(f"web:{n}") for n in range(100))))
    shown = View("name")
    shown.take(Look(many, stats()))

    def first() -> str:
        return shown.screen(80, 24, NARROW)[3].split()[0]

    assert first() == "web"
    for key, top in [("down", "web:0"), ("j", "web:1"), ("up", "web:0"), ("pgdn", "web:19"),
                     ("end", "web:80"), ("pgdn", "web:80"), ("pgup", "web:61"), ("home", "web"),
                     ("k", "web")]:  # fmt: skip
        shown.press(key)
        assert first() == top, key


HELP = [
    "  up, down, j, k       a line",
    "  PgUp, PgDn, space    a page",
    "  Home, End, g, G      the first, the last",
    "  s                    sort by the next: cpu, mem, restarts, name",
    "  c  m  r  n           sort by cpu, mem, restarts, name",
    "  t                    fold the slots of watchers, and unfold them",
    "  /                    show only what has a text in name or state; Esc ends it",
    "  q                    quit",
    "  CPU%                 of one processor, over the time between two looks",
    "  MEM                  memory; what processes share is counted in each of them",
    "  THR                  threads",
    "  RST                  restarts that nobody asked for",
    "                       Sums are over the tree of processes of each slot.",
]


def test_help_is_shown_until_a_key_is_pressed() -> None:
    shown = view()
    shown.press("?")
    assert [line for line in shown.screen(80, 24, NARROW)[3:-1] if line] == HELP
    narrow = " ".join(" ".join(shown.screen(50, 60, NARROW)[3:-1]).split())
    assert narrow == " ".join(" ".join(HELP).split())
    shown.press("q")
    assert (shown.help, shown.over) == (False, False)
    shown.press("q")
    assert shown.over


def test_trouble_is_said_at_the_bottom_and_the_last_look_stays() -> None:
    shown = view()
    shown.trouble = "the supervisor has hung up; trying again"
    lines = shown.screen(80, 24, NARROW)
    assert lines[-1] == shown.trouble
    assert lines[0] == SCREEN[0]


def test_a_supervisor_that_was_slow_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another connection: on the old one an answer may still come, to what was asked before."""

    class Slow:
        closed = False

        def call(self, method: str, **_: object) -> dict[str, Any]:
            raise NotAnswering("it is stopped")

        def close(self) -> None:
            self.closed = True

    slow, other = Slow(), Slow()
    source, view = live._Source(Given(selectors=[]), slow), View()  # type: ignore[arg-type]  # as good as a Client
    source.look_again(view)
    assert view.trouble == "it is stopped; trying again"
    assert slow.closed
    monkeypatch.setattr(live, "reach", lambda _: other)
    source.look_again(view)
    assert other.closed


def test_batch_is_all_of_it_with_the_time() -> None:
    lines = view("name").batch(PIPE)
    assert lines[1:4] == SCREEN[:3]
    assert lines[-1] == "  web:1  ready          11   3.0s  100.0   24M    1    2"


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[6~x", ["up", "pgdn", "x"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[15~q", ["q"]),
        (b"\r\x7f", ["enter", "backspace"]),
        ("ü".encode(), ["ü"]),
        (b"\xff", []),
    ],
)
def test_keys_are_told_apart(data: bytes, keys: list[str]) -> None:
    assert list(split_keys(data)) == keys
