"""How far a change is, drawn in place; and who keeps it waiting."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import TracebackType

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.layout import broken
from pidsup.cli.ctl.terminal import Terminal, size
from pidsup.cli.ctl.words import clean, duration
from pidsup.client import CallFailed, NotAnswering, NotRunning
from pidsup.control.protocol import Message
from pidsup.errors import PidsupError

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Self

_TICK_S = 0.1
_FIRST_S = 0.3  # what is over sooner is not drawn: it would only flicker
_PATIENCE_S = 2.0
_AGAIN_S = 1.0
_BUSY = ("waiting", "starting", "stopping", "killing", "cleaning", "backoff")
_MOST = 5  # slots that are named


class Progress:
    """Lines about one change, at the cursor, until it is over.

    Drawn by a timer's signal, as meanwhile the program sleeps in its connection; so nobody
    else may print.
    """

    def __init__(self, given: Given, terminal: Terminal) -> None:
        """Draw nothing yet."""
        self.change: Message | None = None  #: as last answered
        self._given = given
        self._terminal = terminal
        self._began_at = time.monotonic()
        self._asked_at = self._began_at + _PATIENCE_S - _AGAIN_S
        self._blockers: list[str] = []
        self._drawn = 0

    def __enter__(self) -> Self:
        """Begin to tick."""
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, _FIRST_S, _TICK_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing on the terminal."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._draw([])

    def _tick(self, *_: object) -> None:
        now = time.monotonic()
        if now >= self._asked_at + _AGAIN_S and not self._given.host:
            self._asked_at = now
            self._blockers = blockers(self._given)
        columns, rows = size(sys.stdout.fileno())
        here = Terminal(columns - 1)  # by now it may have another size
        lines = [self._terminal.cut(self._headline(now - self._began_at), columns - 1)]
        for line in self._blockers:
            lines += broken(line, here)
        self._draw(lines[: max(1, rows - 1)])  # what has scrolled away cannot be replaced

    def _headline(self, for_s: float) -> str:
        given, change = self._given, self.change
        name = given.does.name if change is None else change["kind"]
        what = " ".join([name, *given.selectors])
        if change is None:
            return f"{what}: {duration(for_s)}"
        return f"{what}: {change['over']} of {change['total']} done, {duration(for_s)}"

    def _draw(self, lines: list[str]) -> None:
        """Replace what was drawn."""
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._drawn = len(lines)
        text = up + "\r\x1b[J" + "".join(f"{line}\n" for line in lines)
        os.write(1, text.encode(sys.stdout.encoding, "replace"))


class Patience:
    """Says on stderr, once, for whom a command that takes long is waiting."""

    def __init__(self, given: Given) -> None:
        """Remember whom to ask about."""
        self._given = given

    def tell(self) -> None:
        """Ask on a second connection, and look where the processes sleep."""
        for line in blockers(self._given):
            print(line, file=sys.stderr)


def blockers(given: Given) -> list[str]:
    """Return a line per slot that is not where it is to be; [] where nobody tells."""
    answer = _status(given)
    if answer is None:
        return []
    slots = [s for w in answer["watchers"] for s in w["slots"] if s["state"] in _BUSY]
    lines = [f"waiting for {slot['name']}: {_why(slot)}" for slot in slots[:_MOST]]
    if len(slots) > _MOST:
        lines.append(f"and for {len(slots) - _MOST} more")
    return lines


def under_way(given: Given) -> Message | None:
    """Return the change that this process has asked for, while it is under way."""
    answer = _status(given)
    changes: list[Message] = [] if answer is None else answer["changes"]
    return next((change for change in changes if change["actor"]["pid"] == os.getpid()), None)


def _status(given: Given) -> Message | None:
    from pidsup.cli.ctl.reach import reach

    if given.host:  # another ssh, perhaps another password
        return None
    try:
        with reach(given) as client:
            return client.call("Status", within_s=1, selectors=given.selectors or None)
    except (CallFailed, NotAnswering, NotRunning, PidsupError, OSError):
        return None


def _why(slot: Message) -> str:
    from pidsup.linux import proc

    parts = [slot["state"], clean(slot["reason"])]
    if slot["pid"] is not None:
        state, where = proc.state(slot["pid"]), proc.wchan(slot["pid"])
        parts.append(f"pid {slot['pid']} is in state {state}" + (f", {where}" if where else ""))
    if slot["due_s"] is not None:
        parts.append(f"next step in {slot['due_s']:.1f} s")
    return "; ".join(part for part in parts if part)
