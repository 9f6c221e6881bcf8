"""Read the configuration again, in a process of its own.

Reading it takes megabytes that the daemon does not want, and may hang with the file system;
so the spawner starts a program that does it, between two memory files: what is in force,
and what it has found.  That is not its standard output: whatever a site has Python load may
print something there.  It is told apart from other children as all are, by its Child.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from signal import SIGKILL
from typing import NamedTuple, Protocol

from pidsup.config.diff import Difference
from pidsup.config.model import Config, config
from pidsup.kernel import Kernel, Plan
from pidsup.loop.loop import Handle, Loop
from pidsup.process.child import Child, Whom
from pidsup.process.exit import report
from pidsup.process.spawner import Request, Spawner, Start

FOUND_FD = 3  #: of the reader: for what it has found
_CANNOT = "cannot read the configuration"
PATIENCE_S = 30.0  #: with the file system; a thousand watchers take it 2 s


class Reading(NamedTuple):
    """What was read."""

    errors: Sequence[str]  #: why it cannot be used
    warnings: Sequence[str] = ()
    differences: Sequence[Difference] = ()  #: from what is in force
    config: Config | None = None  #: None if there are errors
    text: bytes = b""  #: all that the reader told, with what that was made of, as "expanded"


Tell = Callable[[Reading], object]


class Reader(Protocol):
    """What reads it: one reading at a time."""

    def begin(self, tell: Tell) -> None:
        """Read; *tell* is called once, from a later turn or from this one."""

    def cancel(self, on_gone: Callable[[], object]) -> None:
        """Read no further, and tell nobody; *on_gone* hears when nothing of it is left."""

    def is_busy(self) -> bool:
        """Tell whether something of it is still there."""

    def accept(self, reading: Reading) -> None:
        """Take what was read for what is in force from now on."""


class FileReader:
    """Has the files read by *command*.  Owns the process, its timer and its memory files."""

    def __init__(
        self,
        command: Sequence[str],
        in_force: bytes,
        *,
        environment: Mapping[str, str],
        null_fd: int,
        kernel: Kernel,
        loop: Loop,
        spawner: Spawner,
    ) -> None:
        """Borrow all; *in_force* is expanded, as JSON, config/model.py."""
        self._command = command
        self._in_force = b'{"expanded":%b}' % in_force
        self._environment = environment
        self._null_fd = null_fd
        self._kernel = kernel
        self._loop = loop
        self._spawner = spawner
        self._on_gone: Callable[[], object] = bool
        self._tell: Tell | None = None
        self._files: list[int] = []  # what is in force, and what it finds
        self._request: Request | None = None
        self._child: Child | None = None
        self._timer: Handle | None = None

    def begin(self, tell: Tell) -> None:
        """Ask for the process; one that hung and cannot be killed keeps others from coming."""
        if self.is_busy():
            where = self._child.sleeps_in() if self._child is not None else "not begun"
            tell(Reading([f"{_CANNOT}: the process that did so last still hangs, {where}"]))
            return
        self._tell = tell
        try:
            for _ in range(2):
                self._files.append(self._kernel.store())
            self._kernel.pwrite(self._files[0], self._in_force, 0)
        except OSError as error:
            self._end(f"{_CANNOT}: {error.strerror}")
            return
        at = self._kernel.now() + PATIENCE_S
        self._timer = self._loop.call_at(at, self._takes_too_long)
        self._request = self._spawner.request(self)

    def cancel(self, on_gone: Callable[[], object] = bool) -> None:
        """Kill it; it is reaped as any other."""
        self._tell, self._on_gone = None, on_gone
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child is not None:
            self._child.signal(SIGKILL, Whom.ALL)
        elif self._request is not None:
            self._spawner.cancel(self._request)

    def is_busy(self) -> bool:
        """Tell whether there is a process, or will be."""
        return self._request is not None

    def accept(self, reading: Reading) -> None:
        """Keep it, for the next comparison."""
        self._in_force = reading.text

    def _takes_too_long(self) -> None:
        self._timer = None
        tell, self._tell = self._tell, None
        self.cancel()
        if tell is not None:
            tell(Reading([f"{_CANNOT}: it takes more than {PATIENCE_S:g} s"]))

    # Requester, for the spawner

    def prepare(self) -> Start:
        """Return how to start it, as this process was: same program, same directory."""
        plan = Plan(self._command, environment=self._environment, fds=[self._null_fd, 2, 2])
        in_force, found = self._files
        return Start(plan, {0: in_force, FOUND_FD: found})

    def spawned(self, child: Child) -> None:
        """Wait for its end."""
        self._child = child
        if self._tell is None:  # cancelled, a moment too late
            child.signal(SIGKILL, Whom.ALL)
        child.watch(self._exited)

    def spawn_failed(self, error: Exception | None) -> None:
        """Say why there is none."""
        self._end(f"{_CANNOT}: {error}")

    def _exited(self) -> None:
        child = self._child
        assert child is not None and child.exit is not None  # noqa: S101, PT018  it was reaped
        child.close()
        ended = child.exit
        if ended.code == 0 and ended.signal is None:
            self._end("")
        else:
            self._end(f"{_CANNOT}: the process that reads it {report(ended)}")

    # --- the end of it

    def _end(self, why: str) -> None:
        """Tell what was read, or why nothing was, and give up all."""
        reading = Reading([why]) if why or self._tell is None else self._outcome()
        while self._files:
            self._kernel.close(self._files.pop())
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._request = self._child = None
        tell, self._tell = self._tell, None
        if tell is None:
            self._on_gone()
        else:
            tell(reading)

    def _outcome(self) -> Reading:
        try:
            return self._found()
        except (OSError, ValueError, LookupError, TypeError) as error:  # not what we have started
            return Reading([f"{_CANNOT}: the process that reads it told nonsense: {error!r}"])

    def _found(self) -> Reading:
        fd = self._files[1]
        text = os.pread(fd, os.fstat(fd).st_size, 0)
        told = json.loads(text)
        differences = [Difference(*each) for each in told["differences"]]
        if told["errors"]:
            return Reading(told["errors"], told["warnings"])
        return Reading([], told["warnings"], differences, config(told["expanded"]), text)
