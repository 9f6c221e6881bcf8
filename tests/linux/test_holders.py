"""Who has an address in use."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from pidsup.linux import holders
from pidsup.linux.holders import Holder
from tests.support import needs_localhost, python

Worker = Callable[..., "subprocess.Popen[bytes]"]
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM

LISTEN = """
import socket, sys
sock = socket.socket(int(sys.argv[1]), int(sys.argv[2]))
name = sys.argv[3].replace("@", "\\0", 1)
sock.bind((name, 0) if sock.family != socket.AF_UNIX else name)
if sock.type != socket.SOCK_DGRAM:
    sock.listen()
print(sock.getsockname()[1] if sock.family != socket.AF_UNIX else 0, flush=True)
sys.stdin.read()
"""


def listens(worker: Worker, family: int, kind: int, name: str) -> tuple[Holder, int]:
    """Start a process that listens; return it, and the port."""
    process = worker(
        python(LISTEN, str(int(family)), str(int(kind)), name), stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    return Holder(process.pid, Path(f"/proc/{process.pid}/comm").read_text().rstrip("\n")), port


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
@pytest.mark.parametrize(
    ("family", "theirs", "ours"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        pytest.param(socket.AF_INET, "127.0.0.1", "localhost", marks=needs_localhost),
        (socket.AF_INET, "127.0.0.1", None),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ],
)
def test_who_listens_on_the_address_is_found(
    worker: Worker, kind: int, family: int, theirs: str, ours: str | None
) -> None:
    """Or on one that covers it."""
    holder, port = listens(worker, family, kind, theirs)
    assert holders.of_inet(kind, ours, port) == holder


def test_who_listens_on_another_address_is_not_blamed(worker: Worker) -> None:
    """127.0.0.2 has ports of its own; so has UDP."""
    _, port = listens(worker, socket.AF_INET, STREAM, "127.0.0.2")
    assert holders.of_inet(STREAM, "127.0.0.1", port) is None
    assert holders.of_inet(DGRAM, "127.0.0.2", port) is None


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_the_holder_of_a_unix_socket_is_found(worker: Worker, tmp_path: Path, kind: int) -> None:
    """On a path, with a space too, or under an abstract name."""
    for name in (f"{tmp_path}/a socket", f"@pidsup-holders-{os.getpid()}"):
        holder, _ = listens(worker, socket.AF_UNIX, kind, name)
        assert holders.of_unix(name) == holder


def test_nobody_is_nobody(tmp_path: Path) -> None:
    assert holders.of_unix(f"{tmp_path}/nope") is None


def test_a_master_is_named_before_its_workers(worker: Worker) -> None:
    """Which have the socket too: stopping one of them would not help."""
    code = LISTEN.replace("sys.stdin.read()", "import os; os.fork(); sys.stdin.read()")
    process = worker(python(code, "2", "1", "127.0.0.1"), stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    found = holders.of_inet(STREAM, "127.0.0.1", int(process.stdout.readline()))
    assert found is not None
    assert found.pid == process.pid
