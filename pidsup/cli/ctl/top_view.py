"""What `top` has on its screen, and what keys do to it; no terminal here."""

from __future__ import annotations

import time
from collections.abc import Callable

from pidsup.cli.ctl.layout import flow
from pidsup.cli.ctl.status import socket_facts
from pidsup.cli.ctl.terminal import Terminal
from pidsup.cli.ctl.top_rows import SORTS, Look, Row, ordered, rows, shares
from pidsup.cli.ctl.words import clean, duration, size

_NAMES = 28  # columns of names, at most
_HELP = (
    ("up, down, j, k", "a line"),
    ("PgUp, PgDn, space", "a page"),
    ("Home, End, g, G", "the first, the last"),
    ("", ""),
    ("s", "sort by the next: cpu, mem, restarts, name"),
    ("c  m  r  n", "sort by cpu, mem, restarts, name"),
    ("t", "fold the slots of watchers, and unfold them"),
    ("/", "show only what has a text in name or state; Esc ends it"),
    ("q", "quit"),
    ("", ""),
    ("CPU%", "of one processor, over the time between two looks"),
    ("MEM", "memory; what processes share is counted in each of them"),
    ("THR", "threads"),
    ("RST", "restarts that nobody asked for"),
    ("", "Sums are over the tree of processes of each slot."),
)
_KEYS = "q quit  s sort  t fold  / filter  ? help"


