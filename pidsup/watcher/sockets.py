"""Skeleton, to be replaced by SOCKETS: wired into cli/daemon.py and supervisor.py."""

from __future__ import annotations

from collections.abc import Iterable

from pidsup.config.model import SocketSpec


class Listeners:
    def __init__(self, specs: Iterable[SocketSpec]) -> None:
        self.fds: dict[str, int] = {}

    def facts(self) -> list[object]:
        return []

    def close(self) -> None:
        pass
