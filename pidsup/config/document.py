"""A configuration as written: one file and its drop-ins, and who said what.

Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import NamedTuple

from pidsup.config.kind import Path
from pidsup.config.where import lines_of_keys

_AT_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)")


class NotToml(ValueError):
    """A text is not TOML; `line` where that is known."""

    def __init__(self, text: str, line: int) -> None:
        """Word it as part of a message."""
        super().__init__(f"not valid TOML: {text[:1].lower()}{text[1:]}")
        self.line = line


class Origin(NamedTuple):
    """Where something was said."""

    file: str
    line: int | None


class Document:
    """Tables merged from files, the later ones counting for more."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.content: dict[str, object] = {}
        self._origins: dict[Path, Origin] = {}

    def add(self, text: str, file: str) -> None:
        """Merge another file, tables key by key, all else replaces; NotToml if it is not."""
        self.files.append(file)
        try:
            content = tomllib.loads(text)
            lines = lines_of_keys(text)
        except tomllib.TOMLDecodeError as error:
            match = _AT_LINE.fullmatch(str(error))
            line = int(match[2]) if match and match[2] else text.count("\n") + 1
            raise NotToml(match[1] if match else str(error), line) from error
        except (RecursionError, ValueError) as error:  # nested too deeply; a number too long
            raise NotToml(str(error), 1) from error
        for path in _merge(self.content, content, ()):
            for old in [known for known in self._origins if known[: len(path)] == path]:
                del self._origins[old]
        for path, line in lines.items():
            self._origins.setdefault(path, Origin(file, line))

    def note(self, path: Path, file: str, line: int) -> None:
        """Note that another file, which is not TOML, has said *path*."""
        self._origins.setdefault(path, Origin(file, line))

    def says(self, *path: str) -> bool:
        """Tell whether a key is in one of the files."""
        found: object = self.content
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True

    def where(self, path: Path) -> Origin:
        """Return who said *path*, or first something in it, or the nearest table around it."""
        while path:
            if path in self._origins:
                return self._origins[path]
            for known, origin in self._origins.items():
                if known[: len(path)] == path:  # [a.b] says a, and has no line for it
                    return origin
            path = path[:-1]
        return Origin(self.files[0], None)


def _merge(into: dict[str, object], more: Mapping[str, object], path: Path) -> list[Path]:
    """Merge tables; return the paths of what was replaced."""
    replaced: list[Path] = []
    for key, value in more.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            replaced += _merge(old, value, (*path, key))
        else:
            replaced += [(*path, key)] if key in into else []
            into[key] = value
    return replaced
