"""What a kind of value is: a name, a reader, a schema; and what is wrong with a value.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

#: What a kind returns, and what the expanded configuration consists of.
Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

#: Where something stands: ("watchers", "web", "stop_plan", 0, "signal").
Path = tuple[str | int, ...]

_MOST_SHOWN = 60  # characters of a value that is not what it should be


class Kind(NamedTuple):
    """A kind of value."""

    name: str  #: in messages and in the reference
    parse: Callable[[object], Value]  #: from TOML to plain JSON; raises Wrong
    schema: Mapping[str, object]  #: JSON Schema of what parse takes


class Wrong(ValueError):
    """A value is not of its kind; `reasons` are all of them, with where inside the value."""

    def __init__(self, *reasons: tuple[Path, str]) -> None:
        """Keep the reasons; the text has them all."""
        super().__init__("; ".join(spelled(where) + " " * bool(where) + t for where, t in reasons))
        self.reasons = reasons


def must_be(what: str, value: object) -> Wrong:
    """Return the error of a value that is something else."""
    return Wrong(((), f"must be {what}, not {shown(value)}"))


def shown(value: object) -> str:
    """Write a value for a message, not all of it when it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def spelled(path: Iterable[str | int]) -> str:
    """Write a path as people do: watchers.web.stop_plan[0].signal."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class Parts:
    """Reads a value part by part, so that all that is wrong with it is said at once."""

    def __init__(self) -> None:
        self._reasons: list[tuple[Path, str]] = []

    def read(self, where: str | int, parse: Callable[[object], Value], value: object) -> Value:
        """Return what *parse* makes of one part; None if it refuses, which is kept."""
        try:
            return parse(value)
        except Wrong as error:
            self._reasons += [((where, *deeper), text) for deeper, text in error.reasons]
            return None

    def refuse(self, where: str | int, text: str) -> None:
        """Keep what is wrong with one part."""
        self._reasons.append(((where,), text))

    def done(self) -> None:
        """Raise Wrong if something was."""
        if self._reasons:
            raise Wrong(*self._reasons)
