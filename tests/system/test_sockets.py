"""Real workers are given listening sockets, by a real supervisor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import LIMIT_S, descriptors, read_all, wait_until
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

#: Answers each connection with what it knows about itself and its sockets.
SERVER = """
import json, os, socket, sys
number = int(sys.argv[1])
server = socket.socket(fileno=number)
server.setblocking(True)
told = {name: value for name, value in os.environ.items() if name.startswith("LISTEN")}
while True:
    connection, _ = server.accept()
    answer = {"pid": os.getpid(), "told": told, "argument": number}
    connection.sendall(json.dumps(answer).encode())
    connection.close()
"""


def document(tmp_path: Path, listen: str, watcher: str, **socket_options: object) -> str:
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    options = "\n".join(f"{k} = {json.dumps(v)}" for k, v in socket_options.items())
    return f"""
[sockets.http]
listen = "{listen}"
{options}

[watchers.web]
command = ["{sys.executable}", "{program}", "{{sockets.http}}"]
min_uptime = 0
{watcher}
"""


def ask(family: int, address: Any) -> Any:
    with socket.socket(family) as client:
        client.settimeout(LIMIT_S)
        client.connect(address)
        return json.loads(read_all(client.fileno()))


def listening(it: Daemon, name: str = "http") -> tuple[str, int]:
    """Return where a socket really listens, as the status has it."""
    facts = {each["name"]: each for each in it.status()["sockets"]}
    host, _, port = facts[name]["address"].rpartition(":")
    return host.strip("[]"), int(port)


def test_two_workers_accept_on_one_socket(daemon: Start, tmp_path: Path) -> None:
    """Port 0 is a real one in the status."""
    it = daemon(document(tmp_path, "127.0.0.1:0", 'sockets = ["http"]\nworkers = 2'))
    address = listening(it)
    assert address[1] > 0
    it.await_slots(lambda slots: len(it.pids()) == 2)
    seen: set[int] = set()

    def both() -> bool:
        seen.add(ask(socket.AF_INET, address)["pid"])
        return seen == set(it.pids().values())

    wait_until(both, "an answer of each")


def test_each_worker_is_told_of_its_sockets(daemon: Start, tmp_path: Path) -> None:
    """LISTEN_PID is its own, and its successor's is that one's."""
    it = daemon(document(tmp_path, f"{tmp_path}/s", 'sockets = ["http"]'))
    first = ask(socket.AF_UNIX, f"{tmp_path}/s")
    assert first["pid"] == it.pids()["web:0"]
    assert first["argument"] == 3
    assert first["told"] == {
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "http",
        "LISTEN_PID": str(first["pid"]),
    }

    os.kill(first["pid"], signal.SIGKILL)
    it.await_slots(lambda slots: slots["web:0"]["pid"] not in (None, first["pid"]))
    second = ask(socket.AF_UNIX, f"{tmp_path}/s")

    assert second["pid"] != first["pid"]
    assert second["told"]["LISTEN_PID"] == str(second["pid"])


def test_a_connection_waits_for_a_worker(daemon: Start, tmp_path: Path) -> None:
    """The supervisor holds the socket while nobody runs, and counts who waits."""
    it = daemon(document(tmp_path, "127.0.0.1:0", 'sockets = ["http"]\nautostart = false'))
    with socket.create_connection(listening(it), LIMIT_S) as client:
        client.settimeout(LIMIT_S)
        [facts] = it.status()["sockets"]
        assert facts["queued"] == 1
        assert it.ctl("start", "web").returncode == 0
        answer = json.loads(read_all(client.fileno()))
    assert answer["pid"] == it.pids()["web:0"]


def test_only_watchers_that_name_a_socket_get_it(daemon: Start, tmp_path: Path) -> None:
    """The others have their three descriptors and no variable."""
    it = daemon(
        document(tmp_path, "127.0.0.1:0", 'sockets = ["http"]')
        + '\n[watchers.other]\ncommand = ["sleep", "1000"]\n'
    )
    it.await_slots(lambda slots: len(it.pids()) == 2)
    pid = it.pids()["other:0"]
    assert set(descriptors(pid)) == {0, 1, 2}
    assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
    [facts] = it.status()["sockets"]
    assert facts["watchers"] == ["web"]


def test_a_socket_as_stdin(daemon: Start, tmp_path: Path) -> None:
    """As inetd starts a program, with wait."""
    it = daemon(document(tmp_path, "127.0.0.1:0", 'stdin_socket = "http"'))
    answer = ask(socket.AF_INET, listening(it))
    assert (answer["argument"], answer["told"]) == (0, {})
    assert set(descriptors(answer["pid"])) >= {0, 1, 2}


def test_several_sockets_come_in_the_order_of_the_watcher(daemon: Start, tmp_path: Path) -> None:
    """Of any kind, two of them here without a connection to accept."""
    daemon(
        document(tmp_path, f"{tmp_path}/s", 'sockets = ["dns", "http", "log"]')
        + f"""
