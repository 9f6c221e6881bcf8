"""What is wrong with a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pidsup.config.document import Document
from pidsup.config.kind import Path, spelled
from pidsup.errors import PidsupError


class Problem(NamedTuple):
    """One thing that is wrong with a configuration, and what to do about it."""

    key: str  #: "watchers.web.workers"; "" for the file as a whole
    text: str
    line: int | None = None
    file: str = ""
    is_warning: bool = False  #: it can be used all the same

    def __str__(self) -> str:
        """Render as "FILE:LINE: KEY: TEXT", leaving out what is not known."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.key, self.text) if part)


class ConfigError(PidsupError):
    """A configuration cannot be used; `problems` has all that was found, warnings too."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep *problems*, in the order of the files."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Findings:
    """Collects problems, and knows from the document where each stands."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[Problem] = []

    def error(self, path: Path, text: str) -> None:
        """Note what makes the configuration unusable."""
        self._note(path, text, is_warning=False)

    def warning(self, path: Path, text: str) -> None:
        """Note what is probably not meant."""
        self._note(path, text, is_warning=True)

    def add(self, problem: Problem) -> None:
        """Note a problem of another file."""
        self._found.append(problem)

    def _note(self, path: Path, text: str, *, is_warning: bool) -> None:
        file, line = self._document.where(path)
        self._found.append(Problem(spelled(path), text, line, file, is_warning))

    def is_wrong(self, path: Path) -> bool:
        """Tell whether an error was noted at *path* or inside it."""
        key = spelled(path)
        return any(
            not problem.is_warning and problem.key.startswith(key)
            for problem in self._found
            if problem.key[len(key) : len(key) + 1] in ("", ".", "[")
        )

    @property
    def has_errors(self) -> bool:
        """Whether the configuration cannot be used."""
        return not all(problem.is_warning for problem in self._found)

    def in_order(self) -> tuple[Problem, ...]:
        """Return all, in the order of the files and their lines."""
        files = {file: i for i, file in enumerate(self._document.files)}
        return tuple(sorted(self._found, key=lambda p: (files.get(p.file, -1), p.line or 0)))
