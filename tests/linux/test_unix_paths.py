"""Sockets on a path: who gets through, what is removed, and what never is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, run
from tempfile import TemporaryDirectory

import pytest

from pidsup.linux import unix_paths
from pidsup.linux.sockets import Options, address_of
from pidsup.linux.unix_paths import BoundPath, open_path
from tests.support import LIMIT_S, needs_root, python

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
KINDS = pytest.mark.parametrize("kind", [STREAM, DGRAM, SEQPACKET], ids=lambda kind: kind.name)
Open = Callable[..., tuple[socket.socket, BoundPath]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def opens(path: Path) -> Iterator[Open]:
    """Give `open_path` on *path*; what it opened is closed at the end."""
    opened: list[socket.socket] = []

    def one(kind: socket.SocketKind = STREAM, **how: int) -> tuple[socket.socket, BoundPath]:
        sock, bound = open_path(str(path), Options(kind=kind), **{"mode": 0o600, **how})
        opened.append(sock)
        return sock, bound

    yield one
    for sock in opened:
        sock.close()


def leave_stale(path: Path, kind: int = STREAM) -> None:
    """Leave a path as a process does that was killed."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))


@KINDS
def test_it_listens(path: Path, opens: Open, kind: socket.SocketKind) -> None:
    server, _ = opens(kind)
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(str(path))
    assert address_of(server) == str(path)
    assert not server.get_inheritable()


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o660, 0])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_mode_is_the_one_asked_for(path: Path, opens: Open, mode: int, umask: int) -> None:
    """Whatever our umask is."""
    before = os.umask(umask)
    try:
        opens(mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@needs_root
def test_owner_and_group(path: Path, opens: Open) -> None:
    opens(uid=1, gid=2)
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 2)


@needs_root
def test_nobody_gets_through_before_mode_and_owner_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A datagram socket would take what comes from the moment of its bind."""
    refused: list[bool] = []

    def connect_as_another() -> None:
        code = "import os, socket, sys; os.setuid(1); socket.socket(1, 2).connect(sys.argv[1])"
        done = run(python(code, path), stderr=PIPE, timeout=LIMIT_S, check=False)
        refused.append(b"Permission denied" in done.stderr)

    def give(bound: BoundPath, mode: int, uid: int, gid: int) -> None:
        connect_as_another()
        real(bound, mode, uid, gid)

    real = BoundPath.give
    monkeypatch.setattr(BoundPath, "give", give)
    before = os.umask(0)
    try:
        with TemporaryDirectory(dir="/tmp") as folder:  # that of the test is for root alone
            os.chmod(folder, 0o755)
            path = f"{folder}/s"
            server, _ = open_path(path, Options(kind=DGRAM), mode=0o666)
            connect_as_another()
            server.close()
    finally:
        os.umask(before)
    assert refused == [True, False]


def test_what_fails_on_the_way_leaves_no_path(
    path: Path, opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a descriptor."""

    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "chmod", fail)
    with pytest.raises(OSError, match="owner or mode: no"):
        opens()
    assert not path.exists()


# --- what is at the path already


@KINDS
@pytest.mark.parametrize("ours", [STREAM, DGRAM])
def test_a_stale_path_is_taken_over(
    path: Path, opens: Open, kind: int, ours: socket.SocketKind
) -> None:
    """Of whatever kind it was."""
    leave_stale(path, kind)
    opens(ours)
    with socket.socket(socket.AF_UNIX, ours) as client:
        client.connect(str(path))


@KINDS
@pytest.mark.parametrize("ours", [STREAM, DGRAM])
@pytest.mark.parametrize("listens", [True, False])
def test_a_path_that_a_socket_has_is_left_alone(
    path: Path, opens: Open, kind: int, ours: socket.SocketKind, listens: bool
) -> None:
    """Also between its bind(2) and its listen(2), when it refuses connections."""
    with socket.socket(socket.AF_UNIX, kind) as theirs:
        theirs.bind(str(path))
        if listens and kind != DGRAM:
            theirs.listen()
            theirs.setblocking(False)
        inode = path.stat().st_ino
        with pytest.raises(OSError, match="Address already in use"):
            opens(ours)
        assert path.stat().st_ino == inode
        if listens and kind != DGRAM:
            with pytest.raises(BlockingIOError):
                theirs.accept()


def test_a_file_is_never_removed(path: Path, opens: Open) -> None:
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="something else than a socket"):
        opens()
    assert path.read_text() == "precious"


def test_a_link_is_never_followed_nor_removed(path: Path, opens: Open, tmp_path: Path) -> None:
    """Even to a socket that nobody has."""
    leave_stale(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(FileExistsError, match="something else than a socket"):
        opens()
    assert path.is_symlink()
    assert (tmp_path / "other").exists()


def test_who_took_the_path_meanwhile_keeps_it(
    path: Path, opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stale when we looked."""
    leave_stale(path)
    real = unix_paths._is_bound
    with socket.socket(socket.AF_UNIX) as theirs:

        def takes(at: str) -> bool:
            found = real(at)
            path.rename(path.with_suffix(".old"))  # keeps its inode from being used again
            theirs.bind(at)
            return found

        monkeypatch.setattr(unix_paths, "_is_bound", takes)
        with pytest.raises(OSError, match="in use"):
            opens()
    assert path.exists()


def test_a_path_that_is_removed_while_we_look_is_free(
    path: Path, opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_stale(path)

    def vanishes(at: str) -> bool:
        path.unlink()
        return False

    monkeypatch.setattr(unix_paths, "_is_bound", vanishes)
    opens()
    assert path.exists()


def test_many_at_once_leave_one_that_listens(path: Path) -> None:
    """All find the stale path; none takes it away from the first."""
    leave_stale(path)
    won: list[socket.socket] = []
    lost: list[OSError] = []

    def tries() -> None:
        try:
            won.append(open_path(str(path), Options(), mode=0o600)[0])
        except OSError as error:
            lost.append(error)

    threads = [threading.Thread(target=tries) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert (len(won), {error.errno for error in lost}) == (1, {errno.EADDRINUSE})
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    won[0].close()


def test_a_directory_that_stays_locked_is_named(
    path: Path, opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another supervisor that does the same, say; it takes microseconds."""
    monkeypatch.setattr(unix_paths, "_PATIENCE_S", 0.02)
    leave_stale(path)
    fd = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(OSError, match=f"directory '{path.parent}' is locked"):
        opens()
    os.close(fd)
    opens()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"directory '{tmp_path}/no' does not exist"):
        open_path(f"{tmp_path}/no/s", Options(), mode=0o600)


def test_a_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="path too long"):
        open_path(f"{tmp_path}/{'x' * 108}", Options(), mode=0o600)


# --- at the end


def test_the_path_is_removed(path: Path, opens: Open) -> None:
    _, bound = opens()
    bound.remove()
    assert not path.exists()
    bound.remove()  # twice does no harm


def test_the_path_of_another_is_not_removed(path: Path, opens: Open) -> None:
    """Somebody has taken ours away and put up a new one."""
    _, bound = opens()
    path.unlink()
    leave_stale(path)
    bound.remove()
    assert path.exists()


def test_what_took_our_place_gets_neither_mode_nor_owner(path: Path, opens: Open) -> None:
    """A link, say, to a file that we may change and whoever put it there may not."""
    _, bound = opens()
    precious = path.with_suffix(".precious")
    precious.touch(mode=0o600)
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(OSError, match="owner or mode"):
        bound.give(0o666, -1, -1)
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600
