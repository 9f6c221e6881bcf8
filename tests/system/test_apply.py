"""The configuration of a running supervisor: what changes, what is left alone, what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pidsup.client import CallFailed, Client
from tests.control.interface import answer_is_declared, error_is_declared
from tests.support import LIMIT_S, needs_root, python, wait_until
from tests.system.daemon import Daemon, elapsed, is_gone

Start = Callable[..., Daemon]

SHOP = """
    [watchers.web]
    command = "sleep 1000"
    workers = 2
    [watchers.db]
    command = "sleep 1001"
    """


def shop(daemon: Start, more: str = "") -> Daemon:
    it = daemon(SHOP + more)
    it.await_slots(
        lambda slots: all(s["state"] == "ready" or not s["wanted"] for s in slots.values())
    )
    return it


def edit(it: Daemon, *replacements: tuple[str, str], add: str = "") -> None:
    """Change the file as somebody with an editor."""
    text = it.file.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    it.file.write_text(text + dedent(add))


def apply(it: Daemon, **parameters: Any) -> Any:
    answer = it.client.call("Apply", **parameters)
    assert answer_is_declared("Apply", answer) == []
    return answer["change"]


def refused(it: Daemon) -> list[str]:
    """Apply what cannot be; return the problems."""
    with pytest.raises(CallFailed) as caught:
        it.client.call("Apply")
    error = caught.value
    assert error.name == "Failed"
    assert error_is_declared(error.name, error.parameters) == []
    return list(error.parameters["change"]["problems"])


def watchers(it: Daemon) -> dict[str, Any]:
    return {watcher["name"]: watcher for watcher in it.status()["watchers"]}


def differences(it: Daemon) -> list[tuple[str, str, str, str]]:
    answer = it.client.call("Diff")
    assert answer_is_declared("Diff", answer) == []
    return [(d["section"], d["name"], d["option"], d["takes"]) for d in answer["differences"]]


def words(pid: int, file: str) -> list[bytes]:
    """Return the arguments, or the environment; they come a moment after execve(2) took effect."""
    path = Path(f"/proc/{pid}/{file}")
    wait_until(path.read_bytes, f"{path} is there")
    return path.read_bytes().rstrip(b"\0").split(b"\0")


# --- what is touched, and what is not


def test_what_is_the_same_is_not_touched(daemon: Start) -> None:
    it = shop(daemon)
    pids = it.pids()
    it.file.write_text("# a comment\n" + it.file.read_text())
    assert differences(it) == []
    assert apply(it)["total"] == 0
    assert it.pids() == pids


def test_a_live_change_takes_effect_under_the_workers_that_run(daemon: Start) -> None:
    """The stop plan of a worker that was started before: it ignores TERM, and goes with INT."""
    it = daemon("""
        [watchers.web]
        command = ["sh", "-c", "trap '' TERM; trap 'exit 7' INT; while :; do sleep 0.05; done"]
        workers = 2
        stop_timeout = "1h"
        """)
    it.await_slots(lambda slots: all(s["state"] == "ready" for s in slots.values()))
    pids = it.pids()
    edit(it, ('"1h"', '"50s"\nstop_signal = "INT"'), ("workers = 2", "workers = 3"))

    change = apply(it)

    assert [task["slot"] for task in change["tasks"]] == ["web:2"]
    assert pids.items() <= it.pids().items()
    it.client.call("Stop", selectors=["web:0"])
    assert it.slots()["web:0"]["last_exit"]["code"] == 7


def test_only_the_watcher_that_needs_it_restarts(daemon: Start) -> None:
    it = shop(daemon)
    before = it.pids()
    edit(it, ("sleep 1000", "sleep 2000"), ("sleep 1001", "sleep 1001'"), ("1001'", "1001"))
    assert differences(it) == [("watchers", "web", "command", "restart")]

    change = apply(it)

    assert (change["state"], change["total"]) == ("done", 2)
    after = it.pids()
    assert after["db:0"] == before["db:0"]
    assert {after["web:0"], after["web:1"]}.isdisjoint(before.values())
    assert watchers(it)["web"]["generation"] == 2
    assert {slot["generation"] for slot in it.slots("web").values()} == {2}
    assert words(after["web:0"], "cmdline") == [b"sleep", b"2000"]


def test_a_new_generation_is_told_its_number(daemon: Start) -> None:
    it = daemon("""
        [watchers.web]
        command = ["sh", "-c", "echo generation {generation}; exec sleep 1000"]
        stdout = "capture"
        """)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    edit(it, ("1000", "2000"))
    apply(it)
    wait_until(lambda: "generation 2" in it.ctl("logs", "-o", "plain", "web").stdout, "said")
    assert it.ctl("logs", "-o", "plain", "web").stdout == "generation 1\ngeneration 2\n"


def test_watchers_come_and_go(daemon: Start) -> None:
    it = shop(daemon)
    db = it.pids()["db:0"]
    edit(
        it,
        ('[watchers.web]\ncommand = "sleep 1000"\nworkers = 2\n', ""),
        add="""
            [watchers.cache]
            command = "sleep 1002"
            after = "db"
            [watchers.later]
            command = "sleep 1003"
            autostart = false
            """,
    )
    change = apply(it)
    assert {task["slot"] for task in change["tasks"]} == {"web:0", "web:1", "cache:0"}
    assert list(watchers(it)) == ["db", "cache", "later"]
    slots = it.slots()
    assert (slots["db:0"]["pid"], slots["cache:0"]["state"]) == (db, "ready")
    assert slots["later:0"]["state"] == "stopped"
    with pytest.raises(CallFailed, match="NoSuchSelector"):
        it.client.call("Start", selectors=["web"])


def test_a_drop_in_and_an_environment_file_count_too(daemon: Start, tmp_path: Path) -> None:
    it = shop(daemon)
    pids = it.pids()
    folder = it.file.with_suffix(".d")
    folder.mkdir()
    (tmp_path / "env").write_text("COLOUR=blue\n")
    (folder / "10-db.toml").write_text('watchers.db.environment_file = "env"')
    apply(it)
    assert it.pids("web") == {name: pid for name, pid in pids.items() if name != "db:0"}
    assert b"COLOUR=blue" in words(it.pids()["db:0"], "environ")
    assert it.status()["files"] == [str(it.file), str(folder / "10-db.toml")]
    (tmp_path / "env").write_text("COLOUR=red\n")
    assert differences(it) == [("watchers", "db", "environment.COLOUR", "restart")]


def test_other_output_takes_effect_with_the_new_worker(daemon: Start, tmp_path: Path) -> None:
    it = daemon(f"""
        [watchers.web]
        command = ["sh", "-c", "echo hello; exec sleep 1000"]
        stdout = "{tmp_path}/one"
        """)
    wait_until(lambda: (tmp_path / "one").exists() and (tmp_path / "one").read_text(), "written")
    edit(it, (f"{tmp_path}/one", f"{tmp_path}/two"))
    apply(it)
    wait_until(lambda: (tmp_path / "two").exists() and (tmp_path / "two").read_text(), "written")
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() == "hello\n"


def test_one_that_has_failed_is_tried_again_as_it_is_now(daemon: Start) -> None:
    it = daemon('[watchers.web]\ncommand = "false"\nrestart = "no"')
    it.await_slots(lambda slots: slots["web:0"]["state"] == "failed")
    edit(it, ('"false"', '"sleep 1000"'))
    apply(it)
    assert it.slots()["web:0"]["state"] == "ready"


def test_one_that_runs_already_and_starts_by_itself_now_is_another_in_the_end(
    daemon: Start,
) -> None:
    it = daemon("""
        [watchers.web]
        command = ["sh", "-c", "trap 'sleep 0.3; exit' TERM; while :; do sleep 0.05; done"]
        autostart = false
        """)
    it.client.call("Start", selectors=["web"])
    pid = it.pids()["web:0"]
    edit(it, ("autostart = false", "autostart = true"), ("0.05", "0.06"))
    assert apply(it)["state"] == "done"
    assert (it.slots()["web:0"]["generation"], is_gone(pid)) == (2, True)


def test_a_shorter_delay_counts_for_those_that_wait(daemon: Start) -> None:
    it = daemon("""
        [watchers.web]
        command = "sleep 1000"
        workers = 2
        warmup_delay = "1h"
        """)
    it.await_slots(lambda slots: slots["web:1"]["state"] == "waiting")
    edit(it, ('"1h"', '"200ms"'))
    apply(it)
    it.await_slots(lambda slots: slots["web:1"]["state"] == "ready")


def test_a_worker_that_says_nothing_any_more_is_not_told_where(
    daemon: Start, tmp_path: Path
) -> None:
    """NOTIFY_SOCKET: some servers close what they inherit, or wait, where it is set."""
    it = daemon("""
        [watchers.web]
        command = ["sh", "-c", "systemd-notify --ready; exec sleep 1000"]
        type = "notify"
        """)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    assert any(word.startswith(b"NOTIFY_SOCKET=") for word in words(it.pids()["web:0"], "environ"))
    edit(it, ('type = "notify"', ""), ("systemd-notify --ready; ", ""))
    apply(it)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    told = words(it.pids()["web:0"], "environ")
    assert not any(word.startswith(b"NOTIFY_SOCKET=") for word in told)


# --- commands and files


def test_what_the_file_changes_wins_and_what_it_does_not_stays_as_commanded(
    daemon: Start,
) -> None:
    it = shop(daemon, '[watchers.off]\ncommand = "sleep 1002"\nautostart = false')
    it.client.call("Scale", selectors=["web"], workers=3)
    it.client.call("Stop", selectors=["db"])
    it.client.call("Start", selectors=["off"])
    edit(it, ("sleep 1000", "sleep 2000"), ("sleep 1001", "sleep 2001"))
    apply(it)
    now = watchers(it)
    assert [(w["workers"], w["running"]) for w in now.values()] == [
        (3, True), (1, False), (1, True),
    ]  # fmt: skip
    assert now["db"]["generation"] == 2

    edit(it, ("workers = 2", "workers = 1"), ("autostart = false", "autostart = true"))
    it.client.call("Stop", selectors=["off"])
    apply(it)
    now = watchers(it)
    assert (now["web"]["workers"], now["off"]["running"]) == (1, True)


def test_an_apply_is_told_what_the_last_one_has_not_achieved(daemon: Start) -> None:
    """So that whoever repeats it, or comes second, is told the truth."""
    it = shop(daemon)
    edit(it, ('"sleep 1000"', '"false"\ntype = "notify"'))
    for _ in range(2):
        with pytest.raises(CallFailed) as caught:
            it.client.call("Apply")
        change = caught.value.parameters["change"]
        assert {task["state"] for task in change["tasks"]} == {"failed"}
        assert change["problems"] == []
    edit(it, ('"false"\ntype = "notify"', '"sleep 1000"'))
    assert apply(it)["state"] == "done"


def test_several_at_once_are_all_told_the_same(daemon: Start) -> None:
    it = shop(daemon)
    edit(it, ("sleep 1000", "sleep 2000"))
    states: list[str] = []

    def ask() -> None:
        with Client(it.socket) as client:
            states.append(client.call("Apply")["change"]["state"])

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert states == ["done"] * 5
    assert watchers(it)["web"]["generation"] == 2


# --- sockets

ECHO = """
    [watchers.{name}]
    command = ["python3", "-c", '''
    import os, socket
    s = socket.socket(fileno=3); s.setblocking(True)
    while True: s.accept()[0].sendall(str(os.getpid()).encode())
    ''']
    sockets = ["{name}"]
    """


def echo(name: str) -> str:
    return dedent(ECHO.format(name=name)).replace("\n    ", "\n")


def ask(address: str) -> int:
    """Connect; return the pid of who answers."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), LIMIT_S) as client:
        return int(client.recv(100))


