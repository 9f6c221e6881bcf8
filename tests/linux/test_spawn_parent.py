"""What a spawn does to the process that makes it: nothing.

The child shares our memory until its exec (CLONE_VM), so all of this is to be shown.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import prctl
import pytest

from pidsup.linux import pidfd
from pidsup.linux.spawn import Plan, SpawnError
from tests.support import (
    LIMIT_S,
    Spawned,
    await_end,
    descriptors,
    is_sanitized,
    my_children,
    needs_root,
    signals_blocked,
    status,
)

Spawn = Callable[..., Spawned]

NOBODY = 65534
FAILING = {"cwd": "/nope"}


@pytest.fixture
def dumpable() -> None:
    """Start from the normal state."""
    prctl.set_dumpable(1)


# --- one spawn


@needs_root
@pytest.mark.parametrize("attributes", [{}, FAILING])
def test_we_stay_dumpable_after_a_change_of_user_in_the_child(
    spawn: Spawn, dumpable: None, attributes: dict[str, str]
) -> None:
    """It marks the memory, which is ours: no core dump, no ptrace, /proc/self of root's."""
    try:
        spawn(uid=NOBODY, gid=NOBODY, groups=[], **attributes)
    except SpawnError:
        assert attributes
    assert prctl.get_dumpable() == 1


@needs_root
def test_who_was_not_dumpable_does_not_become_it(spawn: Spawn, dumpable: None) -> None:
    """Somebody wanted that."""
    prctl.set_dumpable(0)
    spawn(uid=NOBODY)
    kept = prctl.get_dumpable()
    prctl.set_dumpable(1)
    assert kept == 0


@needs_root
def test_our_own_ids_and_rights_stay(spawn: Spawn) -> None:
    """The setuid() of glibc would have changed every thread of ours."""
    names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    before = [status(os.getpid())[name] for name in names]
    spawn(uid=NOBODY, gid=NOBODY, groups=[1], bounding=1 << 10, ambient=1 << 10, no_new_privs=True)
    assert [status(os.getpid())[name] for name in names] == before


@pytest.mark.parametrize("attributes", [{}, FAILING])
def test_our_signal_mask_stays(spawn: Spawn, attributes: dict[str, str]) -> None:
    """All signals are blocked during the vfork, then it is as before."""
    with signals_blocked(signal.SIGUSR1, signal.SIGRTMIN):
        before = status(threading.get_native_id())["SigBlk"]
        try:
            spawn(**attributes)
        except SpawnError:
            assert attributes
        assert status(threading.get_native_id())["SigBlk"] == before


@pytest.mark.parametrize("attributes", [{}, FAILING])
def test_our_handlers_stay(spawn: Spawn, attributes: dict[str, str]) -> None:
    """The child resets its own dispositions, a copy."""
    names = ("SigIgn", "SigCgt")
    before = [status(os.getpid())[name] for name in names]
    try:
        spawn(**attributes)
    except SpawnError:
        assert attributes
    assert [status(os.getpid())[name] for name in names] == before


def test_a_signal_that_comes_meanwhile_is_handled_afterwards(rung: int) -> None:
    """By us, not by the child on its way; and none is lost."""
    handled = 0

    def count(*_: object) -> None:
        nonlocal handled
        handled += 1

    before = signal.signal(signal.SIGALRM, count)
    plan = Plan(["true"], environment={}, rung=rung)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        for _ in range(100):
            born = plan.spawn()
            _, wait_status = os.waitpid(born.pid, 0)
            os.close(born.pidfd)
            assert wait_status == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled > 0


def test_our_umask_directory_and_priority_stay(spawn: Spawn, tmp_path: Path) -> None:
    """No CLONE_FS."""
    before = (Path.cwd(), status(os.getpid())["Umask"], os.getpriority(os.PRIO_PROCESS, 0))
    spawn(cwd=str(tmp_path), umask=0o777, nice=5, cpus=[max(os.sched_getaffinity(0))])
    after = (Path.cwd(), status(os.getpid())["Umask"], os.getpriority(os.PRIO_PROCESS, 0))
    assert after == before


# --- many


def in_threads(work: Callable[[], None]) -> None:
    """Let four threads do it at once."""
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)


def exit_code(plan: Plan) -> int | None:
    born = plan.spawn()
    await_end(born.pidfd)
    ended = pidfd.wait(born.pidfd)
    os.close(born.pidfd)
    assert ended is not None
    return ended.code


def test_threads_may_start_the_same_plan_at_once(rung: int) -> None:
    """Each child finds its own number in LISTEN_PID, which stands in the plan's memory."""
    plan = Plan(
        ["/bin/sh", "-c", 'test "$LISTEN_PID" = $$'],
        environment={},
        fds=(-1, -1, -1),
        listen_pid=True,
        rung=rung,
    )
    codes: list[int | None] = []
    in_threads(lambda: codes.extend(exit_code(plan) for _ in range(50)))
    assert codes == [0] * 200


@needs_root
def test_threads_may_change_the_users_of_their_children_at_once(rung: int, dumpable: None) -> None:
    """No one takes the other's passing state for ours, and leaves us non-dumpable."""
    plan = Plan(["/bin/true"], environment={}, uid=NOBODY, rung=rung)
    codes: list[int | None] = []
    in_threads(lambda: codes.extend(exit_code(plan) for _ in range(50)))
    assert codes == [0] * 200
    assert prctl.get_dumpable() == 1


def resident_kib() -> int:
    return int(status(os.getpid())["VmRSS"].split()[0])


def test_two_thousand_spawns_leave_nothing(rung: int) -> None:
    """No descriptor, no child, no memory: it does that for years."""
    good = Plan(["/bin/true"], environment={}, rung=rung)
    bad = Plan(["/bin/true"], environment={}, cwd="/nope", rung=rung)

    def spawns(times: int) -> None:
        for _ in range(times):
            born = good.spawn()
            os.waitpid(born.pid, 0)
            os.close(born.pidfd)
            with pytest.raises(SpawnError):
                bad.spawn()

    spawns(100)
    gc.collect()
    before = (descriptors(), my_children(), sys.getallocatedblocks(), resident_kib())
    spawns(1000)
    gc.collect()
    after = (descriptors(), my_children(), sys.getallocatedblocks(), resident_kib())
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 500
    if not is_sanitized():  # it keeps what was freed for a while
        assert after[3] - before[3] < 1024
