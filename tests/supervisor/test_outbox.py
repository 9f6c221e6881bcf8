"""What is said to systemd arrives in order, also when it is too busy to listen."""

from __future__ import annotations

from typing import Any

from pidsup.supervisor.outbox import Outbox


class Busy:
    """A notifier that takes messages when it likes."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_busy = False
        self.error: OSError | None = None
        self.is_open = True

    def fileno(self) -> int:
        return 7

    def send(self, message: bytes) -> None:
        if self.is_busy:
            raise BlockingIOError
        if self.error is not None:
            raise self.error
        self.heard.append(message.decode())

    def wait(self, patience_s: float) -> bool:
        was_busy, self.is_busy = self.is_busy, False
        return was_busy

    def close(self) -> None:
        self.is_open = False


class Scene:
    """An outbox, and the little of a loop and a log that it needs."""

    def __init__(self) -> None:
        self.notifier = Busy()
        self.writers: dict[int, Any] = {}
        self.said: list[str] = []
        loop: Any = self
        notifier: Any = self.notifier
        self.outbox = Outbox(loop, loop, notifier)

    def add_writer(self, fd: int, callback: Any) -> None:
        self.writers[fd] = callback

    def remove_writer(self, fd: int) -> bool:
        return self.writers.pop(fd, None) is not None

    def warning(self, event: str, **facts: object) -> None:
        self.said.append(f"{event}: {facts['why']}")


def test_what_is_not_taken_is_sent_later_in_order() -> None:
    scene = Scene()
    scene.notifier.is_busy = True
    scene.outbox.post(RELOADING=1, MONOTONIC_USEC=5)
    scene.outbox.post(READY=1)
    scene.outbox.post(STOPPING=1)
    scene.writers[7]()
    assert scene.writers, "it goes on waiting"
    scene.notifier.is_busy = False
    scene.writers[7]()
    assert scene.notifier.heard == ["RELOADING=1\nMONOTONIC_USEC=5", "READY=1", "STOPPING=1"]
    assert not scene.writers


def test_of_what_only_says_how_things_are_the_latest_is_kept() -> None:
    """A systemd that sleeps for an hour finds a few messages, not thousands."""
    scene = Scene()
    scene.notifier.is_busy = True
    for n in range(1000):
        scene.outbox.post(STATUS=f"{n} workers ready")
        scene.outbox.post(WATCHDOG=1)
        scene.outbox.post(EXTEND_TIMEOUT_USEC=n)
        if n == 500:
            scene.outbox.post(READY=1, STATUS="ready")
    scene.notifier.is_busy = False
    scene.writers[7]()
    assert scene.notifier.heard == [
        "READY=1",
        "STATUS=999 workers ready",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=999",
    ]


def test_that_nobody_listens_any_more_is_said_once() -> None:
    scene = Scene()
    scene.notifier.error = ConnectionRefusedError(111, "Connection refused")
    scene.outbox.post(READY=1)
    scene.outbox.post(STATUS="x")
    assert scene.said == ["cannot notify systemd: Connection refused"]
    assert not scene.writers


def test_what_is_left_at_the_end_is_waited_for_a_moment() -> None:
    scene = Scene()
    scene.notifier.is_busy = True
    scene.outbox.post(STOPPING=1)
    scene.outbox.close()
    assert scene.notifier.heard == ["STOPPING=1"]
    assert not scene.writers
    assert not scene.notifier.is_open