def addresses(it: Daemon) -> dict[str, str]:
    return {one["name"]: one["address"] for one in it.status()["sockets"]}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_sockets_come_change_and_go(daemon: Start) -> None:
    it = daemon('sockets.a.listen = "127.0.0.1:0"\n' + echo("a"))
    pid, first = it.pids()["a:0"], addresses(it)["a"]
    assert ask(first) == pid

    edit(it, add='[sockets.b]\nlisten = "127.0.0.1:0"\n' + echo("b"))
    apply(it)
    assert (ask(first), ask(addresses(it)["b"])) == (pid, it.pids()["b:0"])

    port = free_port()
    edit(it, ('a.listen = "127.0.0.1:0"', f'a.listen = "127.0.0.1:{port}"'))
    other = it.pids()["b:0"]
    apply(it)
    assert it.pids()["b:0"] == other
    assert ask(f"127.0.0.1:{port}") == it.pids()["a:0"] != pid
    with pytest.raises(ConnectionRefusedError):
        ask(first)

    b = addresses(it)["b"]
    it.file.write_text(it.file.read_text().partition("[sockets.b]")[0])
    apply(it)
    assert list(addresses(it)) == ["a"]
    with pytest.raises(ConnectionRefusedError):
        ask(b)


def test_the_backlog_changes_under_the_workers(daemon: Start) -> None:
    it = daemon('sockets.a.listen = "127.0.0.1:0"\n' + echo("a"))
    pids, first = it.pids(), addresses(it)
    edit(it, ('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:0"\nsockets.a.backlog = 7'))
    apply(it)
    assert (it.pids(), addresses(it)) == (pids, first)
    assert it.status()["sockets"][0]["backlog"] == 7


