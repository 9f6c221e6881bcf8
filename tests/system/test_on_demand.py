"""Watchers on demand: the real supervisor, real connections, and none of them lost."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import LIMIT_S, read_all, wait_until
from tests.system.daemon import Daemon, is_gone

Start = Callable[..., Daemon]

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET

#: Accepts, takes its time, answers, closes; no signal is handled.
NAIVE = """
import os, socket, time
server = socket.socket(fileno=3)
server.setblocking(True)
while True:
    connection, _ = server.accept()
    time.sleep(0.002)
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""
#: The same, but on TERM it ends what it has begun, and then itself.
POLITE = """
import os, select, signal, socket, time
server = socket.socket(fileno=3)
server.setblocking(False)
end, told = os.pipe()
os.set_blocking(told, False)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.set_wakeup_fd(told)
while end not in select.select([server, end], [], [])[0]:
    connection, _ = server.accept()
    connection.setblocking(True)
    time.sleep(0.002)
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""
#: Answers one datagram after the other to where it came from.
ECHO = """
import socket
server = socket.socket(fileno=3)
server.setblocking(True)
while True:
    data, peer = server.recvfrom(1000)
    if peer:
        server.sendto(data.upper(), peer)
"""
#: Serves one connection, and has no more to do.
ONCE = """
import os, socket
server = socket.socket(fileno=3)
server.setblocking(True)
connection, _ = server.accept()
connection.sendall(b"%d" % os.getpid())
"""


def program(tmp_path: Path, code: str, name: str = "worker") -> str:
    """Return the command of a worker that starts fast, in TOML."""
    file = tmp_path / f"{name}.py"
    file.write_text(code)
    return json.dumps([sys.executable, "-I", "-S", str(file)])


def web(tmp_path: Path, code: str, options: str = "", *, listen: str = "127.0.0.1:0") -> str:
    return f"""
