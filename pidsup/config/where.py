"""Find the line on which a key of a TOML document stands, for messages.

Pure.  tomllib says nothing of positions; this reads just enough of TOML's
grammar to follow tables, keys, strings and brackets, and is only ever used on
documents that tomllib has accepted.  Where it is wrong, a message names a line
nearby.
"""

from __future__ import annotations

import re

_Path = tuple[str, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(_KEY)
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""'
    r"|'''.*?'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)


def lines_of_keys(document: str) -> dict[_Path, int]:
    """Return the first line, from 1, of every table and key."""
    found: dict[_Path, int] = {}
    table: _Path = ()
    at, line = 0, 1
    while at < len(document):
        header = _HEADER.match(document, at)
        assignment = None if header else _ASSIGNMENT.match(document, at)
        match = header or assignment
        if match:
            line += document.count("\n", at, match.start(1))
            path = tuple(map(_unquoted, _PART.findall(match[1])))
            if header:
                table = path
            else:
                path = (*table, *path)
            found.setdefault(path, line)
            line += document.count("\n", match.start(1), match.end())
            at = match.end()
        at, line = _end_of_line(document, at, line)
    return found


def line_of(found: dict[_Path, int], path: _Path) -> int | None:
    """Return the line of *path*, or of the nearest table around it."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return None


def _unquoted(key: str) -> str:
    return key[1:-1] if key[0] in "\"'" else key


def _end_of_line(document: str, at: int, line: int) -> tuple[int, int]:
    """Skip to behind the newline that ends a value, which may span many lines."""
    depth = 0
    for token in _TOKEN.finditer(document, at):
        line += token[0].count("\n")
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            return token.end(), line
    return len(document), line
