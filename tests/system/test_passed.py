"""The real program takes sockets as systemd passes them, or says why it cannot."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import LIMIT_S, descriptors, read_all
from tests.system import activate
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

ACTIVATE = [sys.executable, activate.__file__]
PIDSUP = str(Path(sys.executable).parent / "pidsup")

#: Answers each connection with what it was told of its sockets.
SERVER = """
import os, socket
server = socket.socket(fileno=3)
server.setblocking(True)
while True:
    connection, _ = server.accept()
    connection.sendall(f"{os.environ['LISTEN_FDNAMES']} {os.getpid()}".encode())
    connection.close()
"""

WEB = f"""
command = ["{sys.executable}", "-c", '''{SERVER}''']
sockets = ["http"]
"""


def ask(path: str) -> list[str]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT_S)
        client.connect(path)
        return read_all(client.fileno()).decode().split()


def test_a_worker_serves_on_what_systemd_has_passed(daemon: Start, tmp_path: Path) -> None:
    """It has the name of the configuration for it; whoever names no socket gets none."""
    path = f"{tmp_path}/s"
    it = daemon(
        f"""
        [sockets.http]
        systemd = "web:1"
        [sockets.admin]
        systemd = "web:0"
        listen = "127.0.0.1:1"
        type = "datagram"
        [watchers.web]
        {WEB}
        [watchers.other]
        command = "sleep 1000"
        [watchers.third]
        command = "sleep 1000"
        stdin_socket = "admin"
        """.replace("\n        ", "\n"),
        prefix=[*ACTIVATE, "web=udp", f"web={path}", "--"],
    )
    it.await_slots(lambda slots: all(one["state"] == "ready" for one in slots.values()))
    assert ask(path) == ["http", str(it.pids()["web:0"])]
    http, admin = sorted(it.status()["sockets"], key=lambda one: str(one["listen"]))
    assert (http["name"], http["address"], http["listen"]) == ("http", path, "")
    assert (admin["name"], admin["type"], admin["systemd"]) == ("admin", "datagram", "web:0")
    assert sorted(descriptors(it.pids()["other:0"])) == [0, 1, 2]
    assert f"It has the socket http, {path}, systemd's 'web:1'; " in it.ctl("explain", "web").stdout
    assert f"http={path} from systemd queue 0/" in it.ctl("status", "web").stdout


def test_the_path_of_a_socket_of_systemd_stays(daemon: Start, tmp_path: Path) -> None:
    path = tmp_path / "s"
    it = daemon(
        f'[sockets.http]\nsystemd = "http"\n[watchers.web]{WEB}',
        prefix=[*ACTIVATE, f"http={path}", "--"],
    )
    ask(str(path))
    assert it.ctl("shutdown").returncode == 0
    assert it.wait() == 0
    assert path.is_socket()


def test_without_systemd_it_listens_for_itself(daemon: Start, tmp_path: Path) -> None:
    """A terminal, a container."""
    it = daemon(f'[sockets.http]\nsystemd = "http"\nlisten = "{tmp_path}/s"\n[watchers.web]{WEB}')
    assert ask(f"{tmp_path}/s")[0] == "http"
    assert it.status()["sockets"][0]["systemd"] is None
    assert it.ctl("status").stdout.count("from systemd") == 0


@pytest.mark.parametrize(
    ("passed", "variables", "said"),
    [
        ([], {}, "cannot run 'shop': cannot take sockets.http from systemd: LISTEN_FDS is not set"),
        (
            ["web=tcp"],
            {},
            (
                "cannot run 'shop': cannot take sockets.http from systemd: it has passed "
                "'web' (127.0.0.1:"
            ),
        ),
        (
            ["http=tcp", "more=tcp"],
            {},
            "cannot run 'shop': no socket is for 'more' (127.0.0.1:",
        ),
        (
            ["http=udp"],
            {},
            "cannot run 'shop': cannot take sockets.http from systemd: 'http' (127.0.0.1:",
        ),
        (
            ["http=tcp"],
            {"LISTEN_PID": "1"},
            (
                "cannot run 'shop': cannot take sockets.http from systemd: LISTEN_PID says that "
                "they are of process 1, and this is "
            ),
        ),
        (
            ["http=tcp"],
            {"LISTEN_FDS": "2"},
            "cannot take descriptors from systemd: LISTEN_FDS is 2, but descriptor 4 is not open\n",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_starts(
    tmp_path: Path, passed: list[str], variables: dict[str, str], said: str
) -> None:
    """Exit code 1; the rest of the text is what to do."""
    file = tmp_path / "shop.toml"
    file.write_text(
        f'[sockets.http]\nsystemd = "http"\n[watchers.web]{WEB}[supervisor]\ncontrol_socket = false'
    )
    prefix = [*ACTIVATE, *passed, "--"] if passed else []
    done = run([*prefix, PIDSUP, "run", "-c", str(file)], variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"pidsup: {said}")
    assert done.stderr.count("\n") == 1


def test_exec_has_no_use_for_sockets() -> None:
    """Who connects would wait for ever."""
    done = run([*ACTIVATE, "http=tcp", "--", PIDSUP, "exec", "true"], {})
    assert (done.returncode, done.stderr) == (
        1,
        "pidsup: exec cannot pass on the sockets of LISTEN_FDS: use `pidsup run`\n",
    )


def run(command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=inherited
    )
