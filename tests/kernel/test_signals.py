"""What pidsup relies on from signals: signalfd(2), signal(7), sigaction(2)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from subprocess import PIPE, Popen

import pytest

from pidsup.linux import signalfd
from tests.support import LIMIT_S, read_all, signals_blocked, status, wait_until

SIGINFO_BYTES = 128


@pytest.fixture
def signal_fd() -> Iterator[int]:
    """Give a signalfd for SIGCHLD, USR1 and two real-time signals, all of them blocked."""
    signals = (signal.SIGCHLD, signal.SIGUSR1, signal.SIGRTMIN, signal.SIGRTMIN + 1)
    with signals_blocked(*signals):
        fd = signalfd.create(signals)
        yield fd
        os.close(fd)


def test_a_record_of_a_signalfd_has_128_bytes(signal_fd: int) -> None:
    """The C code asserts the size at compile time; the kernel must agree when it runs."""
    os.kill(os.getpid(), signal.SIGUSR1)
    assert len(os.read(signal_fd, 4096)) == SIGINFO_BYTES


def test_five_deaths_are_one_sigchld(signal_fd: int) -> None:
    """SIGCHLD says "look", never "how many": whoever counts records loses children."""
    children = [Popen(["true"]) for _ in range(5)]
    for child in children:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    records = os.read(signal_fd, 4096)
    for child in children:
        child.wait(LIMIT_S)
    assert len(records) == SIGINFO_BYTES


def test_a_pending_sigchld_outlives_the_reap_of_its_child(signal_fd: int) -> None:
    """So the handler of SIGCHLD may find nothing at all, and that is no error."""
    Popen(["true"]).wait(LIMIT_S)
    assert [info.signo for info in signalfd.read(signal_fd)] == [signal.SIGCHLD]


def test_real_time_signals_queue(signal_fd: int) -> None:
    """Unlike the others; tests count deliveries with them."""
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGRTMIN)
    assert len(os.read(signal_fd, 4096)) == 3 * SIGINFO_BYTES


def test_the_lowest_real_time_signal_is_delivered_first(signal_fd: int) -> None:
    """A higher one, sent later, so marks the end of the lower ones."""
    os.kill(os.getpid(), signal.SIGRTMIN + 1)
    os.kill(os.getpid(), signal.SIGRTMIN)
    read = [info.signo for info in signalfd.read(signal_fd)]
    assert read == [signal.SIGRTMIN, signal.SIGRTMIN + 1]


def test_a_blocked_signal_stays_blocked_across_fork_and_exec(
    signal_fd: int, worker: Callable[..., Popen[bytes]]
) -> None:
    """Which is why the spawn empties the mask: a worker would never see its SIGTERM."""
    process = worker(["cat"], stdin=PIPE)
    wait_until(lambda: status(process.pid)["Name"] == "cat", "exec of cat")
    assert int(status(process.pid)["SigBlk"], 16) >> (signal.SIGUSR1 - 1) & 1


def test_an_ignored_signal_stays_ignored_across_exec(
    worker: Callable[..., Popen[bytes]],
) -> None:
    """CLONE_CLEAR_SIGHAND leaves SIG_IGN alone too; Python ignores SIGPIPE."""
    process = worker(["cat"], stdin=PIPE, restore_signals=False)
    wait_until(lambda: status(process.pid)["Name"] == "cat", "exec of cat")
    assert int(status(process.pid)["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1


def test_a_signalfd_of_another_process_reads_ones_own_signals(
    signal_fd: int, worker: Callable[..., Popen[bytes]]
) -> None:
    """It belongs to whoever reads it: one that leaked into a worker would hang or lie."""
    os.kill(os.getpid(), signal.SIGUSR1)
    process = worker(["cat"], stdin=signal_fd, stderr=PIPE)
    assert process.stderr is not None
    assert b"temporarily unavailable" in read_all(process.stderr.fileno())
    assert signal.SIGUSR1 in {info.signo for info in signalfd.read(signal_fd)}
