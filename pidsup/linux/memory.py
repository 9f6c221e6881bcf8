"""mallopt(3): how soon freed memory goes back to the system."""

from __future__ import annotations

from pidsup.linux.native import check, lib


def keep_freed(count: int) -> None:
    """Keep up to *count* freed bytes for what comes next; for blocks of that size, too."""
    check(lib.pidsup_keep_freed(count), "set what malloc keeps")
