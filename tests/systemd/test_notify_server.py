"""A socket for sd_notify(3), with real senders, living and dead."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pidsup.linux import pidfd
from pidsup.systemd.notify import MOST_BYTES
from pidsup.systemd.notify_server import NotifySocket, Received
from tests.support import descriptors, needs_linux, needs_root, next_fd, open_files_limited


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Give a path in a directory that is still to be made."""
    return f"{tmp_path}/notify/1"


@pytest.fixture
def server(address: str) -> Iterator[NotifySocket]:
    """Give a socket there."""
    server = NotifySocket(address)
    yield server
    server.close()


def send(address: str, data: bytes, fds: list[int] | None = None) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        socket.send_fds(sender, [data], fds or [])


def send_as_child(address: str, data: bytes, *, uid: int | None = None) -> int:
    """Send from a process that is dead, and reaped, when this returns; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            if uid is not None:
                os.setuid(uid)
            send(address, data)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def received(server: NotifySocket) -> Received:
    """Return the next; close what belongs to it."""
    one = server.receive()
    assert one is not None
    for fd in (one.pidfd, *one.fds):
        if fd >= 0:
            assert not os.get_inheritable(fd)
            os.close(fd)
    return one


def test_a_datagram_comes_with_who_sent_it(server: NotifySocket, address: str) -> None:
    """One after the other, and then none."""
    send(address, b"READY=1")
    send(address, b"STATUS=x")
    first, second = received(server), received(server)
    assert (first.data, first.pid, first.uid) == (b"READY=1", os.getpid(), os.getuid())
    assert second.data == b"STATUS=x"
    assert server.receive() is None


@needs_linux(6, 5)
def test_the_sender_is_pinned(server: NotifySocket, address: str) -> None:
    """By a pidfd of his."""
    send(address, b"READY=1")
    one = server.receive()
    assert one is not None
    pidfd.send_signal(one.pidfd, 0)
    os.close(one.pidfd)


def test_a_sender_may_be_gone(server: NotifySocket, address: str) -> None:
    """Short-lived systemd-notify is: what he was is still known."""
    pid = send_as_child(address, b"READY=1")
    one = received(server)
    assert (one.data, one.pid, one.uid) == (b"READY=1", pid, os.getuid())


@needs_linux(6, 16)
def test_the_cgroup_of_a_sender_who_is_gone_is_known(server: NotifySocket, address: str) -> None:
    """Through his pidfd."""
    send_as_child(address, b"READY=1")
    one = server.receive()
    assert one is not None
    own = pidfd.pidfd_open(os.getpid())
    try:
        assert pidfd.get_info(one.pidfd).cgroup_id == pidfd.get_info(own).cgroup_id
    finally:
        os.close(own)
        os.close(one.pidfd)


@needs_root
def test_any_user_may_send() -> None:
    """Workers change theirs; and the umask of the supervisor plays no part."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        address = f"{directory}/notify/1"
        umask = os.umask(0o077)
        server = NotifySocket(address)
        os.umask(umask)
        send_as_child(address, b"READY=1", uid=65534)
        assert received(server).uid == 65534
        server.close()


def test_descriptors_come_along(server: NotifySocket, address: str) -> None:
    """They are the receiver's: nobody else closes them."""
    with open(os.devnull, "rb") as one, open("/proc/self/stat", "rb") as other:
        send(address, b"FDSTORE=1", [one.fileno(), other.fileno()])
    got = server.receive()
    assert got is not None
    opened = descriptors()
    assert [opened[fd] for fd in got.fds] == [os.devnull, f"/proc/{os.getpid()}/stat"]
    for fd in (*got.fds, got.pidfd):
        if fd >= 0:
            os.close(fd)


def test_as_many_descriptors_fit_as_can_be_sent(server: NotifySocket, address: str) -> None:
    """SCM_MAX_FD: the credentials still come too."""
    with open(os.devnull, "rb") as one:
        send(address, b"FDSTORE=1", [one.fileno()] * 253)
    got = received(server)
    assert (len(got.fds), got.pid) == (253, os.getpid())


def test_descriptors_that_do_not_fit_void_the_datagram(server: NotifySocket, address: str) -> None:
    """Half of them is not what was said; those that came are still to be closed."""
    with open(os.devnull, "rb") as one:
        send(address, b"FDSTORE=1", [one.fileno()] * 20)
    with open_files_limited(next_fd() + 10):
        got = received(server)
    assert got.data == b""
    assert len(got.fds) < 20


def test_what_is_too_long_is_void(server: NotifySocket, address: str) -> None:
    """Not its beginning: that might say the opposite."""
    send(address, b"STATUS=" + b"x" * (MOST_BYTES + 100))
    assert received(server).data == b""


def test_a_path_that_was_left_behind_is_taken(address: str) -> None:
    """By a run that was killed; who binds it has locked the directory."""
    Path(address).parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(address)
    server = NotifySocket(address)
    send(address, b"READY=1")
    assert received(server).data == b"READY=1"
    server.close()
    assert not os.path.exists(address)


def test_closing_twice_is_once(server: NotifySocket, address: str) -> None:
    """And of somebody who has removed the directory nothing is heard."""
    os.unlink(address)
    server.close()
    server.close()
    assert server.fileno() == -1


def test_an_abstract_name_is_nobody_elses() -> None:
    """EADDRINUSE: another number has to do."""
    address = f"\0pidsup-test-{os.getpid()}"
    server = NotifySocket(address)
    send(address, b"READY=1")
    assert received(server).pid == os.getpid()
    with pytest.raises(OSError, match="in use") as refused:
        NotifySocket(address)
    assert refused.value.errno == errno.EADDRINUSE
    server.close()


@pytest.mark.parametrize("bad", ["/nowhere/at/all/1", "/" + "x" * 120])
def test_what_cannot_be_bound_leaves_nothing(bad: str) -> None:
    """The caller says why a start failed."""
    with pytest.raises(OSError, match=r"No such|too long"):
        NotifySocket(bad)


def test_below_linux_6_5_there_is_no_pidfd(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option is unknown there."""
    refused: list[int] = []

    class Old(socket.socket):
        def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
            if option == 76:
                refused.append(option)
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            super().setsockopt(level, option, value, *rest)

    monkeypatch.setattr(socket, "socket", Old)
    server = NotifySocket(address)
    monkeypatch.undo()
    send(address, b"READY=1")
    assert refused
    assert received(server).pidfd == -1
    server.close()


def test_it_knows_how_much_can_wait(server: NotifySocket, address: str) -> None:
    """Whoever comes then has to wait, unix(7): more than that cannot have come before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.setblocking(False)
        for _ in range(server.capacity):
            sender.send(b"READY=1")
        with pytest.raises(BlockingIOError):
            sender.send(b"READY=1")
    for _ in range(server.capacity):
        received(server)
    assert server.receive() is None
