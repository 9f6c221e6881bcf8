"""The descriptors that the workers of a slot have had kept for their successors.

As systemd's file descriptor store, FDSTORE=1 of sd_notify(3): a worker gets them behind its
sockets, with their names, sd_listen_fds_with_names(3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from pidsup.kernel import Kernel
from pidsup.linux.same_file import is_copy
from pidsup.loop.sources import Sources


class Stored(NamedTuple):
    """One that is kept."""

    fd: int
    name: str


class FdStore:
    """Keeps descriptors over restarts.  Owns them."""

    def __init__(self, kernel: Kernel, sources: Sources) -> None:
        """Start out empty."""
        self._kernel = kernel
        self._sources = sources
        self._kept: dict[int, Stored] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._kept)

    def __iter__(self) -> Iterator[Stored]:
        """Go through them, the oldest first."""
        return iter(self._kept.values())

    def add(self, fd: int, name: str, *, polled: bool) -> bool:
        """Keep a descriptor, and own it; False if it, or a copy, is kept already.

        One that is *polled* is dropped when it hangs up.
        """
        if any(is_copy(fd, other) for other in self._kept):
            return False
        self._kept[fd] = Stored(fd, name)
        if polled:
            with suppress(OSError):  # regular files and memfds: they never hang up
                self._sources.add(fd, 0, partial(self._drop, fd))
        return True

    def remove(self, name: str) -> None:
        """Drop all of that name."""
        for stored in list(self):
            if stored.name == name:
                self._drop(stored.fd)

    def trim(self, most: int) -> None:
        """Drop the newest, until there are no more than that."""
        for fd in list(self._kept)[most:]:
            self._drop(fd)

    def close(self) -> None:
        """Drop all; it can be used again."""
        self.trim(0)

    def _drop(self, fd: int) -> None:
        del self._kept[fd]
        self._sources.remove(fd)
        self._kernel.close_aside(fd)
