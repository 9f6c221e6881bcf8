"""How a log words events, facts and times."""

from __future__ import annotations

from collections.abc import Mapping
from time import gmtime, strftime

#: For programs: fields of the journal, but no part of a line.
DETAILS = frozenset({"serial", "generation"})


def worded(event: str, facts: Mapping[str, object]) -> str:
    """Return a line: the event, then key=value."""
    told = (f"{key}={_quoted(value)}" for key, value in facts.items() if key not in DETAILS)
    return " ".join([event, *told])


def plain(value: object) -> str:
    """Return a value as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _quoted(value: object) -> str:
    text = plain(value)
    is_plain = text.isprintable() and not any(c in text for c in " \"'=")
    return text if text and is_plain else repr(text)


class Timestamps:
    """Times as lines have them, RFC 3339 in UTC, with milliseconds."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        """Remember the last second that was formatted."""
        self._second, self._text = -1, ""

    def __call__(self, at: float) -> str:
        """Format *at*, seconds since 1970."""
        second = int(at)
        if second != self._second:
            self._second, self._text = second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._text}.{int(at % 1 * 1000):03}Z"


def span(seconds: float) -> str:
    """Word a number of seconds: "5 ms", "1.2 s", "14 s", "3 min", "5 h", "12 d"."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{int(seconds)} s"
