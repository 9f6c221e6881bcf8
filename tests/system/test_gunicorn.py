"""A real gunicorn is given its socket: by LISTEN_FDS, or by number; not by both."""

from __future__ import annotations

import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support import LIMIT_S
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]

APPLICATION = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getppid()).encode()]
"""


def document(tmp_path: Path, arguments: str, watcher: str) -> str:
    (tmp_path / "shop.py").write_text(APPLICATION)
    return f"""
        [sockets.http]
        listen = "127.0.0.1:0"

        [watchers.web]
        command = "{Path(sys.executable).parent}/gunicorn --no-control-socket {arguments} shop:app"
        working_directory = "{tmp_path}"
        sockets = ["http"]
        {watcher}
        """


def get(port: int) -> int:
    """Return the pid of the gunicorn that answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "watcher"),
    [("", ""), ("--bind fd://{sockets.http}", "listen_fds = false")],
    ids=["by LISTEN_FDS", "by number"],
)
def test_gunicorn_answers_on_the_socket_before_and_after_a_restart(
    daemon: Start, tmp_path: Path, arguments: str, watcher: str
) -> None:
    it = daemon(document(tmp_path, arguments, watcher))
    port = int(it.status()["sockets"][0]["address"].rpartition(":")[2])
    first = get(port)
    assert first == it.pids()["web:0"]
    assert it.ctl("restart", "web").returncode == 0
    second = get(port)
    assert second == it.pids()["web:0"] != first
    assert it.slots()["web:0"]["restarts"] == 0, it.log()
