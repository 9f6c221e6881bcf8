"""A service manager as far as NOTIFY_SOCKET goes: it hears what the supervisor says."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import LIMIT_S

Message = dict[str, str]


class Manager:
    """Hears messages.  Owns a socket."""

    def __init__(self, path: Path) -> None:
        """Listen at *path*."""
        self.messages: list[Message] = []
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return what a service gets, with some more variables."""
        return {"NOTIFY_SOCKET": self.address, **variables}

    def wait(self, is_it: Callable[[Message], object], what: str = "") -> Message:
        """Return the first message from now on that is it."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                message = self._take()
            except TimeoutError:
                raise AssertionError(f"not heard: {what}; but {self.messages[-20:]}") from None
            if is_it(message):
                return message

    def wait_for(self, key: str, value: str = "1") -> Message:
        """Return the next message with an assignment; of STATUS it may be a part."""
        exact = key != "STATUS"
        return self.wait(
            lambda m: m.get(key) == value if exact else value in m.get(key, ""), f"{key}={value}"
        )

    def hear(self, seconds: float = 0.0) -> list[Message]:
        """Hear for a while; return what was said since the last look."""
        before = len(self.messages)
        until = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                self._take()
            except TimeoutError:
                return self.messages[before:]

    def said(self, key: str) -> list[str]:
        """Return all values of a key that were heard."""
        return [message[key] for message in self.messages if key in message]

    def _take(self) -> Message:
        lines = self._socket.recv(8192).decode().splitlines()
        self.messages.append(dict(line.split("=", 1) for line in lines))
        return self.messages[-1]

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()
