"""Real servers take a socket from the supervisor, and lose none of its clients with a worker."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import LIMIT_S
from tests.system import fastcgi
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

_BIN = Path(sys.executable).parent

#: Of this test process alone, so that a port can be said in advance: nginx and php-fpm want
#: the address in their own configuration.
HOST = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
PORT = 8080


class Server(NamedTuple):
    """A server, and how it is told of its socket."""

    program: str  #: "" where this machine has none
    arguments: str
    options: str = ""  #: more lines for its watcher
    files: Mapping[str, str] = {}  #: that it needs in its directory
    is_http: bool = True
    blocking: bool = False


def _found(*names: str) -> str:
    """Return the path of a program, "" where there is none."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    return next(filter(None, (shutil.which(name, path=path) for name in names)), "")


_WSGI = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
_ASGI = """
import os

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
_NGINX = f"""
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {HOST}:{PORT};
        return 200 $pid;
    }}
}}
"""
_FPM = f"""
[global]
error_log = /dev/stderr
daemonize = no
[www]
listen = {HOST}:{PORT}
pm = static
pm.max_children = 1
"""
_NODE = """
const http = require("http");
const server = http.createServer((request, response) => response.end(String(process.pid)));
server.listen({ fd: Number(process.argv[2]) });
"""
_GUNICORN = f"{_BIN}/gunicorn"
_FPM_NAMES = [path.name for path in Path("/usr/sbin").glob("php-fpm*")]

SERVERS = {
    "gunicorn by LISTEN_FDS": Server(
        _GUNICORN, "--no-control-socket shop:app", files={"shop.py": _WSGI}
    ),
    "gunicorn by number": Server(
        _GUNICORN,
        "--no-control-socket --bind fd://{sockets.http} shop:app",
        "listen_fds = false",
        {"shop.py": _WSGI},
    ),
    "uvicorn": Server(
        f"{_BIN}/uvicorn",
        "--fd {sockets.http} --lifespan off shop:app",
        files={"shop.py": _ASGI},
    ),
    "nginx": Server(
        _found("nginx"),
        "-p . -e stderr -c nginx.conf",
        'environment = { NGINX = "{sockets.http};" }\nstop_signal = "QUIT"',
        {"nginx.conf": _NGINX},
    ),
    "php-fpm": Server(
        _found(*_FPM_NAMES),
        "--allow-to-run-as-root --fpm-config fpm.conf --no-php-ini",
        f'environment = {{ FPM_SOCKETS = "{HOST}:{PORT}={{sockets.http}}" }}\nstop_signal = "QUIT"',
        {"fpm.conf": _FPM, "pid.php": "<?php echo getmypid();"},
        is_http=False,
        blocking=True,  # its children end when accept(2) fails with EAGAIN
    ),
    "node": Server(_found("node"), "server.js {sockets.http}", files={"server.js": _NODE}),
}


def document(server: Server, directory: Path) -> str:
    for name, text in server.files.items():
        (directory / name).write_text(text)
    return f"""
        [sockets.http]
        listen = "{HOST}:{PORT}"
        blocking = {str(server.blocking).lower()}

        [watchers.web]
        command = '{server.program} {server.arguments}'
        working_directory = "{directory}"
        sockets = ["http"]
        {server.options}
        """


def ask(server: Server, directory: Path) -> int:
    """Return the pid of the process that answers.

    Who is killed takes what it has accepted with it, and the next connection has another
    server; that none is refused is the supervisor's doing.
    """
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            if server.is_http:
                return _ask_http()
            return int(fastcgi.get(HOST, PORT, f"{directory}/pid.php"))
        except (ConnectionResetError, BrokenPipeError, RemoteDisconnected, EOFError):
            continue
    raise AssertionError("no answer")


def _ask_http() -> int:
    connection = HTTPConnection(HOST, PORT, timeout=LIMIT_S)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    one = SERVERS[request.param]
    if not one.program:
        pytest.skip(f"*** needs {request.param}: .ci/setup tools ***")
    return one


def test_it_answers_on_the_socket_before_and_after_a_restart(
    daemon: Start, tmp_path: Path, server: Server
) -> None:
    """One process answers all: none of them ends because nobody calls."""
    it = daemon(document(server, tmp_path))
    first = ask(server, tmp_path)
    assert it.pids()["web:0"] in (first, parent(first))
    assert ask(server, tmp_path) == first
    assert it.ctl("restart", "web").returncode == 0
    second = ask(server, tmp_path)
    assert it.pids()["web:0"] in (second, parent(second))
    assert ask(server, tmp_path) == second != first
    assert it.slots()["web:0"]["restarts"] == 0, it.log()


def test_it_answers_on_the_socket_whatever_of_it_is_killed(
    daemon: Start, tmp_path: Path, server: Server
) -> None:
    """The process that has answered, which its master replaces; and then the master."""
    it = daemon(document(server, tmp_path))
    first = ask(server, tmp_path)
    master = it.pids()["web:0"]
    os.kill(first, signal.SIGKILL)
    second = ask(server, tmp_path)
    if master != first:
        assert it.pids()["web:0"] == master == parent(second)
        os.kill(master, signal.SIGKILL)
        it.await_slots(lambda slots: slots["web:0"]["pid"] not in (None, master))
        third = ask(server, tmp_path)
        assert third not in (first, second)
        assert it.pids()["web:0"] == parent(third)
    assert second != first
    assert it.slots()["web:0"]["restarts"] == 1, it.log()
