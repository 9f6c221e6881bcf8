"""pidfd_open(2), pidfd_send_signal(2), waitid(2), PIDFD_GET_INFO."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest

from pidsup.linux import pidfd
from pidsup.linux.pidfd import Exit
from tests.support import (
    LIMIT_S,
    Spawned,
    await_end,
    kernel_version,
    needs_linux,
    needs_root,
    python,
    read_line,
    sh,
)

Worker = Callable[..., Popen[bytes]]
Start = Callable[..., Spawned]
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()


@pytest.fixture
def pin() -> Iterator[Callable[[int], int]]:
    """Give pidfd_open; closes what it made."""
    opened: list[int] = []

    def opens(pid: int) -> int:
        opened.append(pidfd.pidfd_open(pid))
        return opened[-1]

    yield opens
    for fd in opened:
        os.close(fd)


Pin = Callable[[int], int]


def reaped(worker: Worker, pin: Pin) -> int:
    """Return the pidfd of a process that is gone."""
    process = worker(["true"])
    fd = pin(process.pid)
    process.wait(LIMIT_S)
    return fd


# --- pidfd_open


def test_a_pidfd_refers_to_the_process(pin: Pin) -> None:
    """The kernel says which."""
    fd = pin(os.getpid())
    assert f"Pid:\t{os.getpid()}\n" in Path(f"/proc/self/fdinfo/{fd}").read_text()


def test_a_pidfd_is_close_on_exec(pin: Pin) -> None:
    """Or every worker could signal every other."""
    assert fcntl.fcntl(pin(os.getpid()), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_process_that_is_gone_cannot_be_opened(worker: Worker) -> None:
    """The number is named, for the log."""
    process = worker(["true"])
    process.wait()
    expected = f"cannot open process {process.pid}: No such process"
    with pytest.raises(ProcessLookupError, match=expected):
        pidfd.pidfd_open(process.pid)


def test_a_zombie_can_be_opened(worker: Worker, pin: Pin) -> None:
    """Early enough to learn how it ended, once somebody has reaped it."""
    process = worker(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert pin(process.pid) >= 0


@pytest.mark.parametrize("pid", [0, -1])
def test_numbers_that_kill_takes_for_groups_are_refused(pid: int) -> None:
    """To kill(2) they mean a group, or everybody."""
    with pytest.raises(OSError, match="Invalid argument") as caught:
        pidfd.pidfd_open(pid)
    assert caught.value.errno == errno.EINVAL


# --- send_signal


def test_a_signal_reaches_the_process(spawned: Start) -> None:
    """And is what ended it."""
    process = spawned()
    pidfd.send_signal(process.pidfd, signal.SIGTERM)
    assert process.wait()[:2] == (None, signal.SIGTERM)


def test_a_process_that_is_gone_gets_no_signal(worker: Worker, pin: Pin) -> None:
    """Also when its number has been given away since."""
    with pytest.raises(ProcessLookupError, match="cannot send signal 9: No such process"):
        pidfd.send_signal(reaped(worker, pin), signal.SIGKILL)


@pytest.mark.parametrize(
    ("fd", "signo", "number"), [(-1, 0, errno.EBADF), (0, 0, errno.EBADF), (None, 65, errno.EINVAL)]
)
def test_nonsense_is_refused(
    fd: int | None, signo: int, number: int, pin: Pin, tmp_path: Path
) -> None:
    """No descriptor, one of something else, no signal."""
    with (tmp_path / "file").open("w") as file:
        target = pin(os.getpid()) if fd is None else fd or file.fileno()
        with pytest.raises(OSError, match=f"cannot send signal {signo}") as caught:
            pidfd.send_signal(target, signo)
    assert caught.value.errno == number


@needs_root
def test_a_strangers_process_is_a_permission_error(spawned: Start) -> None:
    """Asked by somebody who may not."""
    target = spawned()
    code = """
import os, sys
from pidsup.linux import pidfd
fd = pidfd.pidfd_open(int(sys.argv[1]))
os.setuid(65534)
try:
    pidfd.send_signal(fd, 15)
except PermissionError as error:
    print(error)
