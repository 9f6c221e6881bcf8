"""What processes use: those below a worker, in their order, and none that is somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from signal import SIGKILL
from typing import Any

from pidsup.kernel import LINUX
from pidsup.policy.lifecycle import State
from pidsup.supervisor import stats
from pidsup.supervisor.stats import slot_stats
from tests.supervisor.doubles import slot, watcher
from tests.support import python, sh, wait_until

Popen = Callable[..., "subprocess.Popen[bytes]"]


def child(pid: int) -> Any:
    return type("Child", (), {"roots": [pid], "exit": None, "started_at": LINUX.now() - 2})()


def look(*pids: int) -> tuple[list[Any], int]:
    """Return the statistics of a slot per process, and in how many slices they were made."""
    slots = [slot(f"web:{n}", child=child(pid), restarts=3) for n, pid in enumerate(pids)]
    web = watcher("web", *slots)
    found = list(slot_stats([(web, one) for one in slots], LINUX))
    return [one for one in found if one is not None], found.count(None)


def test_a_worker_comes_first_and_its_descendants_after_their_parents(worker: Popen) -> None:
    script = "sh -c 'sleep 1001; :' & sleep 1002 & wait"
    process = worker(sh(script), start_new_session=True)
    try:
        wait_until(lambda: len(look(process.pid)[0][0]["processes"]) == 4, "tree of four")
        [found], _ = look(process.pid)
    finally:
        os.killpg(process.pid, SIGKILL)
    processes = found["processes"]
    assert processes[0]["pid"] == process.pid
    known = {os.getpid()}
    for one in processes:
        assert one["ppid"] in known
        known.add(one["pid"])
    assert (found["name"], found["state"], found["restarts"], found["others"]) == (
        "web:0",
        "ready",
        3,
        0,
    )
    assert 2 <= found["up_s"] < 60


def test_what_it_has_is_told(worker: Popen) -> None:
    code = "x = bytearray(30_000_000)\nfor i in range(2_000_000): pass\nprint(flush=True); input()"
    process = worker(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    wait_until(lambda: look(process.pid)[0][0]["processes"][0]["state"] == "S", "waits for input")
    [one] = look(process.pid)[0][0]["processes"]
    assert one["command"][0] == sys.executable
    assert one["rss_bytes"] > 30_000_000
    assert one["cpu_s"] > 0
    assert one["threads"] == 1
    assert one["name"].startswith("python")
    assert one["user"]
    assert one["started_at"] > 1_700_000_000


def test_a_slot_without_a_worker_has_nothing() -> None:
    off = slot("web:0", State.STOPPED, restarts=0)
    assert list(slot_stats([(watcher("web", off), off)], LINUX)) == [
        {"name": "web:0", "state": "stopped", "up_s": None, "restarts": 0, "processes": [],
         "others": 0}
    ]  # fmt: skip


def test_one_that_has_gone_meanwhile_is_left_out(worker: Popen) -> None:
    process = worker(["true"])
    process.wait()
    [found], _ = look(process.pid)
    assert found["processes"] == []


def test_a_zombie_is_told_as_one(worker: Popen) -> None:
    process = worker(["true"])
    wait_until(lambda: look(process.pid)[0][0]["processes"][0]["state"] == "Z", "zombie")


def test_a_process_that_is_not_a_child_of_its_parent_any_more_is_not_told() -> None:
    """Its number was given to somebody else between the look at the parent and at it."""
    assert stats._look(stats._Found(os.getpid(), os.getppid())) != []
    assert stats._look(stats._Found(os.getpid(), 1 if os.getppid() != 1 else 2)) == []


def test_many_are_looked_at_in_slices() -> None:
    """So many that one turn takes no longer than a few restarts."""
    found, slices = look(*[os.getpid()] * 50)
    assert len(found) == 50
    assert slices == sum(len(one["processes"]) + one["others"] for one in found) // 16


def test_of_a_crowd_the_first_are_told_and_the_others_counted(worker: Popen) -> None:
    process = worker(sh("for i in $(seq 220); do sleep 1000 & done; echo; wait"),
                     stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    try:
        [found], _ = look(process.pid)
    finally:
        os.killpg(process.pid, SIGKILL)
    assert (len(found["processes"]), found["others"]) == (200, 21)


def test_a_long_command_is_cut() -> None:
    assert stats._bounded(["a", "b" * 10]) == ["a", "b" * 10]
    cut = stats._bounded(["a", "b" * 5000, "c"])
    assert cut == ["a", "b" * 999 + "..."]
