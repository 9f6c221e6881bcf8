"""The fake kernel is as strict as the real one, and stricter where that forgives."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from signal import SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from pidsup.kernel import IN, Exit, Kernel, Plan
from tests.simulation.kernel import FakeKernel, Faults
from tests.simulation.machine import Machine
from tests.simulation.natures import CALM, Birth, Nature
from tests.simulation.poller import HUP, Quiet
from tests.simulation.process import Process

PLAN = Plan(["/bin/worker"], environment={})


def make(*, group_signals: bool = True) -> FakeKernel:
    machine = Machine(Random(1), CALM, mischief=0.0)
    return FakeKernel(machine, Faults(), group_signals=group_signals, wall_jumps=False)


def spawn(kernel: FakeKernel) -> tuple[Process, int]:
    born = kernel.spawn(PLAN)
    return kernel.mains[born.inode], born.pidfd


def fork(kernel: FakeKernel, parent: Process, birth: Birth = Birth.STAY) -> Process:
    before = set(kernel.machine.processes.values())
    kernel.machine.fork(parent, birth)
    (child,) = set(kernel.machine.processes.values()) - before
    return child


def ready(kernel: FakeKernel, fds: Iterable[int]) -> list[tuple[int, int]]:
    poller = kernel.poller()
    for fd in fds:
        poller.register(fd, IN)
    found = poller.poll(0)
    poller.close()
    return found


def test_it_is_a_kernel() -> None:
    kernel: Kernel = make()
    assert kernel.now() < kernel.now()


def test_the_lowest_descriptor_is_used_again() -> None:
    kernel = make()
    first, second = kernel.store(), kernel.store()
    kernel.close(first)
    assert (kernel.store(), second) == (first, first + 1)


def test_use_after_close_is_a_violation() -> None:
    kernel = make()
    _, pidfd = spawn(kernel)
    kernel.close(pidfd)
    for use in (kernel.close, kernel.wait):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use(pidfd)
    assert len(kernel.violations) == 2


def test_what_is_closed_while_registered_stays_ready_for_ever() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    poller = kernel.poller()
    poller.register(pidfd, IN)
    kernel.machine.exit(main, Exit(0, None))
    kernel.close(pidfd)
    assert kernel.violations == [f"descriptor {pidfd}, a pidfd, closed while registered"]
    assert poller.poll(0) == poller.poll(0) == [(pidfd, IN)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        poller.unregister(pidfd)


def test_a_pidfd_is_readable_from_the_end_on() -> None:
    kernel = make()
    _, pidfd = spawn(kernel)
    assert ready(kernel, [pidfd]) == []
    kernel.signal(pidfd, SIGTERM)
    assert ready(kernel, [pidfd]) == [(pidfd, IN)]
    assert kernel.wait(pidfd) == Exit(None, SIGTERM)
    assert ready(kernel, [pidfd]) == [(pidfd, IN | HUP)]
    with pytest.raises(ProcessLookupError):
        kernel.signal(pidfd, 0)


def test_a_pid_is_used_again_at_once_but_not_while_its_group_lives() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    member = fork(kernel, main)
    kernel.machine.exit(main, Exit(0, None))
    kernel.wait(pidfd)
    other, _ = spawn(kernel)
    assert other.pid != main.pid
    kernel.signal_group(pidfd, main.pid, SIGKILL)  # through the dead leader
    assert kernel.reap(member.pid) == Exit(None, SIGKILL)
    with pytest.raises(ProcessLookupError):
        kernel.signal_group(pidfd, main.pid, 0)
    successor, _ = spawn(kernel)
    assert successor.pid == main.pid
    with pytest.raises(ProcessLookupError):
        kernel.signal(pidfd, SIGKILL)
    assert successor.ended is None


def test_below_6_9_a_group_is_a_number() -> None:
    kernel = make(group_signals=False)
    main, pidfd = spawn(kernel)
    kernel.machine.exit(main, Exit(0, None))
    kernel.wait(pidfd)
    successor, _ = spawn(kernel)
    kernel.signal_group(pidfd, main.pid, SIGKILL)
    assert (successor.pid, successor.ended) == (main.pid, Exit(None, SIGKILL))


def test_orphans_come_to_the_supervisor_and_the_first_zombie_is_named_first() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    orphans = [fork(kernel, main), fork(kernel, main, Birth.LEAVE)]
    kernel.machine.exit(main, Exit(0, None))
    kernel.wait(pidfd)
    assert kernel.zombie() is None
    for orphan in reversed(orphans):
        kernel.machine.exit(orphan, Exit(0, None))
    assert kernel.zombie() == kernel.zombie() == orphans[0].pid
    kernel.reap(orphans[0].pid)
    assert kernel.zombie() == orphans[1].pid


def test_many_deaths_are_one_sigchld() -> None:
    kernel = make()
    fd = kernel.signals([SIGCHLD, SIGTERM])
    for _ in range(3):
        kernel.machine.exit(spawn(kernel)[0], Exit(0, None))
    assert [info.signo for info in kernel.read_signals(fd)] == [SIGCHLD]
    assert kernel.read_signals(fd) == []


def test_in_state_d_a_kill_takes_its_time() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    main.nature = Nature(stuck_s=5.0)
    kernel.signal(pidfd, SIGKILL)
    assert kernel.wait(pidfd) is None
    poller = kernel.poller()
    poller.register(pidfd, IN)
    before = kernel.now()
    assert poller.poll() == [(pidfd, IN)]
    assert kernel.now() - before == pytest.approx(5.0, abs=0.01)


def test_who_is_suspended_hears_a_signal_when_he_goes_on() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    for signo in (SIGSTOP, SIGTERM):
        kernel.signal(pidfd, signo)
    assert main.ended is None
    kernel.signal(pidfd, SIGCONT)
    assert kernel.wait(pidfd) == Exit(None, SIGTERM)


def test_a_sleep_without_end_is_told() -> None:
    kernel = make()
    with pytest.raises(Quiet):
        kernel.poller().poll()


def test_sets_nest() -> None:
    kernel = make()
    main, pidfd = spawn(kernel)
    inner, outer = kernel.poller(), kernel.poller()
    inner.register(pidfd, IN)
    outer.register(inner.fileno(), IN)
    assert outer.poll(0) == []
    kernel.machine.exit(main, Exit(0, None))
    assert outer.poll(0) == [(inner.fileno(), IN)]