[sockets.http]
listen = "{listen}"
[watchers.web]
command = {program(tmp_path, code)}
sockets = ["http"]
on_demand = true
{options}
"""


def address(it: Daemon, name: str = "http") -> Any:
    """Return where a socket really listens, as `connect` takes it."""
    text = next(s["address"] for s in it.status()["sockets"] if s["name"] == name)
    if text[0] == "@":
        return "\0" + text[1:]
    if text[0] == "/":
        return text
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def connect(where: Any, kind: socket.SocketKind = STREAM) -> socket.socket:
    family = socket.AF_UNIX
    if not isinstance(where, str):
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    client = socket.socket(family, kind)
    try:
        client.settimeout(LIMIT_S)
        client.connect(where)
    except BaseException:
        client.close()
        raise
    return client


def ask(where: Any) -> int:
    """Return the pid of who serves a connection."""
    with connect(where) as client:
        return int(read_all(client.fileno()))


def state(it: Daemon, name: str = "web") -> str:
    return str(it.status(name)["watchers"][0]["state"])


def await_state(it: Daemon, wanted: str, name: str = "web") -> None:
    wait_until(lambda: state(it, name) == wanted, f"{name} {wanted}: {it.status()}\n{it.log()}")


def serial(it: Daemon, slot: str = "web:0") -> int:
    return int(it.slots()[slot]["serial"])


# --- started


def test_nothing_runs_until_the_first_connection_which_is_served(
    daemon: Start, tmp_path: Path
) -> None:
    it = daemon(web(tmp_path, NAIVE, "workers = 2"))
    assert state(it) == "listening"
    assert it.pids() == {}
    assert it.ctl("status").returncode == 0
    assert "listening 0/2" in it.ctl("status").stdout
    pid = ask(address(it))
    it.await_slots(lambda slots: [s["state"] for s in slots.values()] == ["ready"] * 2)
    assert pid in it.pids().values()
    assert state(it) == "ready"


def test_any_of_them_in_any_order_and_no_other_is_woken(
    daemon: Start, tmp_path: Path, rng: random.Random
) -> None:
    """Of every family and kind."""
    listens = {
        "v4": ("127.0.0.1:0", STREAM),
        "v6": ("[::1]:0", STREAM),
        "path": (str(tmp_path / "path.sock"), STREAM),
        "name": (f"@pidsup-{os.getpid()}-name", STREAM),
        "packets": (f"@pidsup-{os.getpid()}-packets", SEQPACKET),
        "udp": ("127.0.0.1:0", DGRAM),
        "datagrams": (str(tmp_path / "datagrams.sock"), DGRAM),
    }
    kinds = {STREAM: "stream", DGRAM: "datagram", SEQPACKET: "seqpacket"}
    workers = {
        STREAM: program(tmp_path, NAIVE, "naive"),
        SEQPACKET: program(tmp_path, NAIVE, "naive"),
        DGRAM: program(tmp_path, ECHO, "echo"),
    }
    document = "".join(
        f"""
        [sockets.{name}]
        listen = "{listen}"
        type = "{kinds[kind]}"
        [watchers.{name}]
        command = {workers[kind]}
        sockets = ["{name}"]
        on_demand = true
        """
        for name, (listen, kind) in listens.items()
    )
    it = daemon(document)
    order = list(listens)
    rng.shuffle(order)
    for number, name in enumerate(order, 1):
        with connect(address(it, name), listens[name][1]) as client:
            if listens[name][1] is DGRAM:
                client.send(b"wake up")
            else:
                assert client.recv(100)
        await_state(it, "ready", name)
        awake = {slot.partition(":")[0] for slot in it.pids()}
        assert awake == set(order[:number]), it.log()


def test_a_datagram_is_answered_by_the_worker_that_it_started(
    daemon: Start, tmp_path: Path
) -> None:
    document = web(tmp_path, ECHO, 'idle_timeout = "50ms"').replace(
        "[watchers", 'type = "datagram"\n[watchers'
    )
    it = daemon(document)
    for n in range(3):
        with connect(address(it), DGRAM) as client:
            client.send(b"hello")
            assert client.recv(100) == b"HELLO"
        await_state(it, "listening")
        assert serial(it) == n + 1


def test_it_starts_after_what_it_comes_after(daemon: Start, tmp_path: Path) -> None:
    """Listening counts as started: a watcher on demand holds nobody up."""
    document = f"""
    {web(tmp_path, NAIVE)}
    [watchers.after]
    command = ["sleep", "1000"]
    after = ["web"]
    """
    it = daemon(document)
    it.await_slots(lambda slots: slots["after:0"]["state"] == "ready")
    assert state(it) == "listening"


# --- stopped


def test_it_stops_when_it_is_idle_and_says_so(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "100ms"'))
    first = ask(address(it))
    await_state(it, "listening")
    assert is_gone(first)
    slot = it.slots()["web:0"]
    assert (slot["state"], slot["wanted"]) == ("stopped", False)
    assert slot["reason"].startswith("idle for ")
    assert ask(address(it)) != first


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "0", "@pidsup-{pid}", "{tmp}/a.sock"])
def test_it_is_not_idle_while_a_connection_is_open(
    daemon: Start, tmp_path: Path, listen: str
) -> None:
    """Whoever of the tree has it: here a child of the worker, in a session of its own."""
    code = """
import os, socket, time
server = socket.socket(fileno=3)
server.setblocking(True)
connection, _ = server.accept()
if os.fork() == 0:
    os.setsid()
    connection.recv(1)
    os._exit(0)