def test_an_address_can_grow(daemon: Start) -> None:
    """From one address to all of them, though the one is still held while the other opens."""
    port = free_port()
    it = daemon(f'sockets.a.listen = "127.0.0.1:{port}"\n' + echo("a"))
    edit(it, (f'"127.0.0.1:{port}"', f'"{port}"'))
    apply(it)
    assert ask(f"127.0.0.2:{port}") == it.pids()["a:0"]


# --- what cannot be


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("workers = 2", "wrkers = 2", r":4: watchers.web.wrkers: unknown option, did you mean"),
        ("workers = 2", "workers = 2\n[", r"not valid TOML"),
        ("sleep 1000", "/nope/sleep", r"watchers.web.command: .*'/nope/sleep'"),
        ("[watchers.web]", '[supervisor]\nname = "other"\n[watchers.web]',
         r'supervisor.name cannot change from ".*" to "other" while the supervisor runs'),
        ("[watchers.web]", '[sockets.a]\nlisten = "127.0.0.1:{port}"\n[watchers.web]',
         r"cannot listen on 127.0.0.1:\d+ \(sockets.a\): Address already in use by pid"),
    ],
)  # fmt: skip
def test_what_cannot_be_changes_nothing(daemon: Start, old: str, new: str, problem: str) -> None:
    """Not even what could be: a watcher that is new, one that is another."""
    it = shop(daemon)
    before = it.status()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        new = new.replace("{port}", str(taken.getsockname()[1]))
        edit(
            it,
            (old, new),
            ("sleep 1001", "sleep 2001"),
            add='[watchers.more]\ncommand = "sleep 1"',
        )
        problems = refused(it)
        said = it.ctl("apply")
    assert re.search(problem, "\n".join(problems))
    assert said.returncode == 1
    assert re.search(problem, said.stderr)
    assert re.search("cannot apply change=", it.log())
    after = it.status()
    for each in (before, after):
        del each["up_s"], each["read_s"]
        for watcher in each["watchers"]:
            for slot in watcher["slots"]:
                del slot["for_s"], slot["up_s"]
    assert after == before