class View:
    """The state of the screen: looks taken, order, filter, place."""

    def __init__(self, sort: str = "cpu") -> None:
        """Show nothing yet."""
        self.sort = sort
        self.folded = False
        self.only = ""
        self.typing = False
        self.help = False
        self.top = 0  #: number of the first row that is shown
        self.trouble = ""  #: why there is no fresh look
        self.over = False
        self.page = 1  #: rows of a page
        self._look: Look | None = None
        self._groups: list[list[Row]] = []

    def take(self, look: Look) -> None:
        """Take a new look."""
        before = self._look.stats if self._look else None
        self._look = look
        self._groups = rows(look, shares(before, look.stats))
        self.trouble = ""

    # --- keys

    def press(self, key: str) -> None:
        """Do what a key means."""
        if self.typing:
            self._type(key)
        elif self.help:
            self.help = False
        elif key in _ACTIONS:
            _ACTIONS[key](self)
        elif key in _SORT_KEYS:
            self.sort = _SORT_KEYS[key]

    def _type(self, key: str) -> None:
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, self.only = False, ""
        elif key == "backspace":
            self.only = self.only[:-1]
        elif len(key) == 1 and key.isprintable():
            self.only += key
        self.top = 0

    def quit(self) -> None:
        """End."""
        self.over = True

    def next_sort(self) -> None:
        """Sort by the next."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]

    def fold(self) -> None:
        """Hide the slots, or show them again."""
        self.folded = not self.folded
        self.top = 0

    def filter(self) -> None:
        """Let a text be typed."""
        self.typing, self.only = True, ""

    def unfilter(self) -> None:
        """Show everything again."""
        self.only = ""

    def show_help(self) -> None:
        """Explain the keys."""
        self.help = True

    def scroll(self, by: int) -> None:
        """Go so many rows down."""
        self.top = max(0, self.top + by)

    # --- the screen

    def screen(self, columns: int, lines: int, terminal: Terminal) -> list[str]:
        """Return exactly so many lines."""
        head = [_fit(line, columns, terminal) for line in self._head()][: max(1, lines // 3)]
        room = lines - len(head) - 2
        if self.help:
            body = _explained(columns)[: room + 1]
            body += [""] * (room + 1 - len(body))
        else:
            body = self._body(columns, room, terminal)
        return [*head, *body, self._foot(columns, terminal)][:lines]

    def _body(self, columns: int, room: int, terminal: Terminal) -> list[str]:
        shown = self._shown()
        self.page = max(1, room - 1)
        self.top = max(0, min(self.top, len(shown) - room))
        width = name_columns(shown)
        heads = terminal.paint("inverse", heading(width, self.sort).ljust(columns)[:columns])
        body = [heads, *(painted(r, width, columns, terminal) for r in shown[self.top :][:room])]
        return body + [""] * (room + 1 - len(body))

    def _shown(self) -> list[Row]:
        return ordered(self._groups, self.sort, folded=self.folded, only=self.only)

    def _head(self) -> list[str]:
        if self._look is None:
            return ["pidsupctl top", self.trouble]
        status = self._look.status
        watchers = [group[0] for group in self._groups]
        wanted = sum(w["workers"] for w in status["watchers"] if w["running"])
        ready = sum(w["ready"] for w in status["watchers"])
        slots = [row for group in self._groups for row in group[1:]]
        failed = sum(row.state == "failed" for row in slots)
        trying = sum(row.state == "backoff" for row in slots)
        first = (
            f"{status['name']}  up {duration(status['up_s'])}  {ready} of {wanted} workers ready"
        )
        first += f"  {failed} failed" if failed else ""
        first += f"  {trying} to be retried" if trying else ""
        first += "  shutting down" if status["state"] == "stopping" else ""
        second = (
            f"cpu {sum(row.cpu for row in watchers):.0f}%  mem {size(sum(r.mem for r in watchers))}"
            f"  processes {sum(row.processes for row in watchers)}"
            f"  threads {sum(row.threads for row in watchers)}"
            f"  restarts {sum(row.restarts for row in watchers)}"
        )
        sockets = "  ".join(socket_facts(socket) for socket in self._look.stats["sockets"])
        return [first, second, *([sockets] if sockets else [])]

    def _foot(self, columns: int, terminal: Terminal) -> str:
        if self.trouble:
            return terminal.paint("red", terminal.cut(self.trouble, columns))
        if self.typing:
            return terminal.cut(f"show only: {self.only}_", columns)
        shown = self._shown()
        left = f"sorted by {self.sort}" + (f", only {self.only!r}" if self.only else "")
        if shown:
            last = min(len(shown), self.top + self.page + 1)
            left += f"  {self.top + 1}-{last} of {len(shown)}"
        gap = max(2, columns - len(left) - len(_KEYS))
        return terminal.paint("dim", terminal.cut(left + " " * gap + _KEYS, columns))

    def batch(self, terminal: Terminal) -> list[str]:
        """Return all of it, for a file."""
        shown = self._shown()
        width = name_columns(shown)
        lines = [heading(width, ""), *(painted(row, width, None, terminal) for row in shown)]
        return [time.strftime("%Y-%m-%d %H:%M:%S"), *self._head(), *lines]


_ACTIONS: dict[str, Callable[[View], None]] = {
    "q": View.quit,
    "s": View.next_sort,
    "t": View.fold,
    "/": View.filter,
    "?": View.show_help,
    "h": View.show_help,
    "escape": View.unfilter,
    "up": lambda view: view.scroll(-1),
    "k": lambda view: view.scroll(-1),
    "down": lambda view: view.scroll(1),
    "j": lambda view: view.scroll(1),
    "pgup": lambda view: view.scroll(-view.page),
    "pgdn": lambda view: view.scroll(view.page),
    " ": lambda view: view.scroll(view.page),
    "home": lambda view: view.scroll(-view.top),
    "g": lambda view: view.scroll(-view.top),
    "end": lambda view: view.scroll(1 << 30),
    "G": lambda view: view.scroll(1 << 30),
}
_SORT_KEYS = {sort[0]: sort for sort in SORTS}


# --- lines


def name_columns(shown: list[Row]) -> int:
    """Return how wide names are; those of slots stand two to the right."""
    widths = (len(row.name) + 2 * (not row.is_watcher) for row in shown)
    return min(_NAMES, max(widths, default=4))


def heading(width: int, sort: str) -> str:
    """Return the heads of the columns; a star marks the one that gives the order."""
    marks = {name: "*" if name == sort else "" for name in SORTS}
    name, cpu, mem = "NAME" + marks["name"], marks["cpu"] + "CPU%", marks["mem"] + "MEM"
    return (
        f"{name:{width}}  {'STATE':9} {'PID':>7} {'UP':>6} {cpu:>6} {mem:>5} {'THR':>4} "
        f"{marks['restarts'] + 'RST':>4}"
    )


def painted(row: Row, width: int, columns: int | None, terminal: Terminal) -> str:
    """Return the line of a row, no wider than the screen."""
    name = terminal.cut(row.name if row.is_watcher else f"  {row.name}", width).ljust(width)
    up = "" if row.up_s is None else duration(row.up_s)
    left = (
        f" {row.pid or '':>7} {up:>6} {row.cpu:>6.1f} {size(row.mem):>5} {row.threads:>4} "
        f"{row.restarts:>4}  {clean(row.more)}"
    )
    taken = width + 2 + 9
    if columns is not None:
        if columns <= taken:
            return f"{name}  {row.state}"[:columns]
        left = terminal.cut(left, columns - taken)
    name = terminal.paint("bold" if row.is_watcher else "", name)
    return f"{name}  {terminal.state(row.state, 9)}{left}".rstrip()


def _explained(columns: int) -> list[str]:
    """Return the help, no wider than the screen."""
    narrow = Terminal(columns)
    return [
        narrow.cut(line.rstrip(), columns)
        for keys, text in _HELP
        for line in flow(f"  {keys:19}", 21, [("", text)], narrow)
    ]


def _fit(line: str, columns: int, terminal: Terminal) -> str:
    return terminal.cut(line, columns)
