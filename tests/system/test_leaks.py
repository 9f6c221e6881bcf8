"""Restarts leave nothing behind: memory, descriptors and table are as they were."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pidsup.supervisor.table import Record, read
from tests.support import wait_until
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

WORKERS = 4
WARM_UP = 500  # restarts after which memory has found its size
CEILING_KB = 1024  # of growth, for a heap that is never quite still


def restarts_leave_no_trace(daemon: Start, count: int, limit_s: float) -> None:
    """Let workers end at once *count* times, and compare before and after."""
    it = daemon(
        f"""
        [watchers.flapping]
        command = "true"
        workers = {WORKERS}
        min_uptime = 0
        """,
        quiet=True,
    )

    def restarts() -> int:
        return sum(int(slot["restarts"]) for slot in it.slots().values())

    wait_until(lambda: restarts() >= WARM_UP, "warm", limit_s, 0.05)
    before = it.rss_kb()
    wait_until(lambda: restarts() >= WARM_UP + count, f"{count} restarts", limit_s, 0.05)
    assert not it.has_grown(before, CEILING_KB)
    assert it.ctl("stop", "flapping").returncode == 0

    fds = [os.readlink(fd) for fd in Path(f"/proc/{it.pid}/fd").iterdir()]
    assert not [link for link in fds if "pidfd" in link]
    pipes = [link for link in fds if link.startswith("pipe:")]
    assert len(pipes) == 4 * WORKERS, "both ends of stdout and stderr of each slot"
    assert len(fds) - len(pipes) < 25, fds
    assert it.descendants() == []
    records = _table(it)
    assert len(records) == WORKERS
    assert {record.pid for record in records} == {0}


def test_two_thousand_restarts_leave_no_trace(daemon: Start) -> None:
    restarts_leave_no_trace(daemon, 2_000, 60)


@pytest.mark.long
def test_a_million_restarts_leave_no_trace(daemon: Start) -> None:
    restarts_leave_no_trace(daemon, 1_000_000, 7200)


def _table(it: Daemon) -> list[Record]:
    for fd in Path(f"/proc/{it.pid}/fd").iterdir():
        if "pidsup-table" in os.readlink(fd):
            return read(fd.read_bytes())
    raise AssertionError("no table")
