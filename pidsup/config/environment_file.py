"""Files of NAME=value lines, as EnvironmentFile= of systemd.exec(5) reads them.

Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANK = " \t\r"


class Assignment(NamedTuple):
    """One variable; `line` is where it begins."""

    name: str
    value: str
    line: int


class Flaw(NamedTuple):
    """What is wrong with a line."""

    line: int
    text: str


def read_assignments(text: str) -> tuple[list[Assignment], list[Flaw]]:
    """Return all assignments and all that is wrong.

    Comments begin with # or ;, a backslash at the end of a line continues it, quotes
    may span lines.
    """
    reader = _Reader(text)
    found: list[Assignment] = []
    flaws: list[Flaw] = []
    while reader.skip_to_content():
        line, name = reader.line, reader.name()
        if name is None:
            flaws.append(Flaw(line, "has no '=': write NAME=value, or # before a comment"))
            continue
        value = reader.value()
        if value is None:
            flaws.append(Flaw(line, f"the quotes in the value of {name!r} have no end"))
        elif _NAME.fullmatch(name):
            found.append(Assignment(name, value, line))
        elif name.startswith("export "):
            flaws.append(Flaw(line, "is not read by a shell: leave out 'export'"))
        else:
            flaws.append(Flaw(line, f"cannot use the name {name!r}: letters, digits and '_'"))
    return found, flaws


class _Reader:
    """Walks a text character by character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.line = 1

    def _next(self) -> str:
        """Return the next character, "" at the end."""
        char = self._text[self._at : self._at + 1]
        self._at += 1
        self.line += char == "\n"
        return char

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _rest_of_line(self) -> str:
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        rest, self._at = self._text[self._at : end], end
        return rest

    def skip_to_content(self) -> bool:
        """Go to the next line that is neither empty nor a comment; False at the end."""
        while char := self._peek():
            if char in "#;":
                self._rest_of_line()
            elif char in _BLANK + "\n":
                self._next()
            else:
                return True
        return False

    def name(self) -> str | None:
        """Take what is before the '='; None, and the whole line, if there is none."""
        start = self._at
        name, equals, _ = self._rest_of_line().partition("=")
        if not equals:
            return None
        self._at = start + len(name) + 1
        return name.strip(_BLANK)

    def value(self) -> str | None:
        """Take what is behind the '='; None if a quote has no end."""
        parts: list[str] = []
        while char := self._next():
            if char == "\n":
                break
            if char in "\"'":  # quotes count where a word begins
                quoted = self._quoted(char)
                if quoted is None:
                    return None
                parts.append(quoted)
            elif char not in _BLANK:
                self._at -= 1
                parts.append(self._unquoted())
        return "".join(parts)

    def _quoted(self, quote: str) -> str | None:
        parts: list[str] = []
        while char := self._next():
            if char == quote:
                return "".join(parts)
            if char == "\\" and quote == '"':
                char = self._next()
                parts.append({"\n": ""}.get(char, char if char in '"\\`$' else f"\\{char}"))
            else:
                parts.append(char)
        return None

    def _unquoted(self) -> str:
        """Take the rest of the line, and more lines as long as they end with a backslash."""
        parts: list[str] = []
        kept = 0  # what is behind is white space, which counts only inside
        while (char := self._peek()) and char != "\n":
            self._next()
            if char == "\\":
                escaped = self._next()
                parts.append("" if escaped == "\n" else escaped)
                kept = len(parts)
            else:
                parts.append(char)
                kept = kept if char in _BLANK else len(parts)
        return "".join(parts[:kept])
