"""Outputs on a loop, with processes as a slot would start them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from itertools import count
from typing import Any

from pidsup.config.model import OutputSpec
from pidsup.output.journal import NOT_OURS, OurJournal
from pidsup.output.outputs import Line, Outputs, SlotOutput
from tests.support import LIMIT_S, EpollDriver, run_until, sh


class Said:
    """A log that remembers: (event, facts)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.bugs: list[Exception] = []

    def info(self, event: str, /, **facts: object) -> None:
        self.lines.append((event, facts))

    warning = error = info

    def bug(self, error: Exception, /) -> None:
        self.bugs.append(error)

    def facts(self, event: str) -> list[dict[str, object]]:
        return [facts for said, facts in self.lines if said == event]


class Reader:
    """A pipe that a console writes to.  Owns both ends."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        os.set_blocking(self.out, False)

    def read(self) -> bytes:
        data = b""
        try:
            while more := os.read(self.out, 1 << 20):
                data += more
        except BlockingIOError:
            pass
        return data

    def close(self) -> None:
        for fd in (self.out, self.into):
            os.close(fd)


class Box:
    """Outputs, and what they need and write to."""

    def __init__(
        self,
        driver: EpollDriver,
        *,
        console_format: str = "prefixed",
        journal: OurJournal = NOT_OURS,
    ) -> None:
        self.driver = driver
        self.log = Said()
        self.stdout, self.stderr = Reader(), Reader()
        self.outputs = Outputs(
            driver.loop,
            self.log,
            console_format=console_format,
            console_fds=(self.stdout.into, self.stderr.into),
            journal=journal,
        )
        self._serials = count(1)
        self._is_closed = False

    def slot(self, name: str = "web:0", **spec: Any) -> SlotOutput:
        return self.outputs.open(
            OutputSpec(**{"stdout": "capture", "stderr": "capture", **spec}), slot=name, values={}
        )

    def start(
        self, slot: SlotOutput, command: Sequence[str], **how: Any
    ) -> subprocess.Popen[bytes]:
        """Start a worker as a watcher does."""
        fds = slot.fds(how.get("user"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=fds.get(1, subprocess.DEVNULL),
            stderr=fds.get(2, subprocess.DEVNULL),
            **how,
        )
        slot.begin(next(self._serials))
        return process

    def run(self, slot: SlotOutput, script: str | Sequence[str], **how: Any) -> int:
        """Run a worker to its end; return its exit code."""
        process = self.start(slot, sh(script) if isinstance(script, str) else script, **how)
        self.until(lambda: process.poll() is not None, f"{script} ended")
        slot.ended()
        return process.returncode

    def until(self, predicate: Any, what: str = "", limit_s: float = LIMIT_S) -> None:
        """Turn the loop, every few ms at least: processes and threads announce nothing here."""
        ticker = Ticker(self.driver)
        ticker.tick()
        try:
            run_until(self.driver, predicate, what, limit_s)
        finally:
            ticker.cancel()

    def settle(self) -> None:
        """Let the console write what it can."""
        for _ in range(6):
            self.driver.turn(lambda: True)

    def lines(self, *slots: SlotOutput, **how: Any) -> list[Line]:
        """Return what is in memory."""
        follower = self.outputs.follow(slots, **how)
        found: list[Line] = []
        while not follower.over:
            found += follower.take(1 << 16)[0]
        follower.close()
        return found

    def texts(self, *slots: SlotOutput, **how: Any) -> list[str]:
        return [line.data.decode() for line in self.lines(*slots, **how)]

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.outputs.close()
            self.stdout.close()
            self.stderr.close()


class Ticker:
    """Wakes a loop every few ms."""

    def __init__(self, driver: EpollDriver) -> None:
        self._driver = driver
        self._on = True

    def tick(self) -> None:
        if self._on:
            self._driver.loop.call_at(self._driver.loop.time() + 0.002, self.tick)

    def cancel(self) -> None:
        self._on = False
