"""Real workers are kept running, and stopped for good."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pidsup.client import CallFailed
from pidsup.supervisor.table import read
from tests.support import descriptors, needs_root, status, wait_until
from tests.system.daemon import Daemon, is_gone

Start = Callable[..., Daemon]

SLEEPERS = """
    [watchers.web]
    command = ["sleep", "1000"]
    workers = 3
    min_uptime = 0
    """


def test_a_killed_worker_is_replaced_and_the_others_are_not(daemon: Start) -> None:
    it = daemon(SLEEPERS)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    before = it.pids()

    os.kill(before["web:1"], signal.SIGKILL)
    it.await_slots(lambda slots: slots["web:1"]["pid"] not in (None, before["web:1"]))

    after = it.slots()
    assert {name: after[name]["pid"] for name in ("web:0", "web:2")} == {
        name: before[name] for name in ("web:0", "web:2")
    }
    assert after["web:1"]["restarts"] == 1
    last = after["web:1"]["last_exit"]
    assert (last["signal"], last["code"], last["asked_for"]) == ("KILL", None, False)


def test_scaling_leaves_the_other_slots_alone(daemon: Start) -> None:
    it = daemon(SLEEPERS)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    before = it.pids()

    grown = it.ctl("scale", "web", "5")
    more = it.pids()
    shrunk = it.ctl("scale", "web", "-3")
    fewer = it.pids()

    assert grown.returncode == shrunk.returncode == 0
    assert set(more) == {f"web:{n}" for n in range(5)}
    assert {name: more[name] for name in before} == before
    assert fewer == {name: before[name] for name in ("web:0", "web:1")}
    assert it.status("web")["watchers"][0]["workers"] == 2


def test_restart_means_every_worker_started_after_i_asked(daemon: Start) -> None:
    it = daemon(SLEEPERS)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    before = it.pids()

    assert it.ctl("restart", "web").returncode == 0

    after = it.pids()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert all(slot["last_exit"]["asked_for"] for slot in it.slots().values())
    assert all(slot["restarts"] == 0 for slot in it.slots().values())


def test_a_hundred_restarts_at_once_leave_one_copy_per_slot(daemon: Start) -> None:
    """Two copies after concurrent restarts is what others are known for."""
    it = daemon(SLEEPERS)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    for _ in range(100):
        it.client.call("Restart", selectors=["web"], wait=False)
    it.client.call("Restart", selectors=["web"], wait=True)

    assert sorted(it.descendants()) == sorted(it.pids().values())
    assert len(it.pids()) == 3


def test_stop_and_start_of_a_slot_and_of_its_watcher(daemon: Start) -> None:
    it = daemon(SLEEPERS)
    assert it.ctl("stop", "web:1").returncode == 0
    assert set(it.pids()) == {"web:0", "web:2"}
    assert it.ctl("status").returncode == 0, "it is as wanted: nobody wants web:1"
    assert it.ctl("stop", "web").returncode == 0
    assert it.pids() == {}
    assert it.ctl("start", "web").returncode == 0
    assert set(it.pids()) == {"web:0", "web:1", "web:2"}, "a start of the watcher clears web:1"


def test_stop_returns_after_the_kill_not_before(daemon: Start, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    it = daemon(f"""
        [watchers.stubborn]
        command = ["sh", "-c", "trap '' TERM; : > {ready}; while :; do sleep 0.05; done"]
        stop_timeout = "300ms"
        """)
    wait_until(ready.exists, "TERM ignored")
    pid = it.pids()["stubborn:0"]

    assert it.ctl("stop", "stubborn").returncode == 0

    assert is_gone(pid)
    last = it.slots()["stubborn:0"]["last_exit"]
    assert last["signal"] == "KILL"
    assert last["asked_for"]
    assert it.descendants() == []


def test_a_stop_plan_is_followed_step_by_step(daemon: Start, tmp_path: Path) -> None:
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    it = daemon(f"""
        [watchers.a]
        command = ["sh", "-c", '''
            trap 'echo INT >> {seen}' INT
            trap 'echo USR1 >> {seen}' USR1
            trap 'echo TERM >> {seen}; exit 7' TERM
            : > {ready}; while :; do sleep 0.02; done''']
        stop_plan = [
          {{ signal = "INT", timeout = "200ms" }},
          {{ signal = "USR1", timeout = "200ms" }},
          {{ signal = "TERM", timeout = "20s" }},
        ]
        """)
    wait_until(ready.exists, "traps set")

    assert it.ctl("stop", "a").returncode == 0

    assert seen.read_text().split() == ["INT", "USR1", "TERM"]
    assert it.slots()["a:0"]["last_exit"]["code"] == 7


def test_what_a_worker_leaves_behind_in_its_group_goes_with_it(
    daemon: Start, tmp_path: Path
) -> None:
    """Also when nobody asked: the successor starts next to nothing of its predecessor."""
    child = tmp_path / "child"
    it = daemon(f"""
        [watchers.parent]
        command = ["sh", "-c", "sleep 1000 & echo $! > {child}; wait"]
        min_uptime = 0
        """)
    wait_until(lambda: child.exists() and child.read_text().strip(), "grandchild")
    grandchild = int(child.read_text())
    parent = it.pids()["parent:0"]

    os.kill(parent, signal.SIGKILL)
    it.await_slots(lambda slots: slots["parent:0"]["pid"] not in (None, parent))

    assert is_gone(grandchild)


def test_a_descendant_in_a_session_of_its_own_is_stopped_too(daemon: Start, tmp_path: Path) -> None:
    child = tmp_path / "child"
    it = daemon(f"""
        [watchers.parent]
        command = ["sh", "-c", "setsid sh -c 'echo $$ > {child}; exec sleep 1000' & wait"]
        """)
    wait_until(lambda: child.exists() and child.read_text().strip(), "escaped grandchild")
    grandchild = int(child.read_text())

    assert it.ctl("stop", "parent").returncode == 0

    assert is_gone(grandchild)


def test_orphans_are_reaped(daemon: Start) -> None:
    it = daemon("""
        [watchers.forker]
        command = ["sh", "-c", "for i in 1 2 3; do (setsid sleep 0.01 &); done; exec sleep 1000"]
        """)
    wait_until(lambda: it.log().count("orphan reaped") == 3, "three orphans")
    assert it.descendants() == list(it.pids().values())


@pytest.mark.parametrize(
    ("whom", "expected"),
    [("main", ["main"]), ("children", ["child"]), ("all", ["child", "grandchild", "main"])],
)
def test_a_signal_goes_to_whom_it_is_meant_for(
    daemon: Start, tmp_path: Path, whom: str, expected: list[str]
) -> None:
    seen, ready = tmp_path / "seen", tmp_path / "ready"
    seen.touch()
    script = tmp_path / "family.sh"
    script.write_text(f"""
        trap "echo $1 >> {seen}" USR1
        case $1 in
          main) sh {script} child & ;;
          child) setsid sh {script} grandchild & ;;
          grandchild) : > {ready} ;;
        esac
        while :; do sleep 0.02; done
        """)
    it = daemon(f'watchers.family.command = ["sh", "{script}", "main"]')
    wait_until(ready.exists, "the family")

    assert it.ctl("signal", "USR1", "family", "--to", whom).returncode == 0

    wait_until(lambda: len(seen.read_text().split()) >= len(expected), "signals")
    assert sorted(seen.read_text().split()) == expected


def test_watchers_start_in_order_and_stop_in_reverse(daemon: Start) -> None:
    it = daemon("""
        [watchers.web]
        command = "sleep 1000"
        after = ["db"]
        [watchers.db]
        command = "sleep 1000"
        workers = 2
        warmup_delay = "100ms"
        """)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    assert it.ctl("shutdown").returncode == 0
    assert it.wait() == 0

    lines = it.log().splitlines()
    started = [line.split("slot=")[1].split()[0] for line in lines if "worker started" in line]
    stopped = [line.split("slot=")[1].split()[0] for line in lines if "worker stopped" in line]
    assert started == ["db:0", "db:1", "web:0"]
    assert stopped[0] == "web:0"


def test_what_does_not_start_by_itself_waits_for_a_command(daemon: Start) -> None:
    it = daemon("""
        [watchers.job]
        command = "sleep 1000"
        autostart = false
        [watchers.web]
        command = "sleep 1000"
        after = ["job"]
        """)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    assert it.slots()["job:0"]["state"] == "stopped"
    assert it.ctl("start", "job").returncode == 0
    assert it.slots()["job:0"]["state"] == "ready"


def test_with_restart_no_a_worker_completes_or_fails(daemon: Start) -> None:
    it = daemon("""
        [watchers.good]
        command = "true"
        restart = "no"
        [watchers.bad]
        command = ["sh", "-c", "exit 3"]
        restart = "no"
        """)
    it.await_slots(lambda s: (s["good:0"]["state"], s["bad:0"]["state"]) == ("completed", "failed"))
    assert it.slots()["bad:0"]["reason"] == "exited with 3; restart=no"
    assert it.ctl("status").returncode == 3


@pytest.mark.parametrize(("action", "code"), [("exit", 42), ("stop", None), ("stay", None)])
def test_giving_up_does_what_it_says(daemon: Start, action: str, code: int | None) -> None:
    exit_code = "" if code is None else f"give_up_exit_code = {code}"
    it = daemon(f"""
        [watchers.flapping]
        command = "false"
        workers = 2
        restart_delay = "1ms"
        start_limit_burst = 2
        on_give_up = "{action}"
        {exit_code}
        [watchers.other]
        command = "sleep 1000"
        """)
    if code is not None:
        assert it.wait() == code
        return
    it.await_slots(
        lambda s: all(s[f"flapping:{n}"]["state"] in ("failed", "stopped") for n in (0, 1))
    )
    slots = it.slots()
    assert slots["other:0"]["state"] == "ready"
    failed = [name for name, slot in slots.items() if slot["state"] == "failed"]
    assert len(failed) == 2 if action == "stay" else 1 <= len(failed) <= 2
    assert "3 failures within 60 s, start_limit_burst=2" in slots[failed[0]]["reason"]
    assert it.status()["watchers"][0]["running"] == (action == "stay")


@needs_root
def test_user_group_environment_and_output(daemon: Start) -> None:
    """NOTIFY_SOCKET and its like are the supervisor's own; the rest is inherited."""
    it = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "env >&2; echo to nowhere; echo written >&2; exec sleep 1000"]
        user = "nobody"
        group = "daemon"
        working_directory = "/"
        environment = { COLOUR = "green" }
        stdout = "null"
        stderr = "inherit"
        """,
        environment={"NOTIFY_SOCKET": "/run/nope", "LISTEN_FDS": "1", "FRUIT": "plum"},
    )
    wait_until(lambda: "written" in it.log(), "environment written")
    pid = it.pids()["web:0"]
    wait_until(lambda: status(pid)["Name"] == "sleep", "sleep executed")

    for line in ("COLOUR=green", "FRUIT=plum", "USER=nobody"):
        assert line in it.log().splitlines()
    assert "NOTIFY_SOCKET=" not in it.log()
    assert "LISTEN_FDS=" not in it.log()
    assert "to nowhere" not in it.log()
    facts = status(pid)
    assert facts["Uid"].split() == ["65534"] * 4
    assert facts["Gid"].split() == ["1"] * 4
    assert facts["SigBlk"] == facts["SigIgn"] == "0" * 16
    # Until its loader has closed the libraries; what we had leaked would stay.
    wait_until(lambda: set(_own_files(pid)) == {0, 1, 2}, "only standard files are open")
    assert _own_files(pid) == {0: "/dev/null", 1: "/dev/null", 2: str(it.log_file)}
    assert os.getsid(pid) == pid


def test_the_table_says_what_runs(daemon: Start) -> None:
    """Nothing reads it yet but this."""
    it = daemon(SLEEPERS)
    it.await_slots(lambda slots: len(it.pids()) == 3)
    os.kill(it.pids()["web:2"], signal.SIGKILL)
    it.await_slots(lambda slots: slots["web:2"]["restarts"] == 1 and len(it.pids()) == 3)
    it.ctl("scale", "web", "4")
    it.ctl("scale", "web", "3")

    fds = Path(f"/proc/{it.pid}/fd")
    (table,) = [fd for fd in fds.iterdir() if "pidsup-table" in os.readlink(fd)]
    records = read(table.read_bytes())

    assert {f"{r.watcher}:{r.slot}": r.pid for r in records} == it.pids()
    assert {r.slot: r.restarts for r in records} == {0: 0, 1: 0, 2: 1}


def _own_files(pid: int) -> dict[int, str]:
    """Return what it has open, but for what a sanitizer's runtime looks at of itself."""
    found = descriptors(pid)
    return {fd: link for fd, link in found.items() if not link.startswith(f"/proc/{pid}/")}


@pytest.mark.parametrize("option", ["singleton", "foreground"])
def test_what_has_one_worker_at_most_is_not_scaled_beyond(daemon: Start, option: str) -> None:
    it = daemon(f"[watchers.web]\ncommand = 'sleep 1000'\n{option} = true")
    with pytest.raises(CallFailed, match="one worker at most"):
        it.client.call("Scale", selectors=["web"], workers=2)
    it.client.call("Scale", selectors=["web"], workers=0)
    it.client.call("Scale", selectors=["web"], workers=1)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
