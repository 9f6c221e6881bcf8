"""What is wrong with a configuration."""

from __future__ import annotations

from typing import NamedTuple

from pidsup.config.kinds import Value
from pidsup.errors import PidsupError


class Problem(NamedTuple):
    """One thing that is wrong with a configuration, and what to do about it."""

    key: str  #: "watchers.web.workers"; "" for the file as a whole
    text: str
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        """Render as "FILE:LINE: KEY: TEXT", leaving out what is not known."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.key, self.text) if part)


class ConfigError(PidsupError):
    """A configuration cannot be used.

    `problems` has all that was found; `partial` is what could be read all the same, with
    defaults for what is wrong, or None.
    """

    def __init__(
        self, problems: tuple[Problem, ...], partial: dict[str, Value] | None = None
    ) -> None:
        """Keep *problems*, in the order of the file."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.partial = partial
