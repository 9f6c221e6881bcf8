"""journald's protocols, with a journald of our own at the other end."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.systemd.journal import (
    DIRECTORY,
    Entries,
    Journal,
    end_line,
    entry,
    header,
    is_over,
    is_stream,
    of_descriptor,
    open_stream,
    stream_name,
)
from tests.systemd.journald import Journald, fields


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    one = Journald(tmp_path / "journal")
    yield one
    one.close()


@pytest.fixture
def entries(journald: Journald) -> Iterator[Entries]:
    one = Entries(journald.journal)
    yield one
    one.close()


# --- streams


def test_a_stream_begins_with_who_writes_and_how(journald: Journald) -> None:
    """Identifier, unit, priority, prefixes allowed; and to nowhere else than the journal."""
    fd = open_stream(journald.journal, "web:3", "shop.service")
    head, stream = journald.stream()
    os.write(fd, b"<3>no\n")
    assert head == ["web:3", "shop.service", "6", "1", "0", "0", "0"]
    assert stream.recv(100) == b"<3>no\n"
    os.close(fd)


def test_without_a_unit_that_line_is_empty() -> None:
    """Journald finds out itself."""
    assert header("web:3").splitlines()[1] == b""


def test_a_stream_blocks_its_writer_and_is_not_inherited_by_chance(journald: Journald) -> None:
    """A worker does not expect EAGAIN from its standard output."""
    fd = open_stream(journald.journal, "web:3")
    assert os.get_blocking(fd)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_stream_takes_a_lot_before_it_blocks(journald: Journald) -> None:
    """As much as the machine allows, without a right that root may lack."""
    fd = open_stream(journald.journal, "web:3")
    os.set_blocking(fd, False)
    assert os.write(fd, b"x" * (1 << 20)) >= 200_000
    os.close(fd)


def test_it_is_told_when_journald_has_hung_up(journald: Journald) -> None:
    """It keeps streams over its restart; if not, a new one is needed."""
    fd = open_stream(journald.journal, "web:3")
    _, stream = journald.stream()
    assert not is_over(fd)
    stream.close()
    assert is_over(fd)
    os.close(fd)


def test_where_nobody_listens_there_is_no_stream(tmp_path: Path) -> None:
    """And no descriptor."""
    with pytest.raises(FileNotFoundError):
        open_stream(Journal(str(tmp_path)), "web:3")


def test_a_journald_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    """Its queue of connections is full, and connect(2) would wait."""
    with ExitStack() as open_:
        listener = open_.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{tmp_path}/stdout")
        listener.listen(0)
        waiting = socket.socket(socket.AF_UNIX)
        open_.enter_context(waiting).connect(f"{tmp_path}/stdout")
        with pytest.raises(BlockingIOError):
            open_stream(Journal(str(tmp_path)), "web:3")


# --- which journal


def test_a_stream_is_known_by_its_name(journald: Journald) -> None:
    """JOURNAL_STREAM is device and inode."""
    fd = open_stream(journald.journal, "web:3")
    stat = os.fstat(fd)
    assert stream_name(fd) == f"{stat.st_dev}:{stat.st_ino}"
    assert is_stream(fd, stream_name(fd))
    os.close(fd)


@pytest.mark.parametrize("named", ["", "1:2", "nonsense"])
def test_another_name_is_another_stream(named: str) -> None:
    """The variable is inherited; the descriptor may have been redirected."""
    assert of_descriptor(2, named) is None


def test_a_closed_descriptor_is_no_stream() -> None:
    """Started with 2>&-."""
    assert of_descriptor(1 << 20, "1:2") is None


def test_what_is_not_at_the_place_of_a_journal_counts_as_the_one_without_a_name(
    journald: Journald,
) -> None:
    """Whoever says so must know, and has bound it elsewhere."""
    fd = open_stream(journald.journal, "web:3")
    assert of_descriptor(fd, stream_name(fd)) == Journal()
    os.close(fd)


@pytest.mark.parametrize(
    ("directory", "namespace"), [(DIRECTORY, None), (f"{DIRECTORY}.shop", "shop")]
)
def test_a_namespace_is_known_by_its_directory(directory: str, namespace: str | None) -> None:
    """LogNamespace= has journald listen elsewhere."""
    assert Journal(directory).namespace == namespace


def test_a_line_is_ended_by_an_empty_one_of_ours(journald: Journald) -> None:
    """Whoever has the stream, and it stays as it was; one that is closed is no trouble."""
    fd = open_stream(journald.journal, "web:3")
    _, stream = journald.stream()
    os.write(fd, b"half")
    end_line(fd)
    assert stream.recv(5, socket.MSG_WAITALL) == b"half\n"
    stream.close()
    end_line(fd)
    assert os.get_blocking(fd)
    os.close(fd)


# --- entries


def test_an_entry_has_a_line_per_field(entries: Entries, journald: Journald) -> None:
    """And what has a newline its length before it."""
    entries.send(entry([("MESSAGE", "one"), ("TEXT", "a\nb"), ("EMPTY", "")]))
    assert journald.raw()[0] == b"MESSAGE=one\nTEXT\n\3\0\0\0\0\0\0\0a\nb\nEMPTY=\n"


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), st.text()))
def test_what_goes_in_comes_out(what: dict[str, str]) -> None:
    """Newlines, equal signs, zeros, half of a pair: nothing breaks the frame."""
    expected = {name: text.encode("utf-8", "backslashreplace") for name, text in what.items()}
    assert fields(entry(what.items())) == expected


def test_what_is_too_large_for_a_datagram_goes_as_a_sealed_file(
    entries: Entries, journald: Journald
) -> None:
    """Journald takes none that could change while it reads."""
    large = "x" * (20 << 20)
    entries.send(entry([("MESSAGE", large)]))
    data, [fd] = journald.raw()
    seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        content = file.read()
    assert data == b""
    assert content == b"MESSAGE=" + large.encode() + b"\n"
    assert seals & fcntl.F_SEAL_WRITE
    assert seals & fcntl.F_SEAL_GROW
    assert seals & fcntl.F_SEAL_SHRINK


def test_a_journald_that_does_not_read_is_told_of_at_once(entries: Entries) -> None:
    """EAGAIN, when its queue is full."""

    def flood() -> None:
        while True:
            entries.send(b"MESSAGE=x\n")

    with pytest.raises(BlockingIOError):
        flood()


def test_a_socket_that_was_made_anew_is_found_again(entries: Entries, journald: Journald) -> None:
    """As by `systemctl restart systemd-journald.socket`."""
    journald.deafen()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        entries.send(b"MESSAGE=lost\n")
    journald.listen()
    entries.send(b"MESSAGE=found\n")
    assert journald.entry() == {"MESSAGE": b"found"}


def test_where_nobody_listens_there_is_no_way(tmp_path: Path) -> None:
    """Then stderr has to do."""
    with pytest.raises(FileNotFoundError):
        Entries(Journal(str(tmp_path)))


def test_closing_twice_is_once(journald: Journald) -> None:
    """As for everything that owns a descriptor."""
    one = Entries(journald.journal)
    one.close()
    one.close()