def test_a_socket_of_systemds_stays_as_it_is(daemon: Start, tmp_path: Path) -> None:
    activate = [sys.executable, str(Path(__file__).with_name("activate.py"))]
    it = daemon(
        f"""
        [sockets.http]
        listen = "{tmp_path}/s"
        systemd = "http"
        [watchers.web]
        command = "sleep 1000"
        sockets = "http"
        """,
        prefix=[*activate, f"http={tmp_path}/s", "--"],
    )
    pids = it.pids()
    edit(it, (f'"{tmp_path}/s"', '"/run/other"'))
    (problem,) = refused(it)
    assert problem.startswith("sockets.http.listen cannot change from ")
    assert f"it is systemd's socket: pidsup install-units {it.file}, then stop" in problem
    said = it.ctl("diff")
    assert said.returncode == 1
    assert "(is systemd's: its unit says that" in said.stdout
    assert it.ctl("apply", "--dry-run").returncode == 1
    assert it.pids() == pids
    edit(it, ('systemd = "http"', 'systemd = "http"\nbacklog = 7'), ("/run/other", f"{tmp_path}/s"))
    assert refused(it)[0].startswith("sockets.http.backlog cannot change")
    edit(it, ("backlog = 7", ""))
    assert apply(it)["state"] == "done"


