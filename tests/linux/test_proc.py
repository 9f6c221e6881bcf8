"""proc(5)."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from pidsup.linux import proc
from tests.support import next_fd, open_files_limited, python, read_line, sh, wait_until

Worker = Callable[..., Popen[bytes]]


def test_children_are_the_direct_ones(worker: Worker) -> None:
    """A grandchild is its parent's."""
    script = "sleep 1000 & echo $!; (sleep 1000; :) & echo $!; wait"
    process = worker(sh(script), stdout=PIPE, start_new_session=True)
    assert process.stdout is not None
    expected = {int(read_line(process.stdout.fileno())) for _ in range(2)}
    try:
        assert set(proc.children(process.pid)) == expected
        assert process.pid in proc.children(os.getpid())
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_children_of_every_thread_count(worker: Worker) -> None:
    """The kernel lists them with the thread that forked."""
    go, started = threading.Event(), threading.Event()
    pids: list[int] = []

    def make() -> None:
        pids.append(worker(["cat"], stdin=PIPE).pid)
        started.set()
        go.wait()

    thread = threading.Thread(target=make)
    thread.start()
    started.wait()
    found = proc.children(os.getpid())
    go.set()
    thread.join()
    assert found == pids


def test_a_process_that_is_gone_has_no_children(worker: Worker) -> None:
    """No error: it is the normal end of every walk."""
    process = worker(["true"])
    process.wait()
    assert proc.children(process.pid) == []


def test_a_zombie_has_no_children(worker: Worker) -> None:
    """They were handed to the subreaper at its exit."""
    process = worker(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert proc.children(process.pid) == []


def test_without_descriptors_nothing_is_known() -> None:
    """No error: who stops a worker then still has its process group."""
    with open_files_limited(next_fd()):
        known = (proc.children(os.getpid()), proc.state(os.getpid()), proc.wchan(os.getpid()))
    assert known == ([], "", "")


def test_the_state_is_a_letter(worker: Worker) -> None:
    """From running to gone."""
    process = worker(["cat"], stdin=PIPE)
    wait_until(lambda: proc.state(process.pid) == "S", "cat asleep")
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: proc.state(process.pid) == "T", "cat stopped")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert proc.state(process.pid) == "Z"
    process.wait()
    assert proc.state(process.pid) == ""
    assert proc.state(os.getpid()) == "R"


@pytest.mark.parametrize("name", ["a) S (b", ") Z 1 1", "two words", "\udcff\udcfe) R"])
def test_a_name_cannot_pass_for_a_state(name: str, worker: Worker, tmp_path: Path) -> None:
    """Any program may call itself anything, also what is no text."""
    program = tmp_path / name
    cat = shutil.which("cat")
    assert cat is not None
    shutil.copy(cat, program)
    process = worker([str(program)], stdin=PIPE)
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: proc.state(process.pid) == "T", "cat stopped")


def test_a_group_lives_while_it_has_a_member_that_is_no_zombie(worker: Worker) -> None:
    """Its leader or another; of a group that is not there nobody lives."""
    leader = worker(sh("sleep 1000 & echo; read _"), stdout=PIPE, stdin=PIPE, process_group=0)
    assert leader.stdout is not None
    read_line(leader.stdout.fileno())
    assert proc.group_lives(leader.pid)
    leader.kill()
    leader.wait()
    assert proc.group_lives(leader.pid)
    os.killpg(leader.pid, signal.SIGKILL)
    wait_until(lambda: not proc.group_lives(leader.pid), "the end of the group")


def test_a_group_of_zombies_does_not_live(worker: Worker) -> None:
    """Though kill(2) finds it."""
    zombie = worker(["true"], process_group=0)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    os.killpg(zombie.pid, 0)
    assert not proc.group_lives(zombie.pid)


def test_the_place_where_a_process_sleeps_is_a_function_of_the_kernel(worker: Worker) -> None:
    """Or nothing, where the kernel does not say; never its "0"."""
    process = worker(["cat"], stdin=PIPE)
    wait_until(lambda: proc.state(process.pid) == "S", "cat asleep")
    assert proc.wchan(process.pid).removeprefix("anon_").removesuffix("_read") in ("pipe", "")
    assert proc.wchan(os.getpid()) == ""
    process.kill()
    process.wait()
    assert proc.wchan(process.pid) == ""


def test_the_parent_of_a_process_is_known(worker: Worker) -> None:
    """Whatever the process is called; of one that is gone there is none."""
    process = worker(["cat"], stdin=PIPE)
    assert proc.parent(process.pid) == os.getpid()
    process.kill()
    process.wait()
    assert proc.parent(process.pid) == 0


def test_a_variable_is_read_from_another_process(worker: Worker) -> None:
    """As it was given to it; none of who is gone."""
    process = worker(["cat"], stdin=PIPE, env={"PATH": "/bin:/usr/bin", "A": "x=y", "B": ""})
    wait_until(lambda: proc.variable(process.pid, "A") == "x=y", "the exec is over")
    assert [proc.variable(process.pid, name) for name in ("B", "C")] == ["", None]
    process.kill()
    process.wait()
    assert proc.variable(process.pid, "A") is None


def test_a_process_has_stopped_once_all_its_threads_have(worker: Worker) -> None:
    """One that is gone has, too; one that cannot be looked at has not."""
    code = "import threading, time; threading.Thread(target=time.sleep, args=[1000]).start()"
    process = worker(python(f"{code}; print(flush=True)"), stdout=PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert not proc.has_stopped(process.pid)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: proc.has_stopped(process.pid), "stopped")
    with open_files_limited(next_fd()), pytest.raises(OSError, match="Too many open files"):
        proc.has_stopped(process.pid)
    process.kill()
    process.wait()
    assert proc.has_stopped(process.pid)


def test_run_time_grows_only_while_a_process_runs(worker: Worker) -> None:
    process = worker(["cat"], stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"?\n")
    process.stdin.flush()
    process.stdout.readline()
    wait_until(lambda: proc.state(process.pid) == "S", "asleep")
    before = proc.run_time_ns(process.pid)
    assert 0 < before == proc.run_time_ns(process.pid)
    process.stdin.write(b"?\n")
    process.stdin.flush()
    wait_until(lambda: proc.run_time_ns(process.pid) > before, "more")
    process.kill()
    process.wait()
    assert proc.run_time_ns(process.pid) == 0
