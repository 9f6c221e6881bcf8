"""A process per connection: with the real supervisor, as systemd's Accept=yes has it."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import descriptors, read_all, read_line, wait_until
from tests.system.daemon import Daemon, is_gone
from tests.system.test_on_demand import (
    ONCE,
    SEQPACKET,
    address,
    ask,
    await_state,
    connect,
    program,
    state,
)

Start = Callable[..., Daemon]

#: Says what it knows, once it has been told something.
SESSION = """
import json, os, socket
connection = socket.socket(fileno=3)
word = connection.recv(100).decode()
told = {n: v for n, v in os.environ.items() if n.startswith(("LISTEN", "REMOTE"))}
told["LISTEN_PID"] = int(told["LISTEN_PID"]) == os.getpid()
fds = len(os.listdir("/proc/self/fd")) - 1
blocks = connection.getblocking()
connection.sendall(json.dumps([word, told, fds, blocks]).encode())
"""
#: The same for inetd.
INETD = "read word; echo $REMOTE_ADDR ${REMOTE_PORT:+port} ${LISTEN_FDS-none} got $word"


def session(tmp_path: Path, options: str = "", *, listen: str = "127.0.0.1:0") -> str:
    file = tmp_path / "session.py"
    file.write_text(SESSION)
    return f"""
[sockets.http]
listen = "{listen}"
[watchers.web]
command = {json.dumps([sys.executable, "-I", "-S", str(file)])}
sockets = ["http"]
accept = true
{options}
"""


def inetd(script: str, options: str = "", *, listen: str = "127.0.0.1:0") -> str:
    return f"""
