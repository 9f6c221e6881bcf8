"""Messages arrive at NOTIFY_SOCKET, whatever their language; a full queue is not waited for."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidsup.errors import BadAddress
from pidsup.systemd.notifier import Notifier, is_set, tell_once, watchdog_s
from pidsup.systemd.notify import encode


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Be who is told."""
    path = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}"
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path.replace("@", "\0", 1))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def notifier(systemd: socket.socket) -> Iterator[Notifier]:
    one = Notifier()
    yield one
    one.close()


@pytest.mark.parametrize("text", ["4 workers ready", "größe", "готово", "準備完了", "🦊"])
def test_a_status_arrives_in_any_language(
    systemd: socket.socket, notifier: Notifier, text: str
) -> None:
    """Alone, sdnotify drops what is not Latin-1, and sends what is as no UTF-8."""
    notifier.send(encode(READY=1, STATUS=text))
    assert systemd.recv(4096) == b"READY=1\nSTATUS=" + text.encode()


def test_a_full_queue_is_an_error_and_room_is_announced(
    systemd: socket.socket, notifier: Notifier
) -> None:
    with pytest.raises(BlockingIOError):
        deque(map(notifier.send, [b"WATCHDOG=1"] * 10_000))
    assert not notifier.wait(0)
    systemd.recv(4096)
    assert notifier.wait(5)
    notifier.send(b"WATCHDOG=1")


def test_one_message_waits_a_moment_for_room_and_no_longer(systemd: socket.socket) -> None:
    tell_once(STATUS="cannot run", ERRNO=98)
    assert systemd.recv(4096) == b"STATUS=cannot run\nERRNO=98"
    with pytest.raises(BlockingIOError):
        deque(map(tell_once, [0.0] * 10_000))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify's
def test_nobody_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with pytest.raises(FileNotFoundError):
        Notifier()


def test_what_cannot_be_told_is_refused() -> None:
    assert not is_set({})
    assert not is_set({"NOTIFY_SOCKET": ""})
    assert is_set({"NOTIFY_SOCKET": "/run/systemd/notify"})
    assert is_set({"NOTIFY_SOCKET": "@abstract"})
    for address in ("vsock:2:1234", "run/notify"):
        with pytest.raises(BadAddress, match=f"NOTIFY_SOCKET is '{address}': only paths"):
            is_set({"NOTIFY_SOCKET": address})


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("30000000", None, 30.0),
        ("1500000", os.getpid(), 1.5),
        ("1500000", 1, None),
        ("0", None, None),
        ("-1", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_says_so(
    usec: str | None, pid: int | None, interval_s: float | None
) -> None:
    told = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": None if pid is None else str(pid)}
    environ = {name: value for name, value in told.items() if value is not None}
    assert watchdog_s(environ, os.getpid()) == interval_s
