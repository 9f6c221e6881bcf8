"""signalfd(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from subprocess import run

import pytest

from pidsup.linux import signalfd
from pidsup.linux.signalfd import SignalInfo
from tests.support import sh, signals_blocked

LAST = 64  # SIGRTMAX


@pytest.fixture
def fd() -> Iterator[int]:
    signals = (signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMIN, LAST)
    with signals_blocked(*signals):
        fd = signalfd.create(signals)
        yield fd
        os.close(fd)


def send(signo: int, times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signo)


def test_nothing_pending_is_an_empty_list(fd: int) -> None:
    """It never blocks."""
    assert signalfd.read(fd) == []


def test_a_signal_says_who_sent_it(fd: int) -> None:
    """For the log: "SIGTERM from process 24954 of user 0"."""
    sender = run(sh('kill -TERM "$1"; echo $$', str(os.getpid())), capture_output=True, check=True)
    assert signalfd.read(fd) == [SignalInfo(signal.SIGTERM, int(sender.stdout), os.getuid())]


def test_equal_signals_are_merged(fd: int) -> None:
    """By the kernel; which is why SIGCHLD does not count deaths."""
    send(signal.SIGTERM)
    send(signal.SIGUSR1, times=2)
    assert sorted(info.signo for info in signalfd.read(fd)) == [signal.SIGUSR1, signal.SIGTERM]
    assert signalfd.read(fd) == []


def test_more_than_a_batch_is_left_for_the_next_read(fd: int) -> None:
    """The descriptor stays readable meanwhile, so nothing is lost."""
    send(signal.SIGRTMIN, times=20)
    batches = [len(signalfd.read(fd)) for _ in range(3)]
    assert batches == [16, 4, 0]


def test_the_last_signal_fits_the_mask(fd: int) -> None:
    """The kernel's set has 64 bits, bit n-1 is signal n."""
    send(LAST)
    assert [info.signo for info in signalfd.read(fd)] == [LAST]


def test_the_descriptor_is_close_on_exec_and_non_blocking(fd: int) -> None:
    """A copy in a worker would read the worker's own signals."""
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK


def test_other_signals_are_not_taken(fd: int) -> None:
    """One that is blocked but not asked for stays pending for whom it concerns."""
    with signals_blocked(signal.SIGUSR2):
        send(signal.SIGUSR2)
        assert signalfd.read(fd) == []
        assert signal.SIGUSR2 in signal.sigpending()


def test_block_adds_to_what_is_blocked() -> None:
    """It takes nothing back."""
    with signals_blocked(signal.SIGUSR1):
        signalfd.block([signal.SIGUSR2])
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        assert blocked >= {signal.SIGUSR1, signal.SIGUSR2}


def test_a_bad_descriptor_is_an_error() -> None:
    """And says what could not be done with it."""
    with pytest.raises(OSError, match="cannot read a signalfd") as caught:
        signalfd.read(-1)
    assert caught.value.errno == errno.EBADF
