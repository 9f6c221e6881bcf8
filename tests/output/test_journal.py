"""Output that goes to the journal: one stream per slot, which passes the supervisor by."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pidsup.config.model import OutputSpec
from pidsup.output.journal import NOT_OURS, OurJournal, our_journal
from pidsup.systemd.journal import Journal, open_stream
from pidsup.systemd.unit import Unit
from tests.output.box import Box
from tests.support import EpollDriver, descriptors, python
from tests.systemd.journald import Journald

BOTH = {"stdout": "journal", "stderr": "journal"}


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    one = Journald(tmp_path / "journal")
    yield one
    one.close()


@pytest.fixture
def box(epoll_driver: EpollDriver, journald: Journald) -> Iterator[Box]:
    one = Box(epoll_driver, journal=OurJournal(journald.journal, Unit("shop.service")))
    yield one
    one.close()


def received(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        assert more, data
        data += more
    return data


# --- streams


def test_both_outputs_are_one_stream_with_the_name_of_the_slot(
    box: Box, journald: Journald
) -> None:
    """So that lines keep their order."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "for n in 1 2 3; do echo $n; echo no $n >&2; done")
    header, stream = journald.stream()
    assert header[:3] == ["web:3", "shop.service", "6"]
    assert received(stream, 21) == b"1\nno 1\n2\nno 2\n3\nno 3\n"


def test_the_worker_is_told_which_stream_it_has(box: Box, journald: Journald) -> None:
    """A program that speaks to the journal itself looks for JOURNAL_STREAM."""
    slot = box.slot("web:3", **BOTH)
    script = "import os; s = os.fstat(2); print(f'{s.st_dev}:{s.st_ino}')"
    box.run(slot, python(script))
    _, stream = journald.stream()
    name = slot.variables["JOURNAL_STREAM"]
    assert received(stream, len(name) + 1).decode() == f"{name}\n"


def test_the_stream_stays_when_the_worker_is_another(box: Box, journald: Journald) -> None:
    """A restart costs no connection, and what the old one wrote comes first."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "echo one")
    first = slot.variables
    box.run(slot, "echo two")
    _, stream = journald.stream()
    assert received(stream, 9) == b"one\n\ntwo\n"
    assert slot.variables == first


def test_the_line_that_a_worker_did_not_end_is_ended_for_it(box: Box, journald: Journald) -> None:
    """Journald would keep it until the next one writes; if a line is ended nothing follows it."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "printf 'fatal: no config'; exit 1")
    _, stream = journald.stream()
    assert received(stream, 17) == b"fatal: no config\n"


def test_nobody_waits_for_a_stream_that_is_full(box: Box, journald: Journald) -> None:
    """The supervisor least of all, whether journald hangs or has closed it."""
    slot = box.slot("web:3", **BOTH)
    fd = slot.fds(None)[1]
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        while True:
            os.write(fd, b"x" * 65536)
    os.set_blocking(fd, True)
    slot.ended()
    journald.stream()[1].close()
    slot.ended()
    assert os.get_blocking(fd)


def test_each_worker_finds_a_stream_that_blocks(box: Box, journald: Journald) -> None:
    """Whatever the one before has made of it: lines that do not fit would be lost."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, python("import os; print(os.get_blocking(1)); os.set_blocking(1, False)"))
    box.run(slot, python("import os; print(os.get_blocking(1))"))
    _, stream = journald.stream()
    assert received(stream, 11) == b"True\n\nTrue\n"


def test_a_stream_that_journald_has_closed_is_opened_anew(box: Box, journald: Journald) -> None:
    """Otherwise a worker would get SIGPIPE from its first line."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "echo one")
    _, stream = journald.stream()
    stream.close()
    box.run(slot, "echo two")
    header, stream = journald.stream()
    assert header[0] == "web:3"
    assert received(stream, 4) == b"two\n"


def test_the_supervisor_reads_none_of_it(box: Box, journald: Journald) -> None:
    """There is no pipe and no memory of it."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "echo one")
    assert slot.rings == ()
    assert slot.last_lines(5) == []
    assert box.texts(slot) == []


def test_one_of_both_may_go_elsewhere(box: Box, journald: Journald) -> None:
    """Errors into the memory, say; the stream is told of all the same."""
    slot = box.slot("web:3", stdout="journal", stderr="capture")
    box.run(slot, "echo out; echo err >&2")
    _, stream = journald.stream()
    assert received(stream, 4) == b"out\n"
    assert box.texts(slot) == ["err"]
    assert "JOURNAL_STREAM" in slot.variables


def test_stderr_may_go_where_stdout_goes(box: Box, journald: Journald) -> None:
    """The word stdout means the journal then, too."""
    slot = box.slot("web:3", stdout="journal", stderr="stdout")
    box.run(slot, "echo err >&2")
    _, stream = journald.stream()
    assert received(stream, 4) == b"err\n"


def test_who_has_no_stream_is_told_of_none(box: Box) -> None:
    """It would take its standard error for the journal's."""
    slot = box.slot("web:3", stdout="null", stderr="capture")
    box.run(slot, "echo err >&2")
    assert slot.variables == {}


SEEN = "[ /dev/fd/1 -ef /dev/null ] && [ /dev/fd/2 -ef /dev/null ] && echo gone"


