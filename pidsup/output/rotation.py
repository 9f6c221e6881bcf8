"""Names of rotated files: FILE.1 is the newest; compressed it is FILE.1.gz."""

from __future__ import annotations

import os
from contextlib import suppress

GZIP = ".gz"


def shift(path: str, keep: int) -> None:
    """Make FILE to FILE.1, that to FILE.2, and so on; no more than *keep* stay."""
    if keep == 0:
        os.unlink(path)
        return
    last = 1
    while _exists(path, last):
        last += 1
    for number in range(keep, last):
        _remove(path, number)
    for number in range(min(last, keep) - 1, 0, -1):
        for suffix in ("", GZIP):
            with suppress(FileNotFoundError):
                os.rename(f"{path}.{number}{suffix}", f"{path}.{number + 1}{suffix}")
    os.rename(path, f"{path}.1")


def _exists(path: str, number: int) -> bool:
    name = f"{path}.{number}"
    return os.path.exists(name) or os.path.exists(name + GZIP)


def _remove(path: str, number: int) -> None:
    for suffix in ("", GZIP):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.{number}{suffix}")


def oldest_plain(path: str, keep: int) -> int:
    """Return the highest number of a file that is not compressed, 0 if there is none."""
    return max((n for n in range(1, keep + 1) if os.path.exists(f"{path}.{n}")), default=0)


def number_of(path: str, keep: int, inode: int) -> int:
    """Return which FILE.n has this inode by now; 0 if none has, any more."""
    for number in range(1, keep + 1):
        with suppress(FileNotFoundError):
            if os.stat(f"{path}.{number}").st_ino == inode:
                return number
    return 0
