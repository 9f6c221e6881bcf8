"""`LinuxKernel`: what it adds to the functions of pidsup.linux."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from subprocess import PIPE, Popen

import pytest

from pidsup.kernel import LINUX, LinuxKernel
from tests.support import (
    Spawned,
    await_end,
    kernel_version,
    needs_linux,
    read_line,
    sh,
    wait_until,
)

Start = Callable[..., Spawned]


@pytest.fixture
def store() -> Iterator[int]:
    fd = LINUX.store()
    yield fd
    LINUX.close(fd)


def ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None


def test_it_finds_out_whether_groups_can_be_signalled() -> None:
    """Since Linux 6.9; the older way stays testable on a newer kernel."""
    assert LINUX.groups_outlive_leaders == (kernel_version() >= (6, 9))
    assert LinuxKernel(group_signals=False).groups_outlive_leaders is False


@needs_linux(6, 9)
def test_a_group_gets_its_signal_after_the_reap_of_its_leader(spawned: Start) -> None:
    """The straggler is the one that hears it."""
    process = spawned(sh("sleep 1000 & echo $!"))
    straggler = int(read_line(process.out))
    process.wait()
    pin = LINUX.pidfd_open(straggler)
    LINUX.signal_group(process.pidfd, process.pid, signal.SIGKILL)
    await_end(pin)
    LINUX.close(pin)


def test_below_linux_6_9_a_group_gets_its_signal_by_number(spawned: Start) -> None:
    """Safe while the leader is unreaped, which keeps the number taken."""
    process = spawned()
    LinuxKernel(group_signals=False).signal_group(process.pidfd, process.pid, signal.SIGTERM)
    assert process.wait().signal == signal.SIGTERM


def test_an_empty_group_is_a_process_lookup_error(spawned: Start) -> None:
    """On both ways, so that the caller need not know which one it is."""
    process = spawned(["true"])
    process.wait()
    for kernel in (LINUX, LinuxKernel(group_signals=False)):
        with pytest.raises(ProcessLookupError):
            kernel.signal_group(process.pidfd, process.pid, 0)


def test_is_zombie_looks_without_reaping(spawned: Start) -> None:
    """And a process that is not our child is none of our zombies."""
    process = spawned()
    assert LINUX.is_zombie(process.pid) is False
    process.hang_up()
    assert ended(process.pid)
    assert (LINUX.is_zombie(process.pid), LINUX.is_zombie(process.pid)) == (True, True)
    assert process.wait().code == 0
    assert LINUX.is_zombie(1) is False


def test_zombie_names_nobody_while_all_live(spawned: Start) -> None:
    """With and without children."""
    assert LINUX.zombie() is None
    spawned()
    assert LINUX.zombie() is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [("exit 3", (3, None, False)), ("kill -TERM $$", (None, signal.SIGTERM, False))],
)
def test_reap_takes_the_zombie_that_was_named(
    script: str, expected: tuple[int | None, int | None, bool], worker: Callable[..., Popen[bytes]]
) -> None:
    """How an orphan ended is told like the end of a child."""
    process = worker(sh(script))
    assert ended(process.pid)
    assert LINUX.zombie() == process.pid
    found = LINUX.reap(process.pid)
    process.returncode = 0  # it is not Popen's to reap any more
    assert found is not None
    assert found[:3] == expected
    assert LINUX.zombie() is None


def test_reap_leaves_alone_who_lives(worker: Callable[..., Popen[bytes]]) -> None:
    """It never blocks."""
    process = worker(["cat"], stdin=PIPE)
    assert LINUX.reap(process.pid) is None


def test_group_of_a_process(spawned: Start) -> None:
    """Each spawned process leads its own; of one that is gone nothing is known."""
    process = spawned(["true"])
    assert LINUX.group_of(process.pid) == process.pid
    process.wait()
    with pytest.raises(ProcessLookupError):
        LINUX.group_of(process.pid)


def test_sleeps_in_says_state_and_place(spawned: Start) -> None:
    """For the person who waits for a worker to stop."""
    process = spawned()
    process.ready()
    wait_until(lambda: LINUX.sleeps_in(process.pid).startswith("S"), "cat asleep")
    said = LINUX.sleeps_in(process.pid)
    assert said == "S" or said.startswith("S in ")
    process.hang_up()
    process.wait()
    assert LINUX.sleeps_in(process.pid) == ""


def test_random_numbers_are_below_one() -> None:
    """All of [0, 1), and different ones."""
    numbers = [LINUX.random() for _ in range(100)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 90


def test_the_store_is_a_file_without_a_name(store: int) -> None:
    """Close-on-exec; who adopts it gets it on purpose."""
    assert os.readlink(f"/proc/self/fd/{store}") == "/memfd:pidsup-table (deleted)"
    assert os.get_inheritable(store) is False


def test_pwrite_writes_where_it_is_told(store: int) -> None:
    """The gap before it reads as zeros."""
    LINUX.pwrite(store, b"record", 4096)
    assert os.pread(store, 4102, 0) == bytes(4096) + b"record"


def test_a_short_pwrite_is_an_error(store: int) -> None:
    """Half a record is none."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Ignored, or the limit kills us; Python does that anyway.
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            LINUX.pwrite(store, bytes(100), 4090)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.ENOSPC