@pytest.mark.parametrize("word", ["journal", "auto"])
def test_no_journal_stops_no_worker(epoll_driver: EpollDriver, tmp_path: Path, word: str) -> None:
    """It is started all the same, which is said once; and each start looks again."""
    box = Box(epoll_driver, journal=OurJournal(Journal(str(tmp_path)), takes=(True, True)))
    slot = box.slot("web:3", stdout=word, stderr="stdout")
    for _ in range(2):
        assert box.run(slot, SEEN) == 0
        assert slot.variables == {}
        assert slot.trouble.startswith("the journal cannot be reached: No such file or directory, ")
        assert slot.trouble.endswith("; what it writes is lost until it is started again")
    why = f"connect '{tmp_path}/stdout': No such file or directory"
    lost = "what it writes is lost until it is started again"
    said = {"slot": "web:3", "why": why, "next": lost}
    assert box.log.facts("cannot write output") == [said]
    journald = Journald(tmp_path)
    box.run(slot, "echo one")
    assert received(journald.stream()[1], 4) == b"one\n"
    assert "JOURNAL_STREAM" in slot.variables
    assert slot.trouble == ""
    assert box.log.facts("output goes to the journal again") == [{"slot": "web:3"}]
    journald.close()
    box.close()


def test_the_next_outage_is_said_again(box: Box, journald: Journald) -> None:
    """And what went to the journal before is of no use any more."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "echo one")
    journald.close()
    box.run(slot, "echo two")
    assert "Connection refused" in slot.trouble
    assert len(box.log.facts("cannot write output")) == 1


def test_without_descriptors_a_start_fails_and_is_tried_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is there, and the lack is our own."""

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    slot = box.slot("web:3", **BOTH)
    monkeypatch.setattr("pidsup.output.journal.open_stream", full)
    with pytest.raises(OSError, match="Too many open files"):
        slot.fds(None)
    assert slot.trouble == ""


def test_a_closed_output_gives_its_stream_up(box: Box, journald: Journald) -> None:
    """And what a worker wrote is read to the end."""
    slot = box.slot("web:3", **BOTH)
    box.run(slot, "echo one")
    held = len(descriptors())
    slot.close()
    slot.close()
    assert len(descriptors()) == held - 1
    _, stream = journald.stream()
    assert received(stream, 5) == b"one\n\n"
    assert stream.recv(1) == b""


# --- auto


@pytest.mark.parametrize(
    ("takes", "targets"),
    [
        ((True, True), ("journal", "journal")),
        ((False, True), ("console", "journal")),
        ((False, False), ("console", "console")),
    ],
)
def test_auto_is_where_our_own_output_goes(
    takes: tuple[bool, bool], targets: tuple[str, str]
) -> None:
    """Each by itself."""
    ours = OurJournal(takes=takes)
    assert (ours.target("auto", 0), ours.target("auto", 1)) == targets


@pytest.mark.parametrize("word", ["journal", "console", "capture", "null", "/var/log/x"])
def test_other_words_mean_what_they_say(word: str) -> None:
    """Wherever our own output goes."""
    assert OurJournal(takes=(True, True)).target(word, 0) == word
    assert NOT_OURS.target(word, 0) == word


def test_our_own_output_is_no_journal_without_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test has a pipe or a terminal."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert our_journal().takes == (False, False)


ASK = """
import os, sys
import pidsup.systemd.journal
pidsup.systemd.journal.DIRECTORY = sys.argv[1]
from pidsup.output.journal import our_journal
stat = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"
found = our_journal()
os.write(3, repr((found.takes, found.journal.namespace)).encode())
"""


def takes(journald: Journald, stream: int) -> bytes:
    """Return what a program finds whose output and errors are this stream, which is closed."""
    out, into = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, stream, n) for n in (1, 2)]
    actions.append((os.POSIX_SPAWN_DUP2, into, 3))
    command = python(ASK, journald.journal.directory)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    os.close(into)
    os.close(stream)
    os.waitpid(pid, 0)
    with open(out, "rb") as file:
        return file.read()


def test_our_own_output_is_a_journal_where_it_is_the_stream_that_is_named(
    journald: Journald,
) -> None:
    """Of both, where they are the same."""
    stream = open_stream(journald.journal, "test")
    assert takes(journald, stream) == b"((True, True), None)"


def test_where_no_other_stream_can_be_opened_ours_is_output_like_any_other(
    journald: Journald,
) -> None:
    """In a RootDirectory=, say: workers whose output is to be "auto" could not start."""
    stream = open_stream(journald.journal, "test")
    os.unlink(journald.journal.stream_path)
    assert takes(journald, stream) == b"((False, False), None)"


def test_only_the_systems_units_are_named_to_journald() -> None:
    """It believes no other, and would take a user's unit for one of the system."""
    assert OurJournal(unit=Unit("shop.service")).unit_of_system == "shop.service"
    assert OurJournal(unit=Unit("shop.service", 1000)).unit_of_system == ""


# --- where it can be read


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"stdout": "auto", "stderr": "auto"}, ("journal", "journal")),
        ({"stdout": "auto", "stderr": "stdout"}, ("journal", "journal")),
        ({"stdout": "capture", "stderr": "/x/log"}, ("memory", "memory")),
        ({"stdout": "console", "stderr": "journal"}, ("memory", "journal")),
        ({"stdout": "null", "stderr": "inherit"}, ("none", "none")),
        ({"stdout": "null", "stderr": "stdout"}, ("none", "none")),
    ],
)
def test_it_is_known_where_output_can_be_read(
    epoll_driver: EpollDriver, spec: Any, kept: tuple[str, str]
) -> None:
    """`pidsupctl logs` asks."""
    box = Box(epoll_driver, journal=OurJournal(takes=(True, True)))
    assert box.outputs.kept(OutputSpec(**spec)) == kept
    box.close()
