"""The daemon's own log: what a line looks like, and that it never stalls anything."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pidsup.kernel import LinuxKernel
from pidsup.log import StderrLog, die
from tests.support import (
    LIMIT_S,
    EpollDriver,
    descriptors,
    needs_root,
    python,
    read_some,
    run_until,
    unblocked_by,
)

WALL = 1_700_000_000.25  # 2023-11-14, 22:13:20.250
MOST_LINES = 4096


class Kernel(LinuxKernel):
    """The real one at a fixed time of the day."""

    def wall(self) -> float:
        return WALL


def settle(driver: EpollDriver) -> None:
    """Let the log write what it can: it begins in the turn after next."""
    for _ in range(5):
        driver.turn(lambda: True)


class Pipe:
    """A pipe with a log at its end.  Owns both."""

    def __init__(self, driver: EpollDriver) -> None:
        self.driver = driver
        self.out, self.into = os.pipe()
        os.set_blocking(self.out, False)
        self.log = StderrLog(driver.loop, Kernel(), self.into)

    def settle(self) -> None:
        settle(self.driver)

    def read(self) -> bytes:
        """Read what there is."""
        data = b""
        try:
            while more := os.read(self.out, 1 << 20):
                data += more
        except BlockingIOError:
            pass
        return data

    def lines(self) -> list[str]:
        self.settle()
        return self.read().decode().splitlines()

    def fill(self) -> int:
        """Leave no room; return how many bytes that took."""
        os.set_blocking(self.into, False)
        size = 0
        try:
            while True:
                size += os.write(self.into, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.into, True)
            return size

    def drain(self) -> list[str]:
        """Read all that the log has, as it comes."""
        data = b""
        while True:
            self.settle()
            more = self.read()
            if not more:
                return data.decode().splitlines()
            data += more

    def close(self) -> None:
        self.read()
        self.log.close()
        os.close(self.into)
        if self.out >= 0:
            os.close(self.out)


@pytest.fixture(autouse=True)
def no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests run under systemd that is not the log's business."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


@pytest.fixture
def pipe(epoll_driver: EpollDriver) -> Iterator[Pipe]:
    pipe = Pipe(epoll_driver)
    yield pipe
    pipe.close()


# --- lines


def test_a_line_has_time_event_and_facts(pipe: Pipe) -> None:
    """UTC with milliseconds: lines of several machines can be put side by side."""
    pipe.log.info("worker started", slot="web:0", pid=42)
    assert pipe.lines() == ["2023-11-14T22:13:20.250Z worker started slot=web:0 pid=42"]


def test_what_is_wrong_is_marked(pipe: Pipe) -> None:
    """By words; a person looks for them."""
    pipe.log.warning("worker ended", why="x")
    pipe.log.error("worker gave up")
    assert pipe.lines() == [
        "2023-11-14T22:13:20.250Z warning: worker ended why=x",
        "2023-11-14T22:13:20.250Z error: worker gave up",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", "''"),
        ("two words", "'two words'"),
        ("a=b", "'a=b'"),
        ('say "no"', "'say \"no\"'"),
        ("it's", '"it\'s"'),
        ("line\nfeed", r"'line\nfeed'"),
        ("tab\t", r"'tab\t'"),
        ("over\rwritten", r"'over\rwritten'"),
        ("\x1b[2Jgone", r"'\x1b[2Jgone'"),
        ("\x00", r"'\x00'"),
        ("next\x85line", r"'next\x85line'"),
        ("umlaut ä", "'umlaut ä'"),
        ("ä", "ä"),
        (os.fsdecode(b"\xff"), r"'\udcff'"),
        (None, "None"),
        (7, "7"),
        (1.5, "1.5"),
        (0.1 + 0.2, "0.3"),
        (123.456789, "123.457"),
        (True, "True"),
    ],
)
def test_a_value_can_be_told_from_what_is_around_it(pipe: Pipe, value: object, text: str) -> None:
    """Quoted where it needs to be: what a worker prints cannot pass for a line of ours."""
    pipe.log.info("event", value=value)
    [line] = pipe.lines()
    assert line == f"2023-11-14T22:13:20.250Z event value={text}"


def test_a_bug_is_logged_with_its_traceback(pipe: Pipe) -> None:
    """A line each, marked: a journal keeps lines apart."""
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018  the bug
    pipe.log.bug(caught.value)
    lines = pipe.lines()
    assert all(line.startswith("2023-11-14T22:13:20.250Z error: ") for line in lines)
    assert "Traceback" in lines[0]
    assert lines[-1].endswith("ZeroDivisionError: division by zero")


def test_the_time_is_that_of_the_event(epoll_driver: EpollDriver) -> None:
    """Not that of the writing, which may be much later."""
    now = [WALL]
    kernel = Kernel()
    kernel.wall = lambda: now[0]  # type: ignore[method-assign]
    out, into = os.pipe()
    log = StderrLog(epoll_driver.loop, kernel, into)
    for second in range(3):
        now[0] = WALL + second
        log.info("event")
    now[0] += 100
    log.close()
    times = re.findall(rb"22:13:(\d\d)\.250Z", os.read(out, 4096))
    os.close(out)
    os.close(into)
    assert times == [b"20", b"21", b"22"]


# --- the journal


def log_for_journal(
    driver: EpollDriver, monkeypatch: pytest.MonkeyPatch, stream: str | None = None
) -> list[bytes]:
    """Log into a socket that JOURNAL_STREAM names, or claims to; return the lines."""
    ours, journal = socket.socketpair()
    with ours, journal:
        stat = os.fstat(ours.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", stream or f"{stat.st_dev}:{stat.st_ino}")
        log = StderrLog(driver.loop, Kernel(), ours.fileno())
        log.info("one")
        log.warning("two", n=2)
        log.error("three")
        log.bug(ValueError("four"))
        log.close()
        return read_some(journal.fileno()).splitlines()


def test_the_journal_gets_priorities_and_no_time(
    epoll_driver: EpollDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its own; sd-daemon(3)."""
    lines = log_for_journal(epoll_driver, monkeypatch)
    assert lines == [b"<6>one", b"<4>two n=2", b"<3>three", b"<2>ValueError: four"]


