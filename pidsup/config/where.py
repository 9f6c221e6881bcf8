"""Find the line on which each key of a TOML document stands, for messages.

Pure.  tomllib says nothing of positions; this reads just enough of TOML's
grammar to follow tables, keys, strings and brackets, and is only ever used on
documents that tomllib has accepted.  Where it is wrong, a message names a line
nearby.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pidsup.config.kind import Path

_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|(?P<skip>#[^\n]*|[ \t\r]+)"
    r"|[^\s\[\]{},=.#\"']+"
    r"|.|\n",
    re.DOTALL,
)


class _Token(NamedTuple):
    text: str
    line: int


def lines_of_keys(document: str) -> dict[Path, int]:
    """Return the first line, from 1, of every table, key and element of an array."""
    return _Walk(document).found


def line_of(found: Mapping[Path, int], path: Path) -> int | None:
    """Return the line of *path*, or of the nearest table around it."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return None


class _Walk:
    """One pass over the tokens of a document."""

    def __init__(self, document: str) -> None:
        self.found: dict[Path, int] = {}
        self._tokens = _tokens(document)
        self._at = 0
        self._elements: dict[Path, int] = {}  # how many an array of tables has so far
        table: Path = ()
        while self._peek():
            if self._peek() == "\n":
                self._next()
            elif self._peek() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _header(self) -> Path:
        line = self._next().line
        is_array = self._peek() == "["
        if is_array:
            self._next()
        path: Path = ()
        for part in self._key("]"):
            path = (*path, part)
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
        if is_array:
            if isinstance(path[-1], int):
                path = path[:-1]
            index = self._elements.get(path, 0)
            self._elements[path] = index + 1
            self.found.setdefault(path, line)
            path = (*path, index)
        while self._peek() == "]":
            self._next()
        self.found.setdefault(path, line)
        return path

    def _key(self, end: str) -> Path:
        parts: list[str] = []
        while self._peek() not in (end, ""):
            part = self._next().text
            if part != ".":
                parts.append(part[1:-1] if part[0] in "\"'" else part)
        return tuple(parts)

    def _assignment(self, table: Path) -> None:
        line = self._tokens[self._at].line
        path = (*table, *self._key("="))
        self._next_if("=")
        self.found.setdefault(path, line)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._next_if("["):
            self._array(path)
        elif self._next_if("{"):
            while self._peek() not in ("}", ""):
                if self._peek() in (",", "\n"):
                    self._next()
                else:
                    self._assignment(path)
            self._next_if("}")
        else:
            while self._peek() not in (",", "]", "}", "\n", ""):
                self._next()

    def _array(self, path: Path) -> None:
        index = 0
        while self._peek() not in ("]", ""):
            if self._peek() in (",", "\n"):
                index += self._next().text == ","
            else:
                self.found.setdefault((*path, index), self._tokens[self._at].line)
                self._value((*path, index))
        self._next_if("]")

    def _next_if(self, text: str) -> bool:
        if self._peek() != text:
            return False
        self._next()
        return True


def _tokens(document: str) -> list[_Token]:
    found: list[_Token] = []
    line = 1
    for match in _TOKEN.finditer(document):
        if match["skip"] is None:
            found.append(_Token(match[0], line))
        line += match[0].count("\n")
    return found
