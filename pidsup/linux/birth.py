"""statx(2), STATX_BTIME: when a file was made, which os.stat() does not tell."""

from __future__ import annotations

from pidsup.linux.native import check, lib


def born_at(fd: int) -> int:
    """Return it in seconds since 1970; 0 where the file system does not know."""
    return check(lib.pidsup_birth(fd), "stat a file")
