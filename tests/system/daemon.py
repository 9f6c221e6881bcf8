"""A running `pidsup run`, and what tests ask of it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

from pidsup.client import Client, NotRunning
from pidsup.control.paths import SOCKET, socket_path
from pidsup.watcher.plan import PROTOCOL_VARIABLES
from tests.support import LIMIT_S, is_sanitized, wait_until

_NUMBERS = itertools.count(1)
_BIN = Path(sys.executable).parent


class Daemon:
    """One supervisor under test.  Owns its process and a connection to it."""

    def __init__(
        self,
        directory: Path,
        document: str,
        *,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        runtime: str | None = None,
        quiet: bool = False,
    ) -> None:
        """Write the configuration; *prefix* is put before the command (setpriv, prlimit).

        *runtime* is where its runtime directory will be, if it runs as another user;
        *quiet* throws its log away.
        """
        self.name = f"test-{os.getpid()}-{next(_NUMBERS)}"
        self.file = directory / f"{self.name}.toml"
        self.file.write_text(dedent(document))
        self.log_file = Path(os.devnull) if quiet else directory / f"{self.name}.log"
        self.socket = f"{runtime}/{self.name}/{SOCKET}" if runtime else socket_path(self.name)
        self._command = [*prefix, str(_BIN / "pidsup"), "run", "-c", str(self.file)]
        # A service manager of the test run's own would have it end when a start fails.
        inherited = {k: v for k, v in os.environ.items() if k not in PROTOCOL_VARIABLES}
        self._environment = {**inherited, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None

    def begin(self) -> None:
        """Start it, and wait until it listens."""
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._is_up, f"daemon up: {self.log()}")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self._process.returncode}: {self.log()}")
        try:
            self._client = Client(self.socket)
        except (NotRunning, PermissionError):
            return False
        return True

    @property
    def pid(self) -> int:
        """Return the daemon's pid."""
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> Client:
        """Return the one connection to it."""
        if self._client is None:
            self._client = Client(self.socket)
        return self._client

    def log(self) -> str:
        """Return what it and its workers have written."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pidsupctl on it."""
        return subprocess.run(
            [_BIN / "pidsupctl", "-n", self.name, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=self._environment,
        )

    def status(self, *selectors: str) -> Any:
        """Ask for the status."""
        return self.client.call("Status", selectors=list(selectors) or None)

    def slots(self, *selectors: str) -> dict[str, Any]:
        """Return the slots by name."""
        return {s["name"]: s for w in self.status(*selectors)["watchers"] for s in w["slots"]}

    def pids(self, *selectors: str) -> dict[str, int]:
        """Return the pid of each slot that has a worker."""
        return {name: s["pid"] for name, s in self.slots(*selectors).items() if s["pid"]}

    def await_slots(self, test: Callable[[dict[str, Any]], object], what: str = "") -> None:
        """Wait until *test* holds of the slots by name."""
        wait_until(lambda: test(self.slots()), f"{what}; {self.slots()}\n{self.log()}")

    def send(self, signo: int) -> None:
        """Signal the daemon, our own child."""
        assert self._process is not None
        self._process.send_signal(signo)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        if self._client is not None:
            self._client.close()
            self._client = None
        return self._process.wait(LIMIT_S)

    def descendants(self) -> list[int]:
        """Return the pids of all below it, zombies too."""
        found: list[int] = []
        todo = [self.pid]
        while todo:
            for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
                try:
                    children = list(map(int, task.read_text().split()))
                except OSError:
                    continue
                found += children
                todo += children
        return found

    def rss_kb(self) -> int:
        """Return its resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def has_grown(self, since_kb: int, by_kb: int) -> bool:
        """Tell whether its memory has grown; not under AddressSanitizer, which frees late."""
        return not is_sanitized() and self.rss_kb() >= since_kb + by_kb

    def end(self) -> None:
        """Shut it down if it still runs, killing what it does not, and check its traces."""
        if self._process is None:
            return
        before = self.descendants() if self._process.poll() is None else []
        for patience in (LIMIT_S / 3, LIMIT_S / 3, 0):
            if self._process.poll() is not None:
                break
            self._process.send_signal(signal.SIGTERM if patience else signal.SIGKILL)
            try:
                self._process.wait(patience or None)
            except subprocess.TimeoutExpired:
                continue
        self.wait()
        assert self._process.returncode >= 0, f"it had to be killed: {self.log()}"
        assert not [pid for pid in before if _lives(pid)], "it left processes behind"
        assert not os.path.exists(os.path.dirname(self.socket)), "it left its directory behind"
        assert "Traceback" not in self.log(), self.log()


def _lives(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def is_gone(pid: int) -> bool:
    """Tell whether there is no such process any more."""
    return not _lives(pid)


def elapsed(since: float) -> float:
    """Return the seconds since a time.monotonic()."""
    return time.monotonic() - since
