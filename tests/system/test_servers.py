"""Real servers take a socket from the supervisor, and lose none of its clients with a worker."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import LIMIT_S, wait_until
from tests.system import fastcgi
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

_BIN = Path(sys.executable).parent

#: Of this test process alone, so that nobody else has the ports of the recipes.
HOST = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"

RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"


class Server(NamedTuple):
    """A server as docs/recipes.md has it, with an application that tells its pid."""

    recipe: str  #: the heading
    program: str  #: where it is, "" where this machine has none
    files: Mapping[str, str]  #: of its directory
    more: str = ""  #: lines for its watcher
    changes: Mapping[str, str] = {}  #: of the recipe


#: The answer to /slow, which takes a third of a second, and a file says when that begins.
SLOW = b"x" * 5000

_WSGI = """
import os, time

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] != "/slow":
        return [str(os.getpid()).encode()]
    open("asked", "w").close()
    time.sleep(0.3)
    return [b"x" * 5000]
"""
_WAIT = """
import os, time
open("loading", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
"""
_ASGI = """
import asyncio, os

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = str(os.getpid()).encode()
    if scope["path"] == "/slow":
        open("asked", "w").close()
        await asyncio.sleep(0.3)
        body = b"x" * 5000
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
_NGINX = """
user root;
pid DIRECTORY/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    server {
        listen HOST:8080;
        location / { return 200 $pid; }
        location /slow { limit_rate 4k; root DIRECTORY; }
    }
}
"""
_FPM = """
[global]
error_log = /dev/stderr
process_control_timeout = 10s
[www]
user = root
listen = HOST:9000
pm = static
pm.max_children = 1
pm.status_path = /status
"""
_PHP = """<?php
file_put_contents("DIRECTORY/asked", "");
usleep(300000);
echo str_repeat("x", 5000);
"""
_NODE = """
const fs = require("fs");
const http = require("http");
const server = http.createServer((request, response) => {
    if (request.url != "/slow") return response.end(String(process.pid));
    fs.writeFileSync("asked", "");
    setTimeout(() => response.end("x".repeat(5000)), 300);
});
server.listen({ fd: Number(process.argv[2]) });
process.on("SIGTERM", () => server.close());
"""


def _found(pattern: str) -> str:
    """Return the path of a program, "" where there is none."""
    places = [*os.environ["PATH"].split(":"), "/usr/sbin"]
    return next((str(path) for place in places for path in Path(place).glob(pattern)), "")


_GUNICORN = Server("gunicorn", f"{_BIN}/gunicorn", {"shop.py": _WSGI})

SERVERS = {
    "gunicorn": _GUNICORN,
    "gunicorn by number": _GUNICORN._replace(
        more="listen_fds = false",
        changes={'"shop:app"': '"--bind", "fd://{sockets.http}", "shop:app"'},
    ),
    "uvicorn": Server("uvicorn", f"{_BIN}/uvicorn", {"shop.py": _ASGI}),
    "nginx": Server("nginx", _found("nginx"), {"nginx.conf": _NGINX, "slow": SLOW.decode()}),
    "php-fpm": Server(
        "php-fpm",
        _found("php-fpm*"),
        {"php-fpm.conf": _FPM, "slow.php": _PHP},
        changes={'"--nodaemonize"': '"--nodaemonize", "--allow-to-run-as-root"'},
    ),
    "node": Server("Node.js", _found("node"), {"server.js": _NODE}),
}


def document(server: Server, directory: Path) -> str:
    """Return the recipe for one process in a directory, made with the files that it needs."""
    for name, content in server.files.items():
        made = content.replace("DIRECTORY", str(directory)).replace("HOST", HOST)
        (directory / name).write_text(made)
    section = RECIPES.read_text().partition(f"\n## {server.recipe}\n")[2]
    text = section.partition("```toml\n")[2].partition("```")[0]
    changes = {
        "127.0.0.1:": f"{HOST}:",
        "/srv/shop": str(directory),
        '"--workers", "4"': '"--workers", "1"',
        "workers = 4": "workers = 1",
        **server.changes,
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return re.sub('(?<=command = \\[")[^"]*', server.program, text) + server.more


def port_of(it: Daemon) -> int:
    return int(it.status()["sockets"][0]["address"].rpartition(":")[2])


def ask(it: Daemon) -> int:
    """Return the pid of the process that answers.

    Who is killed takes what it has accepted with it, and the next connection has another
    server; that none is refused is the supervisor's doing.
    """
    port = port_of(it)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            return _ask_fastcgi(port) if port == 9000 else _ask_http(port)
        except (ConnectionResetError, BrokenPipeError, RemoteDisconnected, EOFError):
            continue
    raise AssertionError("no answer")


def _ask_http(port: int) -> int:
    connection = HTTPConnection(HOST, port, timeout=LIMIT_S)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def _ask_fastcgi(port: int) -> int:
    with fastcgi.asked(HOST, port, "/status", "json&full") as connection:
        (process,) = json.loads(fastcgi.answer(connection))["processes"]
        return int(process["pid"])


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    return available(request.param)


def available(name: str) -> Server:
    """Return a server, or skip."""
    if not SERVERS[name].program:
        pytest.skip(f"*** needs {name}: .ci/setup tools ***")
    return SERVERS[name]


def worker(it: Daemon) -> Any:
    """Return the only slot."""
    (slot,) = it.slots().values()
    return slot


def test_it_answers_on_the_socket_before_and_after_a_restart(
    daemon: Start, tmp_path: Path, server: Server
) -> None:
    """One process answers all: none of them ends because nobody calls."""
    it = daemon(document(server, tmp_path), environment={"HOME": str(tmp_path)})
    first = ask(it)
    assert worker(it)["pid"] in (first, parent(first))
    assert ask(it) == first
    assert it.ctl("restart", "*").returncode == 0
    second = ask(it)
    assert worker(it)["pid"] in (second, parent(second))
    assert ask(it) == second != first
    assert worker(it)["restarts"] == 0, it.log()


def test_it_answers_on_the_socket_whatever_of_it_is_killed(
    daemon: Start, tmp_path: Path, server: Server
) -> None:
    """The process that has answered, which its master replaces; and then the master."""
    it = daemon(document(server, tmp_path), environment={"HOME": str(tmp_path)})
    first = ask(it)
    master = worker(it)["pid"]
    os.kill(first, signal.SIGKILL)
    second = ask(it)
    if master != first:
        assert worker(it)["pid"] == master == parent(second)
        os.kill(master, signal.SIGKILL)
        wait_until(lambda: worker(it)["pid"] not in (None, master), "another master")
        third = ask(it)
        assert third not in (first, second)
        assert worker(it)["pid"] == parent(third)
    assert second != first
    assert worker(it)["restarts"] == 1, it.log()


def test_gunicorn_is_ready_when_it_has_loaded_the_application(
    daemon: Start, tmp_path: Path
) -> None:
    """It says that it has booted; by --preload it has to load before."""
    server = _GUNICORN._replace(files={"shop.py": _WAIT + _WSGI})
    it = daemon(document(server, tmp_path), environment={"HOME": str(tmp_path)})
    wait_until((tmp_path / "loading").exists, "it loads")
    assert worker(it)["state"] == "starting"
    (tmp_path / "go").touch()
    wait_until(lambda: worker(it)["state"] == "ready", it.log())
    assert worker(it)["status"] == "Gunicorn arbiter booted"


def test_php_fpm_says_that_it_is_ready(daemon: Start, tmp_path: Path) -> None:
    it = daemon(document(available("php-fpm"), tmp_path))
    wait_until(lambda: worker(it)["state"] == "ready", it.log())
    assert worker(it)["status"] == "Ready to handle connections"


def test_what_is_under_way_is_finished_after_the_stop_signal(
    daemon: Start, tmp_path: Path, server: Server
) -> None:
    it = daemon(document(server, tmp_path), environment={"HOME": str(tmp_path)})
    ask(it)
    with slowly(port_of(it), tmp_path) as (connection, answer):
        asked = tmp_path / "asked"
        wait_until(lambda: asked.exists() or select.select([connection], [], [], 0)[0], "it begins")
        assert it.ctl("stop", "--no-wait", "*").returncode == 0
        assert answer() == SLOW
    assert it.ctl("stop", "*").returncode == 0


@contextmanager
def slowly(port: int, directory: Path) -> Iterator[tuple[socket.socket, Callable[[], bytes]]]:
    """Ask for what takes a while; give the connection, and what waits for the answer."""
    if port == 9000:
        with fastcgi.asked(HOST, port, f"{directory}/slow.php") as connection:
            yield connection, lambda: fastcgi.answer(connection)
        return
    http = HTTPConnection(HOST, port, timeout=LIMIT_S)
    try:
        http.request("GET", "/slow")
        yield http.sock, lambda: http.getresponse().read()
    finally:
        http.close()