@pytest.mark.parametrize("stream", ["1:2", "nonsense", " "])
def test_a_stream_that_is_another_one_is_no_journal(
    stream: str, epoll_driver: EpollDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is inherited; the descriptor may have been redirected since."""
    lines = log_for_journal(epoll_driver, monkeypatch, stream)
    assert lines[0] == b"2023-11-14T22:13:20.250Z one"


# --- order and amount


def test_lines_keep_their_order(pipe: Pipe) -> None:
    """Short ones, long ones, and what is longer than one write."""
    for n in range(300):
        pipe.log.info("event", n=n, filler="x" * (n * 37 % 9000))
    lines = pipe.drain()
    assert [int(line.split("n=")[1].split()[0]) for line in lines] == list(range(300))
    assert all(
        len(line.partition("filler=")[2].strip("'")) == n * 37 % 9000
        for n, line in enumerate(lines)
    )


def test_nothing_is_written_from_inside_the_call(pipe: Pipe) -> None:
    """A line costs its caller no system call."""
    pipe.log.info("event")
    assert pipe.read() == b""
    assert len(pipe.lines()) == 1


def test_a_full_pipe_blocks_nobody(pipe: Pipe) -> None:
    """The reader sleeps; the supervisor does not."""
    pipe.fill()
    with unblocked_by(pipe.read):
        for n in range(100):
            pipe.log.info("event", n=n)
            if n % 10 == 0:
                pipe.settle()
        pipe.settle()


def test_after_a_full_pipe_all_comes_in_order(pipe: Pipe) -> None:
    """As soon as somebody reads."""
    filled = pipe.fill()
    for n in range(1000):
        pipe.log.info("event", n=n)
    pipe.settle()
    lines = pipe.drain()
    lines[0] = lines[0][filled:]
    assert [line.partition("n=")[2] for line in lines] == [str(n) for n in range(1000)]


def test_what_does_not_fit_the_queue_is_counted_and_said(pipe: Pipe) -> None:
    """At the place where it is missing: behind the older lines, before the newer."""
    filled = pipe.fill()
    for n in range(MOST_LINES + 500):
        pipe.log.info("event", n=n)
        if n == 10:
            pipe.settle()  # it waits for the reader now
    lines = pipe.drain()
    lines[0] = lines[0][filled:]
    pipe.log.info("event", n="new")
    lines += pipe.drain()
    said = [line for line in lines if "dropped" in line]
    kept = [line.partition("n=")[2] for line in lines if "event" in line]
    assert len(said) == 1
    count = int(said[0].partition("count=")[2])
    assert "warning: log lines dropped" in said[0]
    assert len(kept) - 1 + count == MOST_LINES + 500
    assert kept == [*(str(n) for n in range(len(kept) - 1)), "new"]
    assert lines.index(said[0]) == len(lines) - 2


def test_memory_is_bounded_however_much_is_logged(pipe: Pipe) -> None:
    """4096 lines."""
    pipe.fill()
    for n in range(20_000):
        pipe.log.info("event", n=n)
    assert len(pipe.log._records) == MOST_LINES


def test_an_idle_log_does_not_watch_its_descriptor(pipe: Pipe) -> None:
    """A pipe is writable all the time: the loop would spin."""
    pipe.log.info("event")
    pipe.settle()
    assert pipe.driver.loop.remove_writer(pipe.into) is False


# --- descriptors of every kind


def test_two_that_wait_for_one_descriptor_both_go_on(pipe: Pipe) -> None:
    """As the log and the console do, on stderr: the loop knows one writer per descriptor."""
    other = StderrLog(pipe.driver.loop, Kernel(), pipe.into)
    os.set_blocking(pipe.into, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe.into, b"x" * 4096)
    os.set_blocking(pipe.into, True)
    pipe.log.info("one")
    pipe.settle()
    other.info("other")
    pipe.settle()
    read = b""
    for _ in range(5):
        read += pipe.read()
        pipe.settle()
    other.close()
    assert b" one\n" in read
    assert b" other\n" in read


def test_a_partial_write_is_continued(epoll_driver: EpollDriver) -> None:
    """Somebody who shares the description has made it non-blocking, and the buffer is small."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        ours.setblocking(False)
        log = StderrLog(epoll_driver.loop, Kernel(), ours.fileno())
        for n in range(200):
            log.info("event", n=n, filler="x" * 400)
        data = bytearray()
        theirs.setblocking(False)

        def read() -> None:
            data.extend(theirs.recv(777))

        epoll_driver.loop.add_reader(theirs.fileno(), read)
        run_until(epoll_driver, lambda: data.count(b"\n") == 200)
        epoll_driver.loop.remove_reader(theirs.fileno())
        log.close()
    numbers = re.findall(rb"event n=(\d+) filler=x{400}\n", bytes(data))
    assert [int(n) for n in numbers] == list(range(200))


def test_nobody_reads_any_more_and_nothing_happens(pipe: Pipe) -> None:
    """EPIPE; the supervisor goes on, and does not spin on the error."""
    pipe.log.info("event")
    os.close(pipe.out)
    pipe.out = -1
    for n in range(100):
        pipe.log.info("event", n=n)
    pipe.settle()
    pipe.log.info("still here")
    pipe.settle()
    assert pipe.log._records == type(pipe.log._records)()
    assert pipe.driver.loop.remove_writer(pipe.into) is False
    pipe.out = os.open(os.devnull, os.O_RDONLY)


def test_the_reader_may_go_while_the_pipe_is_full(pipe: Pipe) -> None:
    """The hang-up wakes the writer, which hears EPIPE and gives up."""
    pipe.fill()
    pipe.log.info("event")
    pipe.settle()
    os.close(pipe.out)
    pipe.out = os.open(os.devnull, os.O_RDONLY)
    pipe.settle()
    assert pipe.driver.loop.remove_writer(pipe.into) is False


def test_a_closed_descriptor_is_no_error(epoll_driver: EpollDriver) -> None:
    """Started with 2>&-: EBADF."""
    out, into = os.pipe()
    log = StderrLog(epoll_driver.loop, Kernel(), into)
    os.close(out)
    os.close(into)
    log.info("event")
    settle(epoll_driver)
    log.close()


def test_a_regular_file_takes_everything(epoll_driver: EpollDriver, tmp_path: Path) -> None:
    """It cannot be watched, and need not be."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = StderrLog(epoll_driver.loop, Kernel(), file.fileno())
        for n in range(MOST_LINES):
            log.info("event", n=n)
        settle(epoll_driver)
        log.close()
    assert [line.partition("n=")[2] for line in path.read_text().splitlines()] == [
        str(n) for n in range(MOST_LINES)
    ]


def test_a_full_disk_is_no_error_and_the_log_goes_on(epoll_driver: EpollDriver) -> None:
    """ENOSPC, as from /dev/full; what comes later may fit again."""
    with open("/dev/full", "wb", buffering=0) as full:
        log = StderrLog(epoll_driver.loop, Kernel(), full.fileno())
        for _ in range(2):
            log.info("event")
            settle(epoll_driver)
            assert not log._records
        log.close()


def test_a_terminal_that_is_stopped_blocks_nobody(epoll_driver: EpollDriver) -> None:
    """^S, or an ssh that hangs: a terminal takes half a line and makes the writer wait."""
    screen, terminal = pty.openpty()
    log = StderrLog(epoll_driver.loop, Kernel(), terminal)
    with unblocked_by(lambda: os.read(screen, 1 << 20)):
        for n in range(2000):
            log.info("event", n=n, filler="x" * 100)
        settle(epoll_driver)
    seen = b""
    os.set_blocking(screen, False)

    def read() -> None:
        nonlocal seen
        seen += os.read(screen, 65536)

    epoll_driver.loop.add_reader(screen, read)
    run_until(epoll_driver, lambda: seen.count(b"\n") == 2000)
    epoll_driver.loop.remove_reader(screen)
    log.close()
    numbers = re.findall(rb" n=(\d+) ", seen)
    assert [int(n) for n in numbers] == list(range(2000))
    os.close(screen)
    os.close(terminal)


AS_NOBODY = """
import os, sys
from pidsup.kernel import LINUX
from pidsup.log import StderrLog
from pidsup.loop.loop import EpollLoop
os.setuid(65534)
log = StderrLog(EpollLoop(), LINUX, 1)
log.info("event")
log.close()
"""


@needs_root
def test_a_terminal_of_somebody_else_is_written_to_as_it_is() -> None:
    """After su(1) it may not be opened again."""
    screen, terminal = pty.openpty()
    os.fchmod(terminal, 0o600)
    subprocess.run(python(AS_NOBODY), stdout=terminal, check=True, timeout=LIMIT_S)
    assert read_some(screen).endswith(b"Z event\r\n")
    os.close(screen)
    os.close(terminal)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_the_flags_of_the_descriptor_stay(kind: str, epoll_driver: EpollDriver) -> None:
    """It is shared with whoever started us: a shell would find its terminal non-blocking."""
    one, other = os.pipe() if kind == "pipe" else pty.openpty()
    before = fcntl.fcntl(other, fcntl.F_GETFL)
    log = StderrLog(epoll_driver.loop, Kernel(), other)
    log.info("event")
    settle(epoll_driver)
    assert fcntl.fcntl(other, fcntl.F_GETFL) == before
    log.close()
    os.close(one)
    os.close(other)


# --- close


def test_close_writes_what_is_left(pipe: Pipe) -> None:
    """The last words are the most interesting ones."""
    pipe.log.info("supervisor ended")
    pipe.log.close()
    assert pipe.read().endswith(b"supervisor ended\n")


def test_close_does_not_wait_for_a_reader_for_long(pipe: Pipe) -> None:
    """A tenth of a second: systemd waits for us."""
    pipe.fill()
    pipe.log.info("event")
    with unblocked_by(pipe.read, limit_s=5):
        pipe.log.close()


def test_close_borrows_and_may_be_called_twice(pipe: Pipe) -> None:
    """The descriptor is its owner's; only the log's own duplicate goes."""
    with_duplicate = descriptors()
    pipe.log.close()
    pipe.log.close()
    assert len(descriptors()) == len(with_duplicate) - 1
    assert os.write(pipe.into, b"still open") == 10


def test_close_takes_the_writer_out_of_the_loop(pipe: Pipe) -> None:
    """Or the loop would call a log that is gone."""
    pipe.fill()
    pipe.log.info("event")
    pipe.settle()
    pipe.log.close()
    assert pipe.driver.loop.remove_writer(pipe.into) is False


def test_who_dies_says_why_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """And hands on the exit code."""
    assert die("cannot run: no", 2) == 2
    assert capsys.readouterr().err == "pidsup: cannot run: no\n"
