"""One call as a method sees it: who asks, what for, and with which parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pidsup.control.roles import Role
from pidsup.errors import Invalid
from pidsup.supervisor.changes import Actor

_LONGEST_MS = 10**12  # thirty years: what a clock can add


class Caller(NamedTuple):
    """Who asks, and what that one may do."""

    uid: int
    role: Role
    #: Finds out the rest; only what changes something needs to know.
    actor: Callable[[], Actor]


class Request(NamedTuple):
    """A call."""

    given: Parameters
    caller: Caller
    more: bool  #: as many answers as there are


class Parameters:
    """The parameters of one call: each is taken once, and none may be left."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take over a copy; null is as good as absent."""
        self._left = {key: value for key, value in given.items() if value is not None}

    def take(self, name: str, default: object = None) -> Any:
        """Take one, whatever it is."""
        return self._left.pop(name, default)

    def done(self) -> None:
        """Refuse what no method has asked for."""
        for name in self._left:
            raise Invalid(name, "unknown parameter")

    def optional_strings(self, name: str) -> list[str] | None:
        """Take an array of strings, if it is there."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Invalid(name, "must be an array of strings")
        return value

    def strings(self, name: str) -> list[str]:
        """Take an array of at least one string."""
        value = self.optional_strings(name)
        if not value:
            raise Invalid(name, "must name at least one")
        return value

    def selectors(self) -> list[str]:
        """Take the selectors of what is only looked at: everything without them."""
        value = self.optional_strings("selectors")
        return ["*"] if value is None else value

    def optional_integer(self, name: str) -> int | None:
        """Take a whole number, if it is there."""
        value = self.take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise Invalid(name, "must be a whole number")
        return value

    def optional_count(self, name: str) -> int | None:
        """Take a whole number that is not negative, if it is there."""
        value = self.optional_integer(name)
        if value is not None and value < 0:
            raise Invalid(name, "must not be negative")
        return value

    def optional_number(self, name: str) -> float | None:
        """Take a number, if it is there."""
        value = self.take(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise Invalid(name, "must be a number")
        return value

    def optional_text(self, name: str) -> str | None:
        """Take a string, if it is there."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise Invalid(name, "must be a string")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Take a boolean."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise Invalid(name, "must be true or false")
        return value

    def one_of(self, name: str, *choices: str) -> str | None:
        """Take one of several words, if it is there."""
        value = self.take(name)
        if value is not None and value not in choices:
            raise Invalid(name, f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return None if value is None else str(value)

    def patience(self) -> tuple[bool, float | None]:
        """Take wait and timeout_ms, the last: whether to wait, and for how many seconds."""
        wait, timeout_ms = self.flag("wait", default=True), self.optional_integer("timeout_ms")
        if timeout_ms is not None and not 0 <= timeout_ms <= _LONGEST_MS:
            raise Invalid("timeout_ms", f"must be from 0 to {_LONGEST_MS}")
        self.done()
        return wait, None if timeout_ms is None else timeout_ms / 1000