connection.close()
time.sleep(1000)
"""
    where = listen.format(pid=os.getpid(), tmp=tmp_path)
    it = daemon(web(tmp_path, code, 'idle_timeout = "20ms"', listen=where))
    there = address(it)
    if listen == "0":
        there = ("127.0.0.1", there[1])
    with connect(there):
        await_state(it, "ready")
        time.sleep(0.5)  # to see that nothing happens
        assert state(it) == "ready"
        assert "idle" not in it.log()
    await_state(it, "listening")


def test_what_hangs_in_a_debugger_or_a_stop_is_no_obstacle(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "300ms"'))
    pid = ask(address(it))
    os.kill(pid, signal.SIGSTOP)
    await_state(it, "listening")
    assert is_gone(pid)


def test_a_worker_that_ends_well_by_itself_is_started_by_the_next_connection(
    daemon: Start, tmp_path: Path
) -> None:
    it = daemon(web(tmp_path, ONCE))
    seen = []
    for _ in range(5):
        seen.append(ask(address(it)))
        await_state(it, "listening")
    assert len(set(seen)) == 5
    assert it.slots()["web:0"]["restarts"] == 0


def test_workers_that_leave_the_connection_alone_do_not_keep_a_processor_busy(
    daemon: Start, tmp_path: Path
) -> None:
    """After twenty it rests, and after that it goes on."""
    it = daemon(web(tmp_path, "raise SystemExit(0)"))
    with connect(address(it)):
        wait_until(lambda: "watcher rests" in it.log(), "a rest")
        assert serial(it) == 20
        assert "activated 21 times within 2 s" in it.log()
        assert it.status()["watchers"][0]["state"] == "listening"
        wait_until(lambda: serial(it) > 20, "another activation")
    assert it.log().count("watcher rests") == 1


def test_one_that_fails_is_restarted_and_given_up_and_the_client_waits(
    daemon: Start, tmp_path: Path
) -> None:
    cure = tmp_path / "cure"
    code = f"import os, sys\nif not os.path.exists({str(cure)!r}): sys.exit(3)\n{NAIVE}"
    options = 'start_limit_burst = 2\nrestart_delay = "10ms"\nmin_uptime = "10s"'
    it = daemon(web(tmp_path, code, options))
    with connect(address(it)) as client:
        await_state(it, "failed")
        assert it.slots()["web:0"]["serial"] == 3
        assert it.ctl("status").returncode == 3
        cure.touch()
        assert it.ctl("start", "web").returncode == 0
        pid = int(read_all(client.fileno()))
        it.await_slots(lambda slots: slots["web:0"]["pid"] == pid)


# --- commands


def test_a_start_is_done_once_it_listens(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE, "autostart = false"))
    assert state(it) == "stopped"
    assert it.ctl("start", "web").returncode == 0
    assert state(it) == "listening"


def test_a_restart_of_one_that_listens_is_done_at_once(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE))
    assert it.ctl("restart", "web").returncode == 0
    assert (state(it), it.pids()) == ("listening", {})
    first = ask(address(it))
    assert it.ctl("restart", "web").returncode == 0
    assert ask(address(it)) != first


def test_a_stop_closes_its_ears_until_the_next_start(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE))
    assert it.ctl("stop", "web").returncode == 0
    with connect(address(it)) as client:
        time.sleep(0.1)  # to see that nothing happens
        assert (state(it), it.pids()) == ("stopped", {})
        assert it.ctl("start", "web").returncode == 0
        pid = int(read_all(client.fileno()))
        it.await_slots(lambda slots: slots["web:0"]["pid"] == pid)
    assert it.ctl("stop", "web").returncode == 0
    assert state(it) == "stopped"


def test_one_that_is_started_by_name_stays_until_it_is_stopped(
    daemon: Start, tmp_path: Path
) -> None:
    it = daemon(web(tmp_path, NAIVE, 'workers = 2\nidle_timeout = "20ms"'))
    assert it.ctl("start", "web:1").returncode == 0
    assert [*it.pids()] == ["web:1"]
    pid = ask(address(it))
    time.sleep(0.3)  # to see that nothing happens
    assert it.pids() == {"web:1": pid}
    assert it.ctl("stop", "web:1").returncode == 0
    await_state(it, "listening")
    ask(address(it))
    assert "web:1" not in it.pids()  # it was stopped, and is
    assert it.ctl("start", "web").returncode == 0
    await_state(it, "listening")


def test_a_start_takes_what_was_started_by_name_as_activated(daemon: Start, tmp_path: Path) -> None:
    """It goes on, with what it has in hand, and is stopped when it is idle."""
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "300ms"'))
    assert it.ctl("start", "web:0").returncode == 0
    pids = it.pids()
    assert it.ctl("start", "web").returncode == 0
    assert it.pids() == pids
    await_state(it, "listening")


def test_more_workers_are_wanted_only_when_it_is_active(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE))
    assert it.ctl("scale", "web", "3").returncode == 0
    assert (state(it), it.pids()) == ("listening", {})
    ask(address(it))
    it.await_slots(lambda slots: [s["state"] for s in slots.values()] == ["ready"] * 3)
    assert it.ctl("scale", "web", "0").returncode == 0
    with connect(address(it)):
        time.sleep(0.1)  # to see that nothing happens
        assert it.pids() == {}


def test_explain_says_what_it_waits_for(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "1min"'))
    assert "It is on demand: the next connection to http starts it." in it.ctl("explain").stdout
    with connect(address(it)):
        await_state(it, "ready")
        assert "It is on demand, and was activated by http." in it.ctl("explain", "web").stdout


# --- nothing is lost


def until_started(it: Daemon, times: int, rng: random.Random, longest_s: float) -> Iterator[None]:
    """Yield at random moments until the worker was started so often."""
    limit = time.monotonic() + LIMIT_S + times
    while serial(it) < times:
        assert time.monotonic() < limit, it.log()
        for _ in range(5):
            time.sleep(rng.uniform(0, longest_s))
            yield


@pytest.mark.parametrize("worker", ["naive", "polite"])
@pytest.mark.parametrize("cycles", [25, pytest.param(500, marks=pytest.mark.long)])
def test_no_connection_is_lost_whenever_it_comes(
    daemon: Start, tmp_path: Path, rng: random.Random, worker: str, cycles: int
) -> None:
    """The worker is stopped a moment after each."""
    code = NAIVE if worker == "naive" else POLITE
    it = daemon(web(tmp_path, code, 'idle_timeout = "1ms"'))
    where = address(it)
    for _ in until_started(it, cycles, rng, longest_s=0.15):
        assert ask(where) > 0
    assert "watcher rests" not in it.log()


def test_none_is_lost_by_a_naive_worker_behind_a_shell(
    daemon: Start, tmp_path: Path, rng: random.Random
) -> None:
    """The shell dies of the stop signal; its child must not accept anything meanwhile."""
    inner = json.loads(program(tmp_path, NAIVE))
    command = json.dumps(["/bin/sh", "-c", '"$@"; exit', "sh", *inner])
    document = web(tmp_path, NAIVE, 'idle_timeout = "1ms"')
    it = daemon(document.replace(json.dumps(inner), command))
    where = address(it)
    for _ in until_started(it, 15, rng, longest_s=0.15):
        assert ask(where) > 0


def test_a_flood_of_clients_is_served_through_stops_and_starts(
    daemon: Start, tmp_path: Path, rng: random.Random
) -> None:
    """Several connect at the same moment, then nobody does."""
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "1ms"\nworkers = 3'))
    where = address(it)
    for _ in until_started(it, 20, rng, longest_s=0.1):
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(where)) for _ in range(rng.randrange(1, 20))]
            assert all(int(read_all(client.fileno())) for client in clients)


@pytest.mark.parametrize("moment_s", [0.0, 0.05, 0.06, 0.1, 0.12])
def test_it_shuts_down_at_any_moment(daemon: Start, tmp_path: Path, moment_s: float) -> None:
    it = daemon(web(tmp_path, NAIVE, 'idle_timeout = "1ms"'))
    ask(address(it))
    time.sleep(moment_s)
    it.send(signal.SIGTERM)
    assert it.wait() == 0


def test_idle_watchers_do_not_wake_the_supervisor(daemon: Start, tmp_path: Path) -> None:
    it = daemon(web(tmp_path, NAIVE))
    state(it)

    def switches() -> int:
        text = Path(f"/proc/{it.pid}/status").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)

    def sleeps(for_s: float) -> bool:
        before = switches()
        time.sleep(for_s)
        return switches() == before

    wait_until(lambda: sleeps(0.1), "rest")
    assert sleeps(0.5)


def test_a_server_with_processes_of_its_own_loses_no_request(
    daemon: Start, tmp_path: Path, rng: random.Random
) -> None:
    """gunicorn: the main process passes the stop on to those who accept."""
    (tmp_path / "app.py").write_text(
        "def app(environ, start):\n    start('200 OK', [('Connection', 'close')])\n"
        "    return [b'served']\n"
    )
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--chdir", str(tmp_path)]
    command += ["--no-control-socket", "app:app"]
    document = web(tmp_path, NAIVE, 'idle_timeout = "50ms"').replace(
        program(tmp_path, NAIVE), json.dumps(command)
    )
    it = daemon(document)
    where = address(it)
    for _ in until_started(it, 3, rng, longest_s=0.6):
        with connect(where) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert read_all(client.fileno()).endswith(b"served"), it.log()