[sockets.http]
listen = "{listen}"
[watchers.web]
command = ["/bin/sh", "-c", {json.dumps(script)}]
stdin_socket = "http"
accept = true
{options}
"""


def talk(client: socket.socket, word: str = "hello") -> Any:
    client.sendall(word.encode())
    return json.loads(read_all(client.fileno()))


def line(client: socket.socket, word: str = "hello") -> str:
    client.sendall(f"{word}\n".encode())
    return read_line(client.fileno()).decode().rstrip()


def slots(it: Daemon) -> list[str]:
    return list(it.slots())


def test_each_connection_has_a_process_which_knows_about_it(daemon: Start, tmp_path: Path) -> None:
    it = daemon(session(tmp_path))
    assert (state(it), slots(it)) == ("listening", [])
    assert "listening 0/64" in it.ctl("status").stdout
    with connect(address(it)) as client:
        port = client.getsockname()[1]
        word, told, fds, blocks = talk(client)
    assert (word, fds, blocks) == ("hello", 4, True)
    assert told == {
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "connection",
        "LISTEN_PID": True,
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
    }
    wait_until(lambda: slots(it) == [], "no slot")
    assert it.ctl("status").returncode == 0


@pytest.mark.parametrize("name", ["", "@pidsup-client-{pid}", "{tmp}/client.sock"])
def test_a_unix_peer_is_named_if_it_has_a_name(daemon: Start, tmp_path: Path, name: str) -> None:
    """As systemd has it in REMOTE_ADDR."""
    it = daemon(session(tmp_path, listen=str(tmp_path / "web.sock")))
    mine = name.format(pid=os.getpid(), tmp=tmp_path)
    with socket.socket(socket.AF_UNIX) as client:
        if mine:
            client.bind("\0" + mine[1:] if mine[0] == "@" else mine)
        client.connect(address(it))
        told = talk(client)[1]
    assert told.get("REMOTE_ADDR", "") == mine
    assert "REMOTE_PORT" not in told


def test_an_ipv4_peer_of_an_ipv6_socket_is_named_as_such(daemon: Start, tmp_path: Path) -> None:
    it = daemon(session(tmp_path, listen="0"))
    with connect(("127.0.0.1", address(it)[1])) as client:
        assert talk(client)[1]["REMOTE_ADDR"] == "127.0.0.1"


def test_connections_of_packets_are_as_good(daemon: Start, tmp_path: Path) -> None:
    document = session(tmp_path, listen=f"@pidsup-{os.getpid()}-accept")
    it = daemon(document.replace("[watchers", 'type = "seqpacket"\n[watchers'))
    with connect(address(it), SEQPACKET) as client:
        client.send(b"hello")
        assert json.loads(client.recv(1000))[0] == "hello"


def test_an_inetd_service_reads_and_writes_the_connection(daemon: Start) -> None:
    """What it says on standard error goes where the file says."""
    it = daemon(inetd(f"{INETD}; echo said >&2"))
    with connect(address(it)) as client:
        assert line(client) == "127.0.0.1 port none got hello"
        assert read_all(client.fileno()) == b""
    wait_until(lambda: "web:0 | said" in it.log(), "standard error")


def test_beyond_the_limit_connections_wait_for_a_place(daemon: Start) -> None:
    it = daemon(inetd(INETD, "workers = 2"))
    where = address(it)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(where)) for _ in range(4)]
        wait_until(lambda: len(it.pids()) == 2, "two")
        time.sleep(0.1)  # to see that nothing happens
        assert slots(it) == ["web:0", "web:1"]
        assert it.status()["sockets"][0]["queued"] == 2
        assert "2 of 2 connections" in it.ctl("explain", "web").stdout
        assert "listening 2/2" in it.ctl("status").stdout
        for client in clients:
            assert line(client).endswith("got hello")
    wait_until(lambda: slots(it) == [], "no slot")


def test_a_process_that_fails_is_reported_and_not_missed(daemon: Start) -> None:
    it = daemon(inetd("exit 7"))
    with connect(address(it)) as client:
        assert read_all(client.fileno()) == b""
    wait_until(lambda: "how='exited with 7'" in it.log(), "the report")
    wait_until(lambda: slots(it) == [], "no slot")
    assert it.ctl("status").returncode == 0


def test_a_connection_without_a_process_is_closed(daemon: Start) -> None:
    document = inetd("").replace('["/bin/sh", "-c", ""]', '["/nowhere/to/be/found"]')
    it = daemon(document)
    with connect(address(it)) as client:
        assert read_all(client.fileno()) == b""
    wait_until(lambda: slots(it) == [], "no slot")
    wait_until(lambda: "cannot start worker" in it.log(), "said")
    assert "No such file or directory" in it.log()


def test_a_stop_takes_no_new_ones_and_ends_those_that_run(daemon: Start) -> None:
    it = daemon(inetd("trap 'echo bye; exit' TERM; echo hi; read x"))
    where = address(it)
    with connect(where) as client:
        assert read_line(client.fileno()) == b"hi\n"
        wait_until(it.pids, "a process")
        pid = it.pids()["web:0"]
        assert it.ctl("stop", "web").returncode == 0
        assert is_gone(pid)
        assert read_all(client.fileno()) == b"bye\n"
    with connect(where) as client:
        time.sleep(0.1)  # to see that nothing happens
        assert (state(it), slots(it)) == ("stopped", [])
        assert it.ctl("start", "web").returncode == 0
        assert read_line(client.fileno()) == b"hi\n"
        assert it.ctl("stop", "web:0").returncode == 0
        assert read_all(client.fileno()) == b"bye\n"
        assert state(it) == "listening"


def test_a_restart_leaves_connections_alone(daemon: Start) -> None:
    """A new one gets a new process anyway."""
    it = daemon(inetd(INETD))
    with connect(address(it)) as client:
        wait_until(it.pids, "a process")
        before = it.pids()
        assert it.ctl("restart", "web").returncode == 0
        assert it.pids() == before
        assert line(client).endswith("got hello")


def test_a_lower_limit_counts_for_new_ones(daemon: Start) -> None:
    it = daemon(inetd(INETD, "workers = 3"))
    where = address(it)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(where)) for _ in range(3)]
        wait_until(lambda: len(it.pids()) == 3, "three")
        assert it.ctl("scale", "web", "1").returncode == 0
        late = stack.enter_context(connect(where))
        assert line(clients[0]).endswith("got hello")
        time.sleep(0.1)  # to see that nothing happens
        assert slots(it) == ["web:1", "web:2"]
        for client in clients[1:]:
            assert line(client).endswith("got hello")
        assert line(late).endswith("got hello")


def test_a_shutdown_ends_them_all(daemon: Start) -> None:
    it = daemon(inetd("read x"))
    with connect(address(it)) as client:
        wait_until(it.pids, "a process")
        it.send(signal.SIGTERM)
        assert it.wait() == 0
        assert read_all(client.fileno()) == b""


def test_hundreds_come_and_go_and_nothing_is_left(
    daemon: Start, tmp_path: Path, rng: random.Random
) -> None:
    it = daemon(inetd(INETD, "workers = 5"), quiet=True)
    where = address(it)
    ask_one(where)
    wait_until(lambda: slots(it) == [], "no slot")
    before = len(descriptors(it.pid))
    left = 200
    while left > 0:
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(where)) for _ in range(rng.randrange(1, 15))]
            left -= len(clients)
            for client in clients:
                if rng.random() < 0.9:
                    assert line(client).endswith("got hello")
                else:
                    client.close()
    wait_until(lambda: slots(it) == [], "no slot")
    assert len(descriptors(it.pid)) == before


def ask_one(where: Any) -> None:
    with connect(where) as client:
        assert line(client).endswith("got hello")


def test_without_a_descriptor_it_waits_for_one(daemon: Start, tmp_path: Path) -> None:
    """And says so; the connection stays in the queue."""
    it = daemon(inetd(INETD, "workers = 100"))
    where = address(it)
    used = max(descriptors(it.pid)) + 1
    soft, hard = resource.prlimit(it.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(it.pid, resource.RLIMIT_NOFILE, (used, hard))
    with connect(where) as client:
        wait_until(lambda: "cannot accept a connection" in it.log(), "said")
        resource.prlimit(it.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert line(client).endswith("got hello")


def test_two_watchers_serve_side_by_side(daemon: Start, tmp_path: Path) -> None:
    """One with a process per connection, one that accepts itself."""
    other = f"""
[sockets.other]
listen = "127.0.0.1:0"
[watchers.other]
command = {program(tmp_path, ONCE)}
sockets = ["other"]
on_demand = true
"""
    it = daemon(inetd(INETD) + other)
    ask_one(address(it))
    assert ask(address(it, "other")) > 0
    await_state(it, "listening", "other")
    ask_one(address(it))
