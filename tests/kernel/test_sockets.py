"""What pidsup relies on from listening sockets, and no page promises clearly."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET


@pytest.mark.parametrize("kind", [STREAM, DGRAM, SEQPACKET])
def test_a_path_gets_the_mode_that_its_socket_has_at_the_bind(tmp_path: Path, kind: int) -> None:
    """So that nobody needs to change the umask, which all threads share."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, kind) as sock:
        os.fchmod(sock.fileno(), 0)
        sock.bind(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_a_datagram_socket_tells_whether_a_path_is_taken(tmp_path: Path, kind: int) -> None:
    """EPROTOTYPE from bind(2) to the last close(2); connections are refused before listen(2)."""
    path = str(tmp_path / "s")
    with (
        socket.socket(socket.AF_UNIX, DGRAM) as probe,
        socket.socket(socket.AF_UNIX, kind) as client,
    ):
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.bind(path)
            assert probe.connect_ex(path) == errno.EPROTOTYPE
            assert client.connect_ex(path) == errno.ECONNREFUSED
            sock.listen()
            assert probe.connect_ex(path) == errno.EPROTOTYPE
            copy = sock.dup()
        assert probe.connect_ex(path) == errno.EPROTOTYPE
        copy.close()
        assert probe.connect_ex(path) == errno.ECONNREFUSED


def test_a_bound_socket_keeps_the_inode_of_its_path(tmp_path: Path) -> None:
    """Removed or not: no path that comes later has the same number while the socket lives."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        inode = path.stat().st_ino
        path.unlink()
        for _ in range(100):
            path.touch()
            assert path.stat().st_ino != inode
            path.unlink()
