"""Placeholders: `{slot}`, `{generation}`, `{watcher}`, `{sockets.NAME}`, `{env.NAME}`.

Pure.  Only known names are placeholders, so that awk '{print}', JSON and f-strings
need no care; `{{slot}}` is the literal `{slot}`.  The loader finds out which names
a text uses, the daemon fills them in when it makes a worker's plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

#: Besides these, everything that begins with one of PREFIXES is a placeholder's name.
NAMES = ("slot", "generation", "watcher")
PREFIXES = ("sockets.", "env.")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace what *values* has, "slot" or "sockets.http", and leave the rest as it is.

    One pass: what a value brings along is not looked at again.
    """
    if "}" not in text:
        return text
    parts: list[str] = []
    done = 0
    for start, end in braces(text):
        name = text[start + 1 : end - 1]
        if is_placeholder(name) and is_doubled(text, start, end):
            parts += text[done : start - 1], text[start:end]
            done = end + 1
        elif name in values:
            parts += text[done:start], values[name]
            done = end
    return "".join(parts) + text[done:]


def literal(text: str) -> str:
    """Return what `fill` makes *text* of."""
    parts: list[str] = []
    done = 0
    for start, end in braces(text):
        if is_placeholder(text[start + 1 : end - 1]):
            parts += text[done:start], "{", text[start:end], "}"
            done = end
    return "".join(parts) + text[done:]


def names_in(texts: Iterable[str]) -> set[str]:
    """Return the names of the placeholders that *texts* use: {"slot", "sockets.http"}."""
    return {
        name
        for text in texts
        for start, end in braces(text)
        if is_placeholder(name := text[start + 1 : end - 1]) and not is_doubled(text, start, end)
    }


def is_placeholder(name: str) -> bool:
    """Tell whether this is what stands between the braces of a placeholder."""
    return name in NAMES or name.startswith(PREFIXES)


def braces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the innermost pairs of braces begin and end, from left to right."""
    at = 0
    while (close := text.find("}", at)) >= 0:
        start = text.rfind("{", at, close)
        at = close + 1
        if start >= 0:
            yield start, at


def is_doubled(text: str, start: int, end: int) -> bool:
    """Tell whether a pair of braces stands in another, directly: `{{slot}}`."""
    return text[start - 1 : start] == "{" and text[end : end + 1] == "}"
