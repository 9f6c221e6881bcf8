"""What pidsup relies on from processes: pidfd_open(2), waitid(2), process groups, orphans."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen, run

import prctl
import pytest

from tests.support import (
    LIMIT_S,
    my_children,
    needs_linux,
    needs_root,
    python,
    read_line,
    sh,
    wait_until,
)

Worker = Callable[..., Popen[bytes]]
PROCESS_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP


@pytest.fixture
def pidfd_of() -> Iterator[Callable[[int], int]]:
    """Give os.pidfd_open; closes what it made."""
    opened: list[int] = []

    def pin(pid: int) -> int:
        opened.append(os.pidfd_open(pid))
        return opened[-1]

    yield pin
    for fd in opened:
        os.close(fd)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Be one for the time of a test."""
    prctl.set_child_subreaper(1)
    yield
    prctl.set_child_subreaper(0)


def events_of(fd: int, timeout_s: float = 0) -> int:
    """Return what poll(2) says about a descriptor."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    found = poll.poll(timeout_s * 1000)
    return found[0][1] if found else 0


def zombie() -> int | None:
    """Return the pid that `waitid(P_ALL, WNOWAIT)` names."""
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found.si_pid if found else None


# --- pidfds


def test_a_pidfd_becomes_readable_at_the_exit(
    worker: Worker, pidfd_of: Callable[[int], int]
) -> None:
    """The event that every restart begins with."""
    process = worker(["cat"], stdin=PIPE)
    fd = pidfd_of(process.pid)
    assert events_of(fd) == 0
    process.kill()
    assert events_of(fd, LIMIT_S) == select.POLLIN


@needs_linux(6, 9)
def test_a_pidfd_hangs_up_only_at_the_reap(worker: Worker, pidfd_of: Callable[[int], int]) -> None:
    """Who waits for EPOLLHUP alone sees the reap by somebody else: adopted processes."""
    process = worker(["true"])
    fd = pidfd_of(process.pid)
    assert events_of(fd, LIMIT_S) == select.POLLIN
    process.wait()
    assert events_of(fd) == select.POLLIN | select.POLLHUP


def test_waitid_by_pidfd_works_across_exec(worker: Worker, pidfd_of: Callable[[int], int]) -> None:
    """A pidfd is of the process, not of the program."""
    process = worker(sh("read _; exec sh -c 'exit 7'"), stdin=PIPE)
    fd = pidfd_of(process.pid)
    process.communicate(b"\n")
    assert process.returncode == 7
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)

    process = worker(sh("read _; exec sh -c 'exit 8'"), stdin=PIPE)
    fd = pidfd_of(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    found = os.waitid(os.P_PIDFD, fd, os.WEXITED)
    process.wait()
    assert found is not None
    assert found.si_status == 8


def test_a_signal_through_the_pidfd_of_a_reaped_process_is_esrch(
    worker: Worker, pidfd_of: Callable[[int], int]
) -> None:
    """Never a stranger's process: what all of pidsup's signalling stands on."""
    process = worker(["true"])
    fd = pidfd_of(process.pid)
    process.wait(LIMIT_S)
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGKILL)


def test_a_signal_to_a_zombie_is_no_error(worker: Worker, pidfd_of: Callable[[int], int]) -> None:
    """So "signalled" does not mean "was alive": only the reap says that it is over."""
    process = worker(["true"])
    fd = pidfd_of(process.pid)
    assert events_of(fd, LIMIT_S)
    signal.pidfd_send_signal(fd, signal.SIGKILL)


# --- zombies


def test_a_look_with_wnowait_names_the_same_zombie_until_it_is_reaped() -> None:
    """Why a known child that the orphan scan meets is reaped at once, not left for later."""
    children = [Popen(["true"]) for _ in range(2)]
    for child in children:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    first = [zombie() for _ in range(3)]
    next(child for child in children if child.pid == first[0]).wait()
    second = zombie()
    for child in children:
        child.wait()
    assert len(set(first)) == 1
    assert {first[0], second} == {child.pid for child in children}


def test_a_subreaper_gets_the_orphans_of_its_descendants(subreaper: None, worker: Worker) -> None:
    """Where pidsup is not pid 1, this is how daemonised workers still come back to it."""
    process = worker(sh("sleep 1000 & echo $!"), stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    orphan = int(read_line(process.stdout.fileno()))
    process.wait(LIMIT_S)
    wait_until(lambda: orphan in my_children(), "the orphan's arrival")
    os.kill(orphan, signal.SIGKILL)
    assert os.waitpid(orphan, 0) == (orphan, signal.SIGKILL)


# --- process groups


@needs_linux(6, 9)
def test_a_group_is_signalled_through_the_pidfd_of_its_reaped_leader(
    worker: Worker, pidfd_of: Callable[[int], int]
) -> None:
    """Stragglers of a dead worker are found without any scan, and without its number."""
    process = worker(sh("sleep 1000 & echo $!"), stdin=PIPE, stdout=PIPE, start_new_session=True)
    leader = pidfd_of(process.pid)
    assert process.stdout is not None
    straggler = pidfd_of(int(read_line(process.stdout.fileno())))
    process.wait(LIMIT_S)

    signal.pidfd_send_signal(leader, signal.SIGKILL, None, PROCESS_GROUP)

    assert events_of(straggler, LIMIT_S)


@needs_linux(6, 9)
def test_only_the_leaders_pidfd_stands_for_the_group(
    worker: Worker, pidfd_of: Callable[[int], int]
) -> None:
    """ESRCH otherwise, so each worker has to lead a group of its own."""
    process = worker(["cat"], stdin=PIPE)
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(pidfd_of(process.pid), 0, None, PROCESS_GROUP)


@needs_root
def test_a_pid_stays_taken_while_its_group_has_members() -> None:
    """So the number of a reaped leader is safe to use for as long as killpg finds anybody."""
    code = """
import os, signal, subprocess
def next_pid_from(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(pid - 1))
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid
leader = subprocess.Popen(["/bin/sh", "-c", "sleep 1000 & echo $!"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, start_new_session=True)
member = int(leader.stdout.readline())
leader.wait()
taken = next_pid_from(leader.pid) != leader.pid
os.kill(member, signal.SIGKILL)
os.waitpid(member, 0)  # we are pid 1 here, so it is ours
free = next_pid_from(leader.pid) == leader.pid
print(taken, free)
"""
    own_pids = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = run([*own_pids, *python(code)], stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout.split() == [b"True", b"True"]


def test_signal_zero_finds_a_group_of_zombies(worker: Worker) -> None:
    """An unreaped process counts as a member: a tree is empty only when all are reaped."""
    process = worker(["true"], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    os.killpg(process.pid, 0)
    process.wait()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_children_are_listed_per_thread_that_made_them(worker: Worker) -> None:
    """Which is why all tasks of a process are read, not the first alone."""
    code = """
import subprocess, threading
def make():
    subprocess.Popen(["cat"])
    print("made", flush=True)
    threading.Event().wait()
threading.Thread(target=make).start()
"""
    process = worker(python(code), stdin=PIPE, stdout=PIPE, start_new_session=True)
    assert process.stdout is not None
    read_line(process.stdout.fileno())
    lists = {
        int(task.name): (task / "children").read_text().split()
        for task in Path(f"/proc/{process.pid}/task").iterdir()
    }
    os.killpg(process.pid, signal.SIGKILL)
    assert lists.pop(process.pid) == []
    assert [len(children) for children in lists.values()] == [1]
