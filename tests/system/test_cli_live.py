"""What pidsupctl does on a terminal: progress in place, colour, `top`."""

from __future__ import annotations

import signal
import termios
from collections.abc import Callable, Iterator

import pytest

from tests.system.daemon import Daemon
from tests.system.pty import BIN, Pty

Start = Callable[..., Daemon]
OnTerminal = Callable[..., Pty]

SLOW = """
    [watchers.slow]
    command = ["sh", "-c", "trap 'sleep {seconds}; exit 0' TERM; while :; do sleep 0.02; done"]
    workers = 2
    """


@pytest.fixture
def terminal() -> Iterator[OnTerminal]:
    """Start pidsupctl on terminals; each is closed at the end."""
    started: list[Pty] = []

    def start(
        it: Daemon, *arguments: str, columns: int = 80, lines: int = 24, **environment: str
    ) -> Pty:
        command = [str(BIN / "pidsupctl"), "-n", it.name, *arguments]
        started.append(Pty(command, columns, lines, environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


def slow(daemon: Start, seconds: float) -> Daemon:
    it = daemon(SLOW.format(seconds=seconds))
    it.await_slots(lambda slots: all(slot["state"] == "ready" for slot in slots.values()))
    return it


# --- progress


def test_progress_is_drawn_in_place_and_its_end_stays(daemon: Start, terminal: OnTerminal) -> None:
    it = slow(daemon, 1)
    shown = terminal(it, "stop", "slow")
    shown.wait_for(lambda lines: lines[0].startswith("stop slow: "), "progress")
    assert shown.end() == 0
    assert shown.lines[:2] == ["stop: done, 2 slots", ""]


def test_who_blocks_is_drawn_below_it_after_a_while(daemon: Start, terminal: OnTerminal) -> None:
    it = slow(daemon, 4)
    shown = terminal(it, "stop", "slow:1")
    lines = shown.wait_for(lambda lines: "waiting for slow:1: stopping" in lines[1], "the blocker")
    assert lines[0].startswith("stop slow:1: ")
    assert shown.end() == 0
    assert shown.lines[:2] == ["stop: done, 1 slot", ""]


def test_who_blocks_is_told_in_full_on_a_narrow_terminal(
    daemon: Start, terminal: OnTerminal
) -> None:
    it = slow(daemon, 4)
    pid = it.pids()["slow:1"]
    shown = terminal(it, "stop", "slow:1", columns=40)
    lines = shown.wait_for(
        lambda lines: "next step in" in " ".join(" ".join(lines).split()), "all of it"
    )
    assert f"pid {pid} is in state " in " ".join(" ".join(lines).split())
    assert lines[1].startswith("waiting for slow:1: ")
    assert lines[2].startswith("  ")
    assert shown.end() == 0
    assert shown.lines[:2] == ["stop: done, 1 slot", ""]


def test_an_interrupt_says_that_the_change_goes_on(daemon: Start, terminal: OnTerminal) -> None:
    it = slow(daemon, 2)
    shown = terminal(it, "stop", "slow")
    shown.wait_for(lambda lines: lines[0].startswith("stop slow: "), "progress")
    shown.type("\x03")
    assert shown.end() == 130
    assert "pidsupctl: not waited for: the change goes on, see: pidsupctl changes 1" in shown.lines
    it.await_slots(lambda slots: all(slot["state"] == "stopped" for slot in slots.values()))
    assert it.ctl("changes", "1").returncode == 0


def test_what_is_over_at_once_is_not_drawn(daemon: Start, terminal: OnTerminal) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    shown = terminal(it, "restart", "web")
    assert shown.end() == 0
    assert b"restart web:" not in shown.raw


# --- colour


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"TERM": "dumb"}, False),
        (["--color=never"], {}, False),
        (["--color=always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colour_is_used_on_a_terminal_unless_unwanted(
    daemon: Start,
    terminal: OnTerminal,
    arguments: list[str],
    environment: dict[str, str],
    coloured: bool,
) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    shown = terminal(it, *arguments, "status", **environment)
    assert shown.end() == 0
    assert (b"\x1b[32mready" in shown.raw) is coloured


# --- top

BUSY = """
    [watchers.busy]
    command = ["sh", "-c", "while :; do :; done"]
    [watchers.idle]
    command = "sleep 1000"
    workers = 30
    """


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 50)])
def test_top_fills_the_window_and_shows_who_is_busy(
    daemon: Start, terminal: OnTerminal, columns: int, lines: int
) -> None:
    it = daemon(BUSY)
    shown = terminal(it, "top", "-d", "300ms", columns=columns, lines=lines)

    def is_drawn(now: list[str]) -> bool:
        """Look whether the busy one is seen, and the rest of that screen has come, too."""
        busy = "busy" in now[3] and " 0.0 " not in now[3]
        return busy and len(now[lines - 1]) == columns and now[lines - 1].endswith("? help")

    screen = shown.wait_for(is_drawn, "a busy one")
    assert screen[0].startswith(f"{it.name}  up ")
    assert screen[2].startswith("NAME")
    assert "*CPU%" in screen[2]
    assert sum("idle:" in line for line in screen) == min(30, lines - 7)
    shown.type("q")
    assert shown.end() == 0


