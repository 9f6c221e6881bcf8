"""What pidsup relies on from epoll(7)."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support import LIMIT_S, needs_linux


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe with a byte in it."""
    out, into = os.pipe()
    os.write(into, b"x")
    yield out, into
    os.close(out)
    os.close(into)


def test_a_closed_but_registered_descriptor_stays_ready_while_a_copy_lives(
    epoll: select.epoll,
) -> None:
    """The trap of vfork: a child on its way to exec holds copies of all descriptors.

    The entry cannot even be taken out any more, so unregister comes before close.
    """
    out, into = os.pipe()
    os.write(into, b"x")
    epoll.register(out, select.EPOLLIN)
    copy = os.dup(out)
    os.close(out)
    try:
        assert epoll.poll(0) == [(out, select.EPOLLIN)]
        assert epoll.poll(0) == [(out, select.EPOLLIN)]
        with pytest.raises(OSError, match="Bad file descriptor"):
            epoll.modify(out, 0)
    finally:
        os.close(copy)
        os.close(into)
    assert epoll.poll(0) == []


def test_a_regular_file_cannot_be_watched(epoll: select.epoll, tmp_path: Path) -> None:
    """EPERM; a log that is a file therefore never waits for it."""
    with (tmp_path / "file").open("wb") as file, pytest.raises(PermissionError):
        epoll.register(file.fileno(), select.EPOLLIN)


def test_an_epoll_set_in_another_is_readable_when_something_in_it_is(
    epoll: select.epoll, pipe: tuple[int, int]
) -> None:
    """How process events and unusual masks reach a loop that knows only readers."""
    with select.epoll() as inner:
        epoll.register(inner.fileno(), select.EPOLLIN)
        assert epoll.poll(0) == []
        inner.register(pipe[0], select.EPOLLIN)
        assert epoll.poll(LIMIT_S) == [(inner.fileno(), select.EPOLLIN)]
        os.read(pipe[0], 1)
        assert epoll.poll(0) == []


def test_what_did_not_fit_one_poll_comes_first_in_the_next(
    epoll: select.epoll, pipe: tuple[int, int]
) -> None:
    """Level-triggered events rotate: a bounded poll starves nobody."""
    copies = [os.dup(pipe[0]) for _ in range(6)]
    for copy in copies:
        epoll.register(copy, select.EPOLLIN)
    seen = [fd for _ in range(3) for fd, _ in epoll.poll(0, 2)]
    for copy in copies:
        epoll.unregister(copy)
        os.close(copy)
    assert sorted(seen) == sorted(copies)


def test_an_empty_mask_still_reports_a_hang_up(epoll: select.epoll) -> None:
    """EPOLLHUP cannot be switched off, and so can be watched alone."""
    out, into = os.pipe()
    epoll.register(out, 0)
    os.write(into, b"x")
    assert epoll.poll(0) == []
    os.close(into)
    assert epoll.poll(0) == [(out, select.EPOLLHUP)]
    epoll.unregister(out)
    os.close(out)


@needs_linux(6, 9)
def test_an_empty_mask_on_a_pidfd_waits_for_the_reap(
    epoll: select.epoll, worker: Callable[..., Popen[bytes]]
) -> None:
    """The event of processes that are not our children: somebody else reaps them."""
    process = worker(["true"])
    pidfd = os.pidfd_open(process.pid)
    epoll.register(pidfd, 0)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert epoll.poll(0) == []
    process.wait()
    assert epoll.poll(LIMIT_S) == [(pidfd, select.EPOLLHUP)]
    epoll.unregister(pidfd)
    os.close(pidfd)