[sockets.dns]
listen = "127.0.0.1:0"
type = "datagram"

[sockets.log]
listen = "@{tmp_path}/log"
type = "seqpacket"
"""
    )
    answer = ask(socket.AF_UNIX, f"{tmp_path}/s")
    assert answer["argument"] == 4
    assert answer["told"]["LISTEN_FDNAMES"] == "dns:http:log"
    assert answer["told"]["LISTEN_FDS"] == "3"


def test_options_are_seen_by_the_worker(daemon: Start, tmp_path: Path) -> None:
    """Through its own descriptor."""
    program = tmp_path / "options.py"
    program.write_text(
        "import os, socket, sys\n"
        "s = socket.socket(fileno=3)\n"
        "print(os.get_blocking(3), s.getsockopt(1, socket.SO_REUSEPORT),"
        " s.getsockopt(1, socket.SO_KEEPALIVE), s.getsockopt(6, socket.TCP_NODELAY),"
        " s.getsockopt(1, socket.SO_RCVBUF), file=open(sys.argv[1], 'w'))\n"
    )
    seen = tmp_path / "seen"
    it = daemon(f"""
        [sockets.http]
        listen = "127.0.0.1:0"
        blocking = true
        reuse_port = true
        keepalive = true
        nodelay = true
        receive_buffer = "64K"

        [watchers.web]
        command = ["{sys.executable}", "{program}", "{seen}"]
        sockets = ["http"]
        restart = "no"
        """)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "completed")
    assert seen.read_text().split() == ["True", "1", "1", "1", str(2 * 65536)]


# --- paths


def test_a_path_is_there_from_the_first_to_the_last_moment(daemon: Start, tmp_path: Path) -> None:
    """One that was left over is taken over."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    it = daemon(document(tmp_path, str(path), 'sockets = ["http"]', mode="0640"))
    assert path.stat().st_mode & 0o7777 == 0o640
    assert ask(socket.AF_UNIX, str(path))["pid"] == it.pids()["web:0"]
    assert it.ctl("shutdown").returncode == 0
    assert it.wait() == 0
    assert not path.exists()


# --- what cannot be opened


@pytest.mark.parametrize("kind", ["port", "path"])
def test_who_has_the_address_is_named_and_nothing_is_started(tmp_path: Path, kind: str) -> None:
    """The whole configuration or nothing: exit code 1, and no socket of it is left."""
    marker, path = tmp_path / "started", tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listen = f"127.0.0.1:{ours.getsockname()[1]}" if kind == "port" else str(path)
        file = tmp_path / "busy.toml"
        file.write_text(f"""
[sockets.first]
listen = "{tmp_path}/first"
[sockets.http]
listen = "{listen}"
[watchers.web]
command = ["touch", "{marker}"]
sockets = ["http"]
""")
        done = subprocess.run(
            [Path(sys.executable).parent / "pidsup", "run", "-c", file],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    name = Path("/proc/self/comm").read_text().rstrip("\n")
    assert done.returncode == 1
    assert (
        f"cannot listen on {listen} (sockets.http): "
        f"Address already in use by pid {os.getpid()} ({name})\n"
    ) in done.stderr
    assert not marker.exists()
    assert not (tmp_path / "first").exists()
    assert path.exists()