def test_top_follows_keys_and_the_size_of_the_window(daemon: Start, terminal: OnTerminal) -> None:
    it = daemon(BUSY)
    shown = terminal(it, "top", "-d", "1h")
    shown.wait_for(lambda lines: lines[23].endswith("? help"), "the screen")
    shown.type("t")
    shown.wait_for(lambda lines: not any("idle:" in line for line in lines), "folded")
    shown.type("t/idle:7\r")
    shown.wait_for(lambda lines: sum("  idle:" in line for line in lines) == 1, "filtered")
    shown.type("\x1b")
    shown.wait_for(lambda lines: "idle:1" in "".join(lines), "all again")
    shown.type("n\x1b[F")
    shown.wait_for(lambda lines: "idle:29" in lines[22], "the last")
    shown.resize(120, 40)
    shown.wait_for(lambda lines: lines[39].endswith("? help"), "the larger window")
    assert len(shown.lines[39]) == 120
    shown.type("?")
    shown.wait_for(lambda lines: any("sort by the next" in line for line in lines), "help")
    shown.type("qq")
    assert shown.end() == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [("q", 0), ("\x03", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_top_gives_the_terminal_back_however_it_ends(
    daemon: Start, terminal: OnTerminal, end: str | signal.Signals, code: int
) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    shown = terminal(it, "top")
    shown.wait_for(lambda lines: lines[23].endswith("? help"), "the screen")
    assert not shown.settings() & (termios.ECHO | termios.ICANON)
    if isinstance(end, str):
        shown.type(end)
    else:
        shown.signal(end)
    shown.wait_for(lambda _: b"\x1b[?1049l" in shown.raw, "the screen given back")
    shown.settle()
    assert b"\x1b[?25h" in shown.raw
    assert shown.end() == code


def test_top_stays_when_the_supervisor_goes(daemon: Start, terminal: OnTerminal) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    shown = terminal(it, "top", "-d", "200ms")
    shown.wait_for(lambda lines: lines[23].endswith("? help"), "the screen")
    it.ctl("shutdown")
    shown.wait_for(lambda lines: "trying again" in lines[23], "the trouble")
    it.wait()
    it.begin()
    shown.wait_for(lambda lines: lines[23].endswith("? help"), "the next supervisor")
    shown.type("q")
    assert shown.end() == 0


def test_top_without_a_terminal_prints_one_look(daemon: Start) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    done = it.ctl("top")
    assert done.returncode == 0
    assert "web:0  ready" in done.stdout
    assert "\x1b" not in done.stdout
    assert it.ctl("top", "-b", "-n", "2", "-d", "100ms").stdout.count("NAME") == 2
    assert it.ctl("top", "nope").returncode == 5
