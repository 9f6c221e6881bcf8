"""How it all ends: in order, whatever was under way, and with nothing left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import LIMIT_S, wait_until
from tests.system.daemon import Daemon, elapsed, is_gone

Start = Callable[..., Daemon]
BIN = Path(sys.executable).parent

GRACEFUL = """
    [watchers.graceful]
    command = ["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; echo set; while :; do sleep 0.02; done"]
    """


def lines_with(it: Daemon, text: str) -> list[str]:
    """Return the slots of the log lines that have *text*, in order."""
    return [
        line.split("slot=")[1].split()[0] for line in it.log().splitlines() if f" {text} " in line
    ]


def test_stop_by_command_is_in_reverse_order(daemon: Start) -> None:
    it = daemon("""
        [watchers.db]
        command = "sleep 1000"
        [watchers.web]
        command = ["sh", "-c", "trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.02; done"]
        workers = 2
        after = ["db"]
        """)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    assert it.ctl("stop", "*").returncode == 0
    assert lines_with(it, "worker stopped")[-1] == "db:0"


def test_restart_starts_in_order(daemon: Start) -> None:
    it = daemon("""
        [watchers.db]
        command = ["sh", "-c", "trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.02; done"]
        [watchers.web]
        command = "sleep 1000"
        after = ["db"]
        """)
    it.await_slots(lambda slots: len(it.pids()) == 2)
    assert it.ctl("restart", "*").returncode == 0
    assert lines_with(it, "worker started")[-2:] == ["db:0", "web:0"]


def test_a_chain_of_hundreds_of_watchers_ends(daemon: Start) -> None:
    """Each comes after the one before: no recursion may be as deep."""
    chain = "".join(
        f'[watchers.w{n}]\ncommand = "/nope"\n' + (f'after = ["w{n - 1}"]\n' if n else "")
        for n in range(300)
    )
    it = daemon(chain)
    assert it.ctl("shutdown").returncode == 0
    assert it.wait() == 0


def test_the_first_term_is_no_second_one(daemon: Start) -> None:
    """Though a shutdown is under way already: on_give_up began it."""
    it = daemon(
        GRACEFUL
        + """
        [watchers.flapping]
        command = ["sh", "-c", "sleep 0.3; exit 1"]
        start_limit_burst = 0
        on_give_up = "exit"
        give_up_exit_code = 9
        """
    )
    wait_until(lambda: "shutting down" in it.log(), "given up")
    it.send(signal.SIGTERM)
    assert it.wait() == 9
    assert "how='exited with 0'" in it.log(), "it was left to finish"


def test_shutdown_asked_for_twice_is_one_shutdown(daemon: Start) -> None:
    it = daemon(GRACEFUL)
    wait_until(lambda: "set" in it.log(), "trap set")
    assert it.ctl("shutdown", "--no-wait").returncode == 0
    assert it.ctl("shutdown").returncode == 0
    assert it.wait() == 0
    assert "how='exited with 0'" in it.log()


def test_daemons_that_workers_have_left_behind_end_with_the_supervisor(
    daemon: Start, tmp_path: Path
) -> None:
    """They are in no group of ours, but they are our children since their parents died."""
    pids = tmp_path / "pids"
    it = daemon(f"""
        [watchers.forker]
        command = ["sh", "-c", "setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' & sleep 0.2"]
        restart = "no"
        """)
    it.await_slots(lambda slots: slots["forker:0"]["state"] == "completed")
    left = int(pids.read_text())
    assert not is_gone(left), "it is the point of this test that it has escaped"
    it.send(signal.SIGTERM)
    assert it.wait() == 0
    assert is_gone(left)
    assert f"left behind pid={left} next='TERM sent'" in it.log()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_runs_with_standard_files_closed(tmp_path: Path, closed: str) -> None:
    """Else a socket would get their numbers, and the workers' output."""
    file = tmp_path / f"closed{os.getpid()}.toml"
    file.write_text(
        "[watchers.a]\ncommand = ['sh', '-c', 'echo out; echo err >&2']\nrestart = 'no'\n"
        "[watchers.b]\ncommand = 'false'\nstart_limit_burst = 0\n"
        "on_give_up = 'exit'\ngive_up_exit_code = 7\n"
    )
    command = f"exec {BIN}/pidsup run -c {file} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 7
    assert b"Traceback" not in done.stderr


def test_a_signal_ends_it_while_the_configuration_hangs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen([BIN / "pidsup", "run", "-c", fifo], start_new_session=True)
    try:
        wait_until(lambda: _opens_a_fifo(process.pid), "the reader opens the file")
        begun = time.monotonic()
        process.terminate()
        assert process.wait(LIMIT_S) == 0
        assert elapsed(begun) < LIMIT_S / 2
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a session; its reader too
        process.wait()


def _opens_a_fifo(pid: int) -> bool:
    """Tell whether a child of *pid* waits for somebody to write: open(2) of a FIFO blocks."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any("partner" in Path(f"/proc/{child}/wchan").read_text() for child in children)


def test_output_that_nobody_takes_is_no_traceback(daemon: Start) -> None:
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 5 }")
    it.await_slots(lambda slots: len(it.pids()) == 5)
    ctl = f"{BIN}/pidsupctl -n {it.name} status"
    for how in (f"{ctl} > /dev/full", f"{ctl} | true", f"{ctl} >&-"):
        done = subprocess.run(
            ["sh", "-c", how], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert "Traceback" not in done.stderr, how