def test_a_file_that_is_gone_changes_nothing(daemon: Start) -> None:
    it = shop(daemon)
    it.file.unlink()
    assert "cannot read the configuration: No such file" in refused(it)[0]


def test_dry_run_says_what_would_be(daemon: Start) -> None:
    it = shop(daemon)
    pids = it.pids()
    assert (it.ctl("diff").returncode, it.ctl("apply", "--dry-run").returncode) == (0, 0)
    edit(it, ("sleep 1000", "sleep 2000"))
    said = it.ctl("diff")
    assert (said.returncode, said.stdout) == (
        1,
        '~ watchers.web.command: ["sleep", "1000"] -> ["sleep", "2000"]  (restarts web)\n',
    )
    dry = it.ctl("apply", "--dry-run", "-o", "json")
    assert (dry.returncode, len(json.loads(dry.stdout)["differences"])) == (0, 1)
    assert it.pids() == pids
    edit(it, ("workers", "wrkers"))
    assert (it.ctl("diff").returncode, it.ctl("apply", "--dry-run").returncode) == (2, 1)


# --- in the midst of other things


def test_hangup_applies_and_is_passed_on(daemon: Start, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    it = shop(daemon, f"""
        [watchers.ear]
        command = ["sh", "-c", "trap 'echo >> {heard}' HUP; while :; do sleep 0.05; done"]
        forward_signals = "HUP"
        """)  # fmt: skip
    ear = it.pids()["ear:0"]
    edit(it, ("workers = 2", "workers = 3"))
    it.send(signal.SIGHUP)
    wait_until(lambda: watchers(it)["web"]["workers"] == 3, "applied")
    wait_until(heard.exists, "passed on")
    assert it.pids()["ear:0"] == ear
    (change,) = it.client.call("Changes")["changes"]
    assert (change["kind"], change["actor"]["comm"]) == ("apply", "signal HUP")
    assert change["actor"]["pid"] == os.getpid()


def test_a_watcher_is_removed_in_the_midst_of_its_start(daemon: Start) -> None:
    """Waiting for another, about to be ready, in backoff: it goes."""
    more = """
        [watchers.slow]
        command = "sleep 1000"
        type = "notify"
        [watchers.waits]
        command = "sleep 1000"
        after = "slow"
        [watchers.crashes]
        command = "false"
        restart_delay = "1h"
        restart_max_delay = "1h"
        """
    it = daemon(SHOP + more)
    states = {"slow:0": "starting", "waits:0": "waiting", "crashes:0": "backoff"}
    it.await_slots(
        lambda slots: states.items() <= {n: s["state"] for n, s in slots.items()}.items()
    )
    pid = it.pids()["slow:0"]
    it.file.write_text(dedent(SHOP))
    assert apply(it)["state"] == "done"
    assert list(watchers(it)) == ["web", "db"]
    assert is_gone(pid)


def test_one_that_is_on_its_way_out_can_come_back(daemon: Start) -> None:
    it = shop(daemon, """
        [watchers.stubborn]
        command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]
        stop_timeout = "1s"
        """)  # fmt: skip
    text = it.file.read_text()
    first = it.pids()["stubborn:0"]
    it.file.write_text(dedent(SHOP))
    leaving = apply(it, wait=False)
    wait_until(lambda: it.slots()["stubborn:0"]["state"] == "stopping", "on its way out")
    with pytest.raises(CallFailed, match="NoSuchSelector"):
        it.client.call("Start", selectors=["stubborn"])

    it.file.write_text(text)
    assert apply(it)["state"] == "done"

    assert it.slots()["stubborn:0"]["state"] == "ready"
    assert it.pids()["stubborn:0"] != first
    (gone,) = it.client.call("Changes", ids=[leaving["id"]])["changes"]
    assert gone["state"] == "superseded"


def test_commands_and_applies_do_not_get_into_each_others_way(daemon: Start) -> None:
    """In a storm of both; afterwards all is as the file says and nobody waits."""
    it = shop(daemon)
    texts = [
        it.file.read_text().replace("workers = 2", f"workers = {n % 4}")
        .replace("sleep 1001", f"sleep {1001 + n % 3}")
        + f'\n[watchers.w{n % 5}]\ncommand = "sleep 1000"\n'
        for n in range(15)
    ]  # fmt: skip
    over = threading.Event()

    def steer() -> None:
        with Client(it.socket) as client:
            for n in range(10_000):
                if over.is_set():
                    return
                method = ("Restart", "Stop", "Start", "Restart")[n % 4]
                client.call(method, selectors=["*"], wait=False)

    thread = threading.Thread(target=steer)
    thread.start()
    try:
        for text in texts:
            it.file.write_text(text)
            apply(it, wait=False)
    finally:
        over.set()
        thread.join(LIMIT_S)
    it.client.call("Start", selectors=["*"])
    wait_until(lambda: differences(it) == [], "in force")
    it.await_slots(lambda slots: all(s["state"] == "ready" for s in slots.values()))
    assert list(watchers(it)) == ["web", "db", "w4"]
    assert it.status()["changes"] == []


def test_a_shutdown_does_not_wait_for_a_file_that_hangs(daemon: Start, tmp_path: Path) -> None:
    """Who has asked is told by what it was superseded; the process that reads is killed."""
    it = shop(daemon)
    os.mkfifo(tmp_path / "env")
    edit(it, ("[watchers.db]", '[watchers.db]\nenvironment_file = "env"'))
    apply(it, wait=False)
    wait_until(lambda: len(it.descendants()) == 4, "reads")
    with Client(it.socket) as client:
        waiting = client.stream("Apply")
        assert next(waiting)["change"]["state"] == "doing"
        began_at = time.monotonic()
        it.send(signal.SIGTERM)
        with pytest.raises(CallFailed, match="Superseded"):
            next(waiting)
    assert it.wait() == 0
    assert elapsed(began_at) < LIMIT_S / 2
    assert "left behind" not in it.log()


NOBODY = """
import os, sys
from pidsup.client import CallFailed, Client
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
client = Client(sys.argv[1])
for _ in sys.stdin:
    try:
        print(client.call("Status")["role"], flush=True)
    except CallFailed as error:
        print(error.name, flush=True)
"""


@needs_root
def test_roles_are_given_and_taken_to_those_who_are_connected(
    daemon: Start, worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    it = shop(daemon, '[control]\nread = ["@nobody-at-all"]')
    nobody = worker(python(NOBODY, it.socket), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def role() -> str:
        assert nobody.stdin is not None
        assert nobody.stdout is not None
        nobody.stdin.write(b"\n")
        nobody.stdin.flush()
        return nobody.stdout.readline().decode().strip()

    assert role() == "Denied"
    for members, expected in (('"65534"', "read"), ("", "Denied")):
        edit(it, (re.findall(r"read = \[.*\]", it.file.read_text())[0], f"read = [{members}]"))
        apply(it)
        assert role() == expected
    assert os.stat(it.socket).st_mode & 0o777 == 0o600


def test_the_level_of_the_log_changes(daemon: Start) -> None:
    it = shop(daemon, '[supervisor]\nlog_level = "error"')
    it.client.call("Restart", selectors=["db"])
    assert "worker started" not in it.log()
    edit(it, ('"error"', '"info"'))
    apply(it)
    it.client.call("Restart", selectors=["db"])
    wait_until(lambda: "worker started slot=db:0" in it.log(), "said")


def test_two_hundred_watchers_are_applied_fast(daemon: Start) -> None:
    """Reading takes most of it, and meanwhile the supervisor answers others."""
    many = "".join(f'[watchers.w{n}]\ncommand = "sleep 1000"\n' for n in range(200))
    it = daemon(many)
    it.await_slots(lambda slots: all(s["state"] == "ready" for s in slots.values()))
    pids = it.pids()
    edit(it, ('w7]\ncommand = "sleep 1000"', 'w7]\ncommand = "sleep 2000"'))
    began_at = time.monotonic()
    change = apply(it)
    took_s = elapsed(began_at)
    assert [task["slot"] for task in change["tasks"]] == ["w7:0"]
    del pids["w7:0"]
    assert pids.items() <= it.pids().items()
    assert took_s < 5
    print(f"applied in {took_s:.2f} s")  # noqa: T201  shown by -s


# --- watchers on demand


def test_watchers_on_demand_listen_on_as_they_are_now(daemon: Start) -> None:
    """Nobody is woken; another address is listened on; on demand comes, and goes."""
    it = daemon('sockets.a.listen = "127.0.0.1:0"\n' + echo("a") + "on_demand = true\n")
    first = addresses(it)["a"]
    port = free_port()
    edit(it, ("127.0.0.1:0", f"127.0.0.1:{port}"))
    apply(it)
    assert watchers(it)["a"]["state"] == "listening"
    with pytest.raises(ConnectionRefusedError):
        ask(first)

    assert ask(f"127.0.0.1:{port}") == it.pids()["a:0"]

    pid = it.pids()["a:0"]
    edit(it, ("on_demand = true", "on_demand = false"))
    apply(it)
    assert ask(f"127.0.0.1:{port}") == it.pids()["a:0"] != pid

    edit(it, ("on_demand = false", "on_demand = true"))
    apply(it)
    it.await_slots(lambda slots: slots["a:0"]["state"] == "ready" or not slots["a:0"]["wanted"])
    assert ask(f"127.0.0.1:{port}") == it.pids()["a:0"]

    it.file.write_text('[watchers.other]\ncommand = "sleep 1000"\n')
    apply(it)
    assert list(watchers(it)) == ["other"]
    with pytest.raises(ConnectionRefusedError):
        ask(f"127.0.0.1:{port}")


def test_one_that_was_never_to_stop_stops_when_it_is_idle_now(daemon: Start) -> None:
    it = daemon('sockets.a.listen = "127.0.0.1:0"\n' + echo("a") + "on_demand = true\n")
    assert ask(addresses(it)["a"]) == it.pids()["a:0"]
    edit(it, ("on_demand = true", 'on_demand = true\nidle_timeout = "100ms"'))
    apply(it)
    wait_until(lambda: watchers(it)["a"]["state"] == "listening", "idle")


def test_one_that_listens_goes_with_its_socket(daemon: Start) -> None:
    it = daemon('sockets.a.listen = "127.0.0.1:0"\n' + echo("a") + "on_demand = true\n")
    text = it.file.read_text()
    for _ in range(2):
        it.file.write_text('[watchers.other]\ncommand = "sleep 1000"\n')
        apply(it)
        assert (list(watchers(it)), it.status()["sockets"]) == (["other"], [])
        it.file.write_text(text)
        apply(it)
        assert watchers(it)["a"]["state"] == "listening"
    assert ask(addresses(it)["a"]) == it.pids()["a:0"]


def test_a_connection_keeps_its_process_and_the_next_has_the_new(daemon: Start) -> None:
    it = daemon("""
        sockets.a.listen = "127.0.0.1:0"
        [watchers.a]
        command = ["sh", "-c", "echo one; read line"]
        stdin_socket = "a"
        accept = true
        """)

    host, _, port = addresses(it)["a"].rpartition(":")
    with socket.create_connection((host, int(port)), LIMIT_S) as old:
        assert old.recv(100) == b"one\n"
        edit(it, ("echo one", "echo two"))
        apply(it)
        with socket.create_connection((host, int(port)), LIMIT_S) as new:
            assert new.recv(100) == b"two\n"
        old.sendall(b"bye\n")
        assert old.recv(100) == b""


def test_accept_comes_and_goes(daemon: Start) -> None:
    """What ran before has no connection to end with, and would take the places of those."""
    it = daemon("""
        sockets.a.listen = "127.0.0.1:0"
        [watchers.a]
        command = ["sh", "-c", "echo hello; exec sleep 1000"]
        stdin_socket = "a"
        workers = 2
        """)
    it.await_slots(lambda slots: all(s["state"] == "ready" for s in slots.values()))
    host, _, port = addresses(it)["a"].rpartition(":")
    before = it.pids()

    edit(it, ("workers", "accept = true\nworkers"))
    assert apply(it)["total"] == 2
    assert it.slots() == {}
    with socket.create_connection((host, int(port)), LIMIT_S) as client:
        assert client.recv(100) == b"hello\n"

    edit(it, ("accept = true", ""))
    apply(it)
    assert [slot["state"] for slot in it.slots().values()] == ["ready", "ready"]
    assert set(it.pids().values()).isdisjoint(before.values())
