"""The output of slots: from real processes to memory, console and files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pidsup.config.model import OutputSpec
from pidsup.output import compressor
from pidsup.output.outputs import Line
from tests.output.box import Box
from tests.support import (
    LIMIT_S,
    EpollDriver,
    descriptors,
    is_sanitized,
    needs_root,
    python,
    sh,
)


class Gate:
    """A FIFO that a script waits at: read x <PATH.  Owns a descriptor of it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._fd = os.open(path, os.O_RDWR)

    def __str__(self) -> str:
        return str(self._path)

    def open(self) -> None:
        os.write(self._fd, b"\n")

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


# --- pipes


def test_a_pipe_that_could_not_be_made_is_made_at_the_next_start(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short of descriptors, the second of two fails; the first is kept."""
    slot, make, calls = box.slot(), os.pipe2, iter((True, False, True))

    def pipe2(flags: int) -> tuple[int, int]:
        if next(calls):
            return make(flags)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe2", pipe2)
    with pytest.raises(OSError, match="Too many open files"):
        slot.fds(None)
    assert sorted(slot.fds(None)) == [1, 2]


def test_without_threads_a_start_fails_and_the_next_does_not(
    box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As at pids.max; nothing is left of the first."""
    slot = box.slot(stdout=str(tmp_path / "log"))
    before = descriptors()
    with monkeypatch.context() as without:
        without.setattr(compressor, "start_new_thread", no_thread)
        with pytest.raises(OSError, match="no more threads"):
            slot.fds(None)
    assert descriptors() == before
    box.run(slot, "echo one")
    box.close()
    assert (tmp_path / "log").read_bytes() == b"one\n"


def no_thread(*_: object) -> int:
    raise RuntimeError("can't start new thread")


def test_without_threads_nothing_is_compressed_and_all_is_written(
    box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    slot = box.slot(stdout=str(path), compress=True, max_size_bytes=100, keep=100)
    slot.fds(None)  # starts the writer
    monkeypatch.setattr(compressor, "start_new_thread", no_thread)
    box.run(slot, "seq 100")
    box.until(lambda: box.log.facts("cannot compress rotated file of output"), "said")
    box.close()
    files = [path, *(Path(f"{path}.{n}") for n in range(1, 100))]
    found = b"".join(file.read_bytes() for file in reversed(files) if file.exists())
    assert found == b"".join(b"%d\n" % n for n in range(1, 101))


def test_stdout_and_stderr_are_two_pipes_kept_for_all_workers(box: Box) -> None:
    """So a successor's output comes behind its predecessor's, through one descriptor."""
    slot = box.slot()
    first = slot.fds(None)
    assert sorted(first) == [1, 2]
    assert first[1] != first[2]
    assert slot.fds(None) == first


def test_stderr_may_go_where_stdout_goes(box: Box) -> None:
    """One pipe: what is written to both comes in the order of writing."""
    slot = box.slot(stderr="stdout")
    box.run(slot, "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    assert box.texts(slot) == ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3"]


@pytest.mark.parametrize("target", ["null", "inherit"])
def test_what_needs_no_pipe_has_none(box: Box, target: str) -> None:
    """The plan has the descriptor."""
    before = descriptors()
    slot = box.slot(stdout=target, stderr=target)
    assert slot.fds(None) == {}
    slot.begin(1)
    slot.ended()
    assert slot.last_lines(5) == []
    assert descriptors() == before


def test_every_worker_gets_a_pipe_that_blocks(box: Box) -> None:
    """Node.js sets O_NONBLOCK, which is the pipe's: its successor would fail with EAGAIN."""
    slot = box.slot()
    fd = slot.fds(None)[1]
    box.run(slot, python("import os; os.set_blocking(1, False)"))
    assert not os.get_blocking(fd)
    assert slot.fds(None)[1] == fd
    assert os.get_blocking(fd)


@needs_root
def test_a_worker_of_another_user_can_open_its_stdout_anew(box: Box) -> None:
    """Echo >/dev/stdout, as nginx's images do."""
    slot = box.slot()
    script = "echo one >/dev/stdout; echo two >/dev/stderr"
    assert box.run(slot, script, user=65534) == 0
    assert sorted(box.texts(slot)) == ["one", "two"]
    assert box.run(slot, script) == 0  # ours again
    assert len(box.texts(slot)) == 4


def test_closing_gives_back_all_descriptors(epoll_driver: EpollDriver, tmp_path: Path) -> None:
    """Pipes, files, thread."""
    before = descriptors()
    box = Box(epoll_driver)
    slots = [box.slot(f"web:{n}", stdout=str(tmp_path / "log")) for n in range(3)]
    for slot in slots:
        box.run(slot, "echo hello")
    for slot in slots:
        slot.close()
        slot.close()
    box.close()
    box.outputs.close()
    epoll_driver.loop.close()
    after = {fd: name for fd, name in descriptors().items() if fd in before or "pipe" in name}
    assert not {fd for fd in after if fd not in before}


# --- workers and their lines


def test_a_line_says_whose_it_is_and_when_it_came(box: Box) -> None:
    """Slot, serial, stream, time."""
    slot = box.slot()
    box.run(slot, "echo one")
    box.run(slot, "echo two >&2")
    found = box.lines(slot)
    assert [(x.slot, x.serial, x.stream, x.data, x.partial) for x in found] == [
        ("web:0", 1, "stdout", b"one", False),
        ("web:0", 2, "stderr", b"two", False),
    ]
    assert found[0].at <= found[1].at


def test_a_worker_that_ends_in_the_middle_of_a_line_has_it_ended(box: Box) -> None:
    """Its successor's first line is not glued to it."""
    slot = box.slot()
    box.run(slot, "printf 'no newline'")
    box.run(slot, "echo next")
    assert [(x.serial, x.data, x.partial) for x in box.lines(slot)] == [
        (1, b"no newline", True),
        (2, b"next", False),
    ]


def test_what_an_ended_worker_has_left_in_the_pipe_is_its_own(box: Box) -> None:
    """Though nobody has read it before."""
    slot = box.slot()
    process = box.start(slot, sh("head -c 60000 /dev/zero | tr '\\0' x; echo; echo end"))
    process.wait(LIMIT_S)  # the loop does not turn
    slot.ended()
    box.run(slot, "echo next")
    assert [(x.serial, len(x.data)) for x in box.lines(slot)][-2:] == [(1, 3), (2, 4)]


def test_a_grandchild_that_keeps_the_pipe_is_read_on(box: Box, gate: Gate) -> None:
    """There is no end of file to wait for, and nothing of it is lost."""
    slot = box.slot()
    box.run(slot, f"(read x <{gate}; echo grandchild) & echo worker")
    box.run(slot, "echo successor")
    gate.open()
    box.until(lambda: len(box.texts(slot)) == 3, "the grandchild's line")
    assert box.texts(slot) == ["worker", "successor", "grandchild"]


def test_the_last_lines_are_those_of_stderr_else_of_stdout(box: Box) -> None:
    """Of the worker that has just failed, not of those before."""
    slot = box.slot()
    box.run(slot, "echo old >&2")
    assert slot.last_lines(5) == ["old"]
    box.run(slot, "for i in 1 2 3 4 5 6 7; do echo out $i; done")
    assert slot.last_lines(5) == [f"out {n}" for n in (3, 4, 5, 6, 7)]
    box.run(slot, "echo out; printf 'a\\nb\\nwhy \\377' >&2")
    assert slot.last_lines(2) == ["b", "why \\xff"]
    box.run(slot, "true")
    assert slot.last_lines(5) == []


def test_placeholders_in_a_path_are_filled(box: Box, tmp_path: Path) -> None:
    """A file per slot."""
    spec = OutputSpec(stdout=f"{tmp_path}/{{watcher}}-{{slot}}.log")
    slot = box.outputs.open(spec, slot="web:3", values={"slot": "3", "watcher": "web"})
    box.run(slot, "echo hello")
    box.close()
    assert (tmp_path / "web-3.log").read_text() == "hello\n"


# --- console


def test_the_console_has_the_slot_in_front_of_each_line_aligned(box: Box) -> None:
    """Stdout on stdout, stderr on stderr."""
    slot, other = (box.slot(n, stdout="console", stderr="console") for n in ("web:0", "worker:10"))
    other.fds(None)
    box.run(slot, "echo one; echo two; echo bad >&2")
    box.run(other, "printf three")
    box.settle()
    text = box.stdout.read()
    assert text == b"web:0     | one\nweb:0     | two\nworker:10 | three\\\n"
    assert box.stderr.read() == b"web:0     | bad\n"


def test_the_console_may_have_json_lines(epoll_driver: EpollDriver) -> None:
    """For a collector; what is no text comes as base64."""
    box = Box(epoll_driver, console_format="json")
    slot = box.slot(stdout="console")
    box.run(slot, r"""printf 'say "\\" \303\244\n\377\nend'""")
    box.settle()
    found = [json.loads(line) for line in box.stdout.read().splitlines()]
    box.close()
    assert [{k: v for k, v in x.items() if k != "time"} for x in found] == [
        {"slot": "web:0", "stream": "stdout", "serial": 1, "text": 'say "\\" ä'},
        {"slot": "web:0", "stream": "stdout", "serial": 1, "base64": "/w=="},
        {"slot": "web:0", "stream": "stdout", "serial": 1, "text": "end", "partial": True},
    ]
    assert all(x["time"].endswith("Z") for x in found)


class Collected:
    """What a console has written so far."""

    def __init__(self, box: Box) -> None:
        self.data = b""
        self._box = box

    def ends_with(self, end: bytes) -> bool:
        self.data += self._box.stdout.read()
        return self.data.endswith(end)


def test_a_console_that_nobody_reads_lets_the_worker_wait(box: Box) -> None:
    """And nothing is lost when somebody does."""
    slot = box.slot(stdout="console")
    process = box.start(slot, sh("seq 1 300000"))
    box.until(lambda: slot.is_held_up, "the pipe is no longer read")
    assert process.poll() is None
    seen = Collected(box)
    box.until(lambda: seen.ends_with(b"| 300000\n"))
    box.until(lambda: process.poll() is not None)
    slot.ended()
    assert not slot.is_held_up
    assert seen.data.splitlines() == [b"web:0 | %d" % n for n in range(1, 300001)]


def test_a_console_that_nobody_reads_may_cost_lines_instead(box: Box) -> None:
    """They are counted, said in the log, and at their place."""
    slot = box.slot(stdout="console", block=False)
    assert box.run(slot, "seq 1 300000") == 0
    said = box.log.facts("output dropped")
    assert slot.dropped_bytes > 0
    assert said[0]["slot"] == "web:0"
    seen = Collected(box)
    console = box.outputs._consoles[0]
    box.until(lambda: seen.ends_with(b"") and console.room() == console.limit)
    box.run(slot, "echo end")
    box.until(lambda: seen.ends_with(b" end\n"))
    lines = [line.removeprefix(b"web:0 | ") for line in seen.data.splitlines()]
    markers = [line for line in lines if line.startswith(b"[")]
    kept = [line for line in lines if not line.startswith(b"[")]
    assert kept[-1] == b"end"
    numbers = [int(line) for line in kept[:-1]]  # none is torn
    assert numbers == sorted(set(numbers))
    lost = sum(len(f"{n}\n") for n in set(range(1, 300001)) - set(numbers))
    assert lost == slot.dropped_bytes == sum(int(m.split()[0][1:]) for m in markers)


def test_a_console_that_is_gone_costs_what_it_was_sent(box: Box) -> None:
    """EPIPE; the worker and the supervisor go on, and it is counted."""
    slot = box.slot(stdout="console")
    os.close(box.stdout.out)
    box.stdout.out = os.open(os.devnull, os.O_RDONLY)
    assert box.run(slot, "seq 1 300000") == 0
    box.settle()
    assert len(box.log.facts("cannot write output")) == 1
    assert slot.dropped_bytes > 1_000_000
    assert slot.trouble.startswith("cannot write to the supervisor's own output: Broken pipe, for")


def test_crashing_workers_behind_a_full_console_cost_bounded_memory(box: Box) -> None:
    """What they leave stays in the pipe; in the end all of it comes."""
    slot = box.slot(stdout="console", memory_bytes=1 << 20)
    full = box.slot("full:0", stdout="console")
    process = box.start(full, sh("seq 1 300000"))
    box.until(lambda: full._streams[0]._paused, "the console is full")
    for n in range(50):
        box.run(slot, f"echo line {n}")
    assert box.outputs._consoles[0]._queued < 1 << 19
    assert len(slot._streams[0]._owed) < 20
    box.until(lambda: box.stdout.read() is None or process.poll() is not None)
    box.until(lambda: box.stdout.read() is None or len(box.lines(slot)) == 50)
    assert box.texts(slot) == [f"line {n}" for n in range(50)]


def test_workers_that_cannot_be_read_yet_keep_their_own_lines(box: Box) -> None:
    """By the number of bytes that each has left in the pipe."""
    slot = box.slot(stdout="console")
    big = box.slot("big:0", stdout="console")
    process = box.start(big, sh("seq 1 300000"))
    box.until(lambda: big._streams[0]._paused, "the console is full")
    for n in range(3):
        box.run(slot, f"echo line {n}; printf 'part {n}'")
    box.until(lambda: box.stdout.read() is None or process.poll() is not None)
    box.until(lambda: box.stdout.read() is None or len(box.lines(slot)) == 6)
    assert [(x.serial, x.data, x.partial) for x in box.lines(slot)] == [
        (serial, data, partial)
        for n, serial in enumerate((2, 3, 4))
        for data, partial in ((b"line %d" % n, False), (b"part %d" % n, True))
    ]


# --- a flood, and large things


def test_a_line_of_a_hundred_megabytes_stays_whole_and_out_of_memory(
    box: Box, tmp_path: Path
) -> None:
    """Binary, with NULs, invalid UTF-8, no newline at the end."""
    path = tmp_path / "log"
    slot = box.slot(stdout=str(path))
    code = """
import os, hashlib
block = bytes(range(256)).replace(b"\\n", b"") * 4096
digest = hashlib.sha256()
for n in range(100):
    digest.update(block)
    view = memoryview(block)
    while view:
        view = view[os.write(1, view):]
os.write(2, digest.hexdigest().encode())
"""
    before = rss_kb()
    seen: list[int] = []
    process = box.start(slot, python(code))

    def ended() -> bool:
        seen.append(rss_kb())
        return process.poll() is not None

    box.until(ended, limit_s=120)
    slot.ended()
    digest = slot.last_lines(1)[0]
    box.close()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert is_sanitized() or max(seen) - before < 16_000


def rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def test_lines_of_several_slots_in_one_file_are_not_torn(box: Box, tmp_path: Path) -> None:
    """However they are written: here in pieces of seven bytes."""
    path = tmp_path / "log"
    slots = [box.slot(f"w:{n}", stdout=str(path), stderr=str(path)) for n in range(3)]
    code = """
import os, sys
text = b"".join(b"%s %d %s\\n" % (sys.argv[1].encode(), n, b"x" * (n % 50)) for n in range(2000))
for start in range(0, len(text), 7):
    os.write(1 + start // 7 % 2 * 0, text[start:start + 7])
"""
    processes = [box.start(slot, python(code, str(n))) for n, slot in enumerate(slots)]
    box.until(lambda: all(process.poll() is not None for process in processes))
    for slot in slots:
        slot.ended()
    box.close()
    lines = path.read_text().splitlines()
    for n in range(3):
        own = [line for line in lines if line.startswith(f"{n} ")]
        assert own == [f"{n} {i} {'x' * (i % 50)}" for i in range(2000)]
    assert len(lines) == 6000


def test_bytes_keep_their_order_when_the_other_source_of_a_file_goes(
    box: Box, tmp_path: Path
) -> None:
    """What is held of a line, because others write there, goes before what follows."""
    path = tmp_path / "log"
    one, other = (box.slot(f"w:{n}", stdout=str(path), stderr="null") for n in range(2))
    into = one.fds(None)[1]
    one.begin(1)
    other.fds(None)
    os.write(into, b"one ")
    box.settle()
    other.close()
    os.write(into, b"line\n")
    box.settle()
    box.close()
    assert path.read_bytes() == b"one line\n"


def test_a_queue_of_nothing_stops_nobody(box: Box, tmp_path: Path) -> None:
    """It takes one read at a time."""
    path = tmp_path / "log"
    slot = box.slot(stdout=str(path), stderr="null", queue_bytes=0)
    box.run(slot, "seq 20000")
    box.until(lambda: path.stat().st_size == 108_894, "all is written")


def test_a_flood_does_not_starve_the_loop(box: Box) -> None:
    """One read of one pipe per turn."""
    slot = box.slot()
    process = box.start(slot, ["yes"])
    turns: list[float] = []

    def often() -> bool:
        turns.append(box.driver.loop.time())
        return len(turns) > 300

    box.until(often)
    process.kill()
    process.wait()
    slot.ended()
    gaps = sorted(later - now for now, later in pairwise(turns))
    assert gaps[len(gaps) // 2] < 0.02


def test_following_shows_lines_as_they_come(box: Box, gate: Gate) -> None:
    """The last ones first, then what is new, and of a line only when it is complete."""
    slot = box.slot()
    box.run(slot, "echo one; echo two; echo three")
    follower = box.outputs.follow([slot], lines=2, follow=True)
    assert [line.data for line in follower.take(1 << 16)[0]] == [b"two", b"three"]
    called: list[int] = []
    follower.when_more(lambda: called.append(1))
    box.settle()
    assert not called
    process = box.start(slot, sh(f"printf half; read x <{gate}; echo ' line'"))
    box.until(lambda: called)
    assert follower.take(1 << 16) == ([], 0)
    gate.open()
    box.until(lambda: process.poll() is not None)
    found: list[Line] = []

    def some() -> bool:
        found.extend(follower.take(1 << 16)[0])
        return bool(found)

    box.until(some)
    assert [line.data for line in found] == [b"half line"]
    assert not follower.over
    follower.close()
    follower.close()
