"""What was probably meant: near names, and what others call an option.

Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pidsup.config.option import Option

_MOST_LISTED = 5


def hint(name: str, known: Iterable[str]) -> str:
    """Return what to append to "there is no NAME": the nearest, or all if they are few."""
    known = list(known)
    close = nearest(name, known)
    if close is not None:
        return f", did you mean {close!r}?"
    return "; known are " + ", ".join(known) if 0 < len(known) <= _MOST_LISTED else ""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the nearest of the known names, if one is near; the beginning of one is."""
    known = list(known)
    begun = [other for other in known if name and other.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return close[0] if close else None


def foreign(key: str, options: Mapping[str, Option]) -> str:
    """Say what Circus' or systemd's name for an option is called here."""
    for name, option in options.items():
        if any(fnmatchcase(key.lower(), pattern) for pattern in _foreign_names(option)):
            return f": it is called {name!r} here"
    return hint(key, options)


def _foreign_names(option: Option) -> set[str]:
    systemd = [word.strip().partition("=")[0] for word in option.systemd.split(",")]
    circus = [word.strip() for word in option.circus.split(",")]
    return {*circus, *map(str.lower, systemd), *map(_snake, systemd)} - {""}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