"""
    done = run(python(code, str(target.pid)), stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout == b"[Errno 1] cannot send signal 15: Operation not permitted\n"


# --- groups


@needs_linux(6, 9)
def test_a_group_signal_reaches_all_members(spawned: Start, pin: Pin) -> None:
    """Leader and follower."""
    leader = spawned(sh("sleep 1000 & echo $!; wait"))
    follower = pin(int(read_line(leader.out)))
    pidfd.send_group_signal(leader.pidfd, signal.SIGKILL)
    assert leader.wait().signal == signal.SIGKILL
    await_end(follower)


@needs_linux(6, 9)
def test_a_group_signal_by_who_leads_none_is_refused(spawned: Start) -> None:
    """ESRCH, not the group that it belongs to: that is ours here."""
    with pytest.raises(ProcessLookupError):
        pidfd.send_group_signal(spawned(new_session=False).pidfd, 0)


def test_group_signals_are_found_out_by_trying() -> None:
    """Linux 6.9 has them."""
    assert pidfd.has_group_signals() == (kernel_version() >= (6, 9))


# --- wait


def test_who_lives_is_not_reaped(spawned: Start) -> None:
    """It never blocks."""
    assert pidfd.wait(spawned().pidfd) is None


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_an_exit_code_is_reported(spawned: Start, code: int) -> None:
    """All eight bits of it."""
    assert spawned(sh(f"exit {code}")).wait()[:3] == (code, None, False)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMIN + 3])
def test_a_deadly_signal_is_reported(spawned: Start, signo: int) -> None:
    """By number, and without an exit code."""
    assert spawned(sh(f"kill -{int(signo)} $$")).wait()[:3] == (None, signo, False)


@pytest.mark.skipif(CORE_PATTERN[:1] in ("", "|", "/"), reason="*** cores are not files here ***")
def test_a_core_dump_is_reported(spawned: Start, tmp_path: Path) -> None:
    """The flag means that it was written, not that it might have been."""
    unlimited = (1 << 64) - 1
    core = spawned(
        sh("kill -SEGV $$"),
        cwd=str(tmp_path),
        rlimits=[(resource.RLIMIT_CORE, unlimited, unlimited)],
    )
    none = spawned(sh("kill -SEGV $$"), rlimits=[(resource.RLIMIT_CORE, 0, 0)])
    assert core.wait()[:3] == (None, signal.SIGSEGV, True)
    assert none.wait()[:3] == (None, signal.SIGSEGV, False)


def test_cpu_time_is_reported(spawned: Start) -> None:
    """Its own and that of the children it waited for."""
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    child = sh('"$@"; exit 0', *python(burn))
    ended = spawned(child).wait()
    assert 0.1 <= ended.user_s + ended.system_s < LIMIT_S
    idle = spawned(["true"]).wait()
    assert idle.user_s + idle.system_s < 0.1


def test_a_child_can_be_reaped_once(spawned: Start) -> None:
    """ECHILD for the second who asks."""
    process = spawned(["true"])
    process.wait()
    with pytest.raises(ChildProcessError, match="cannot wait for a child"):
        pidfd.wait(process.pidfd)


def test_a_strangers_process_cannot_be_reaped(pin: Pin) -> None:
    """Ours only; for others there is get_info."""
    with pytest.raises(ChildProcessError):
        pidfd.wait(pin(1))


def test_waiting_on_no_pidfd_is_an_error() -> None:
    """Not a hang, and not somebody else's child."""
    with pytest.raises(OSError, match="cannot wait for a child"):
        pidfd.wait(-1)


# --- get_info


@needs_linux(6, 13)
def test_info_about_a_running_process(spawned: Start) -> None:
    """How it ended is not known before it did."""
    process = spawned()
    info = pidfd.get_info(process.pidfd)
    assert (info.pid, info.ppid, info.exit) == (process.pid, os.getpid(), None)


@needs_linux(6, 13)
def test_info_names_the_cgroup_by_its_inode(spawned: Start) -> None:
    """Which watcher does this process belong to: no number can be recycled in between."""
    path = own_cgroup()
    assert pidfd.get_info(spawned().pidfd).cgroup_id == path.stat().st_ino


def own_cgroup() -> Path:
    """Return the directory of our cgroup v2."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((mount[1] for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("*** no cgroup v2 is mounted ***")
    line = next(s for s in Path("/proc/self/cgroup").read_text().split() if s.startswith("0::"))
    return Path(root + line.removeprefix("0::"))


@needs_linux(6, 15)
@pytest.mark.parametrize(
    ("script", "expected"),
    [("exit 42", (42, None, False)), ("kill -KILL $$", (None, signal.SIGKILL, False))],
)
def test_info_tells_a_stranger_how_a_reaped_process_ended(
    script: str, expected: tuple[int | None, int | None, bool], worker: Worker, pin: Pin
) -> None:
    """What a supervisor that adopts workers lives on; a zombie's end is not told yet."""
    process = worker(sh(script))
    fd = pin(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert pidfd.get_info(fd).exit is None
    process.wait()
    ended = pidfd.get_info(fd).exit
    assert ended is not None
    assert ended[:3] == expected


@needs_linux(6, 13)
def test_info_about_something_else_is_an_error(tmp_path: Path) -> None:
    """ENOTTY, as from any ioctl that a file does not know."""
    with (tmp_path / "file").open("w") as file, pytest.raises(OSError, match="ask about") as caught:
        pidfd.get_info(file.fileno())
    assert caught.value.errno == errno.ENOTTY


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, Exit(0, None)),
        (42 << 8, Exit(42, None)),
        (9, Exit(None, 9)),
        (0x80 | 11, Exit(None, 11, core=True)),
    ],
)
def test_a_wait_status_is_taken_apart(status: int, expected: Exit) -> None:
    """As wait(2) lays it out; 0x80 is the core."""
    assert pidfd._from_wait_status(status) == expected
