"""Where pidsupctl prints: how wide it is, and what it understands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from pidsup.cli.ctl.arguments import Given
    from pidsup.control.protocol import Message

_STYLES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36", "inverse": "7",
}  # fmt: skip

#: State -> how it looks.
STATES = {
    "ready": "green", "completed": "", "stopped": "dim", "failed": "red", "degraded": "red",
    "backoff": "yellow", "starting": "yellow", "stopping": "yellow", "killing": "yellow",
    "cleaning": "yellow", "waiting": "yellow", "doing": "yellow", "done": "green",
    "superseded": "magenta", "listening": "green",
}  # fmt: skip


class Terminal:
    """What is printed on.

    *columns* is None where lines may be as long as they like: in a pipe, in a file.
    *live* means that it can be drawn on again.
    """

    def __init__(
        self,
        columns: int | None = None,
        *,
        colour: bool = False,
        unicode: bool = True,
        live: bool = False,
    ) -> None:
        self.columns = columns
        self.colour = colour
        self.unicode = unicode
        self.live = live

    def paint(self, style: str, text: str) -> str:
        """Return *text* in a style, where colour is wanted."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[m" if self.colour and style and text else text

    def state(self, state: str, width: int = 0) -> str:
        """Return the name of a state in its colour, padded."""
        return self.paint(STATES.get(state, ""), state) + " " * (width - len(state))

    @property
    def ellipsis(self) -> str:
        """Return what stands for what was cut off."""
        return "…" if self.unicode else "..."

    def cut(self, text: str, columns: int) -> str:
        """Shorten text without colours to so many columns."""
        if cells(text) <= columns:
            return text
        return text[: fitting(text, columns - len(self.ellipsis))] + self.ellipsis


def cells(text: str) -> int:
    """Return how many columns a text takes: of east Asia's characters many take two."""
    return len(text) if text.isascii() else sum(_cells(text))


def fitting(text: str, columns: int) -> int:
    """Return how many characters of a text fit into so many columns."""
    if text.isascii():
        return max(0, columns)
    at = 0
    for count, width in enumerate(_cells(text)):
        at += width
        if at > columns:
            return count
    return len(text)


def _cells(text: str) -> Iterator[int]:
    from unicodedata import category, east_asian_width

    for character in text:
        wide = east_asian_width(character) in ("W", "F")
        yield 2 if wide else category(character) not in ("Mn", "Me", "Cf")


def standard_output(colour: str = "auto") -> Terminal:
    """Look at where we print; *colour* as --color has it."""
    columns = None
    live = False
    if sys.stdout.isatty():
        live = os.environ.get("TERM", "dumb") != "dumb"
        columns = size(sys.stdout.fileno())[0]
    if hasattr(sys.stdout, "reconfigure"):  # a name in a strange encoding is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    wanted = colour == "always" or (colour == "auto" and live and not os.environ.get("NO_COLOR"))
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Terminal(columns, colour=wanted, unicode=unicode, live=live)


def size(fd: int) -> tuple[int, int]:
    """Return columns and lines of a terminal, 80 and 24 where it does not know."""
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        return 80, 24
    return columns or 80, lines or 24


def put(lines: list[str]) -> None:
    """Print lines."""
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")


def put_json(message: dict[str, object]) -> None:
    """Print an object of the interface as it came, and of which schema it is."""
    import json

    print(json.dumps({"schema": 1, **message}, indent=2))


def put_as_asked(
    given: Given, answer: Message, lines: Callable[[Message, Terminal], list[str]]
) -> None:
    """Print an answer as JSON, or the lines that are made of it, as -o says."""
    if given.output == "json":
        put_json(answer)
    else:
        put(lines(answer, standard_output(given.color)))
