"""The descriptors that workers have had kept."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pidsup.kernel import LINUX
from pidsup.loop.sources import Sources
from pidsup.watcher.fd_store import FdStore
from tests.support import EpollDriver, needs_linux, run_for, run_until, wait_until


@pytest.fixture
def store(epoll_driver: EpollDriver) -> Iterator[FdStore]:
    """Give an empty one."""
    sources = Sources(epoll_driver.loop, LINUX)
    store = FdStore(LINUX, sources)
    yield store
    fds = [stored.fd for stored in store]
    store.close()
    wait_until(lambda: not any(map(is_open, fds)))
    sources.close()


def null() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def names(store: FdStore) -> list[str]:
    return [stored.name for stored in store]


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


def test_they_are_kept_in_order_and_go_by_name(store: FdStore) -> None:
    """Several may share one."""
    fds = [null(), null(), null()]
    for fd, name in zip(fds, ("a", "b", "a"), strict=True):
        assert store.add(fd, name, polled=True)
    assert (names(store), len(store)) == (["a", "b", "a"], 3)
    store.remove("a")
    store.remove("nothing")
    assert names(store) == ["b"]
    wait_until(lambda: [is_open(fd) for fd in fds] == [False, True, False])
    store.close()
    assert len(store) == 0
    wait_until(lambda: not is_open(fds[1]))


@needs_linux(6, 10)
def test_a_copy_is_not_kept_twice(store: FdStore) -> None:
    """Whoever sends it again would fill the store; it stays the sender's to close."""
    fd = null()
    assert store.add(fd, "a", polled=True)
    copy = os.dup(fd)
    assert not store.add(copy, "b", polled=True)
    os.close(copy)
    assert names(store) == ["a"]


def test_what_hangs_up_is_dropped_unless_it_is_not_polled(
    store: FdStore, epoll_driver: EpollDriver
) -> None:
    """FDPOLL=0: what is left in it may still be of use."""
    ends = []
    for name, polled in (("polled", True), ("kept", False)):
        fd, end = os.pipe()
        ends.append(end)
        assert store.add(fd, name, polled=polled)
    run_for(epoll_driver, 0.01)
    assert names(store) == ["polled", "kept"]
    dropped = next(iter(store)).fd
    for end in ends:
        os.close(end)
    run_until(epoll_driver, lambda: names(store) == ["kept"])
    wait_until(lambda: not is_open(dropped))


def test_data_that_waits_wakes_nobody(store: FdStore, epoll_driver: EpollDriver) -> None:
    """It is for the next worker to read."""
    fd, end = os.pipe()
    store.add(fd, "a", polled=True)
    os.write(end, b"x")
    assert epoll_driver.loop._poller.poll(0.01) == []
    os.close(end)
