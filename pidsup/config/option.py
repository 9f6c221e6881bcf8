"""What the table of options says of each.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pidsup.config.kind import Kind, Value

REQUIRED = "required"
AT_LOAD, AT_START = "at load", "at start"
#: What the change of an option takes, config/diff.py.
APPLIES = ("live", "restart", "reopen", "never")


class Option(NamedTuple):
    """One option of a section."""

    kind: Kind
    default: object  #: as in a file; None where it has none, REQUIRED where it must be given
    text: str  #: one or two sentences for the reference
    applies: str = "restart"  #: what a changed value takes, one of APPLIES
    fills: str = ""  #: placeholders: AT_START, of a worker; AT_LOAD, those of the environment
    systemd: str = ""  #: systemd's names for it
    circus: str = ""  #: Circus' names for it
    part: str = ""  #: the heading that it stands under

    def default_value(self) -> Value:
        """Return the default in expanded form."""
        return None if self.default in (None, REQUIRED) else self.kind.parse(self.default)


def in_parts(parts: Mapping[str, Mapping[str, Option]]) -> dict[str, Option]:
    """Return the options of all parts, each with the heading of its part."""
    return {
        key: option._replace(part=title)
        for title, options in parts.items()
        for key, option in options.items()
    }
