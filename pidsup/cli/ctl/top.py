"""`pidsupctl top`: watch what workers use, in place; or print it, without a terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK, Complaint
from pidsup.cli.ctl.reach import reach
from pidsup.cli.ctl.status import PATIENCE_S
from pidsup.cli.ctl.terminal import Terminal, put, standard_output
from pidsup.cli.ctl.top_rows import Look
from pidsup.cli.ctl.top_view import View
from pidsup.client import Client, NotAnswering, NotRunning

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, no cursor, no wrapping
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_BETWEEN_S = 0.5  # the two looks that a single sample needs
_LEAST_S = 0.1
_KILLED = 128

_SEQUENCES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1b[5~": "pgup", b"\x1b[6~": "pgdn", b"\x1b[H": "home", b"\x1b[F": "end",
    b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\x1b": "escape", b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace",
}  # fmt: skip


def run(given: Given, client: Client) -> int:
    """Show looks until somebody quits; print them where there is no terminal."""
    delay_s = max(_LEAST_S, given.delay)
    terminal = standard_output(given.color)
    source = _Source(given, client)
    view = View(given.sort or "cpu")
    view.take(source.look())  # a name that is wrong is said before the screen is taken
    if given.batch or not terminal.live or not sys.stdin.isatty():
        return _batch(given, view, source)
    with _Screen() as screen:
        looks = 1
        while _show(view, screen, terminal, delay_s) and looks != given.count:
            source.look_again(view)
            looks += 1
    return OK


def _show(view: View, screen: _Screen, terminal: Terminal, delay_s: float) -> bool:
    """Draw, and do what keys mean, until the next look is due; False when it is over."""
    due_at = time.monotonic() + delay_s
    while (left_s := due_at - time.monotonic()) > 0:
        columns, lines = os.get_terminal_size(1)
        screen.draw(view.screen(columns, lines, terminal))
        for key in screen.keys(left_s):
            view.press(key)
        if view.over:
            return False
    return True


def _batch(given: Given, view: View, source: _Source) -> int:
    terminal = standard_output("never")
    count = 1 if given.count is None else given.count
    for number in range(count):
        time.sleep(min(_BETWEEN_S, given.delay) if number == 0 else given.delay)
        view.take(source.look())
        put([*([""] if number else []), *view.batch(terminal)])
        sys.stdout.flush()
    return OK


class _Source:
    """Takes looks at one supervisor, the next one too when it is started anew."""

    def __init__(self, given: Given, client: Client) -> None:
        self._given = given
        self._client: Client | None = client
        self._selectors = given.selectors or None

    def look(self) -> Look:
        """Ask; errors as of Client.call."""
        if self._client is None:
            self._client = reach(self._given)
        call: Callable[..., dict[str, object]] = self._client.call
        stats = call("Stats", within_s=PATIENCE_S, selectors=self._selectors)
        return Look(call("Status", within_s=PATIENCE_S, selectors=self._selectors), stats)

    def look_again(self, view: View) -> None:
        """Ask for the view; what is wrong is said there, and tried again the next time."""
        try:
            view.take(self.look())
        except (NotAnswering, NotRunning, Complaint, PermissionError) as error:
            view.trouble = f"{error}; trying again"
            if self._client is not None:
                self._client.close()
                self._client = None


class _Screen:
    """The terminal while it is ours; given back however we end, but by SIGKILL."""

    def __init__(self) -> None:
        self._before = termios.tcgetattr(0)
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        for signo in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signo, _end)
        signal.signal(signal.SIGTSTP, self._suspend)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        os.close(self._woken)
        os.close(self._wake)

    def _take(self) -> None:
        tty.setcbreak(0)
        _write(_ENTER)

    def _give_back(self) -> None:
        _write(_LEAVE)
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _suspend(self, *_: object) -> None:
        """Stop as Ctrl-Z wants it, and take the terminal again when we go on."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        self._take()

    def draw(self, lines: list[str]) -> None:
        """Replace what is on the screen, in one write: it does not flicker."""
        # Erased first: behind the last column it would be that column.
        _write("\x1b[H" + "\r\n".join(f"\x1b[K{line}" for line in lines))

    def keys(self, within_s: float) -> Iterator[str]:
        """Wait for keys, or a new size of the window, no longer than this; yield the keys."""
        poll = select.poll()
        for fd in (0, self._woken):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(within_s * 1000)}
        if self._woken in ready:
            os.read(self._woken, 4096)
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:  # the terminal has gone
                raise SystemExit(_KILLED + signal.SIGHUP)
            yield from split_keys(data)


def split_keys(data: bytes) -> Iterator[str]:
    """Yield the names of keys: "up", "enter", "q"."""
    while data:
        known = max((s for s in _SEQUENCES if data.startswith(s)), key=len, default=b"")
        if known == b"\x1b" and data[1:2] in (b"[", b"O"):  # a key that we do not know
            at = 2
            while at < len(data) and not 0x40 <= data[at] <= 0x7E:
                at += 1
            data = data[at + 1 :]
        elif known:
            yield _SEQUENCES[known]
            data = data[len(known) :]
        else:
            text = data.decode(errors="ignore")
            if text:
                yield text[0]
            data = text[1:].encode()


def _write(text: str) -> None:
    view = memoryview(text.encode(sys.stdout.encoding, "replace"))
    while view:
        view = view[os.write(1, view) :]


def _end(signo: int, _: object) -> None:
    raise SystemExit(_KILLED + signo)
