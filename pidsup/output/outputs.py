"""Skeleton, to be replaced by OUTPUT: wired into watcher/slot.py, watcher.py, cli/daemon.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pidsup.config.model import OutputSpec
from pidsup.log import Log
from pidsup.loop.loop import Loop


class SlotOutput:
    dropped_bytes = 0

    def fds(self, uid: int | None) -> dict[int, int]:
        return {}

    def begin(self, serial: int) -> None:
        pass

    def ended(self) -> None:
        pass

    def last_lines(self, count: int) -> list[str]:
        return []

    def close(self) -> None:
        pass


class Outputs:
    def __init__(self, loop: Loop, log: Log, *, console_format: str) -> None:
        pass

    def open(self, spec: OutputSpec, *, slot: str, values: Mapping[str, str]) -> SlotOutput:
        return SlotOutput()

    def close(self) -> None:
        pass
