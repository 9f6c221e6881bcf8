"""Reap the orphans that a subreaper adopts, waitid(2) and PR_SET_CHILD_SUBREAPER.

For the daemon only: it looks at *all* children of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pidsup.kernel import Exit, Kernel
from pidsup.loop.loop import Loop
from pidsup.process.child import Child

_AT_ONCE = 8  # beside the 32 that the same turn reaps by their pidfds


class Orphans:
    """Looks for dead children that nobody knows, after a SIGCHLD."""

    def __init__(
        self,
        loop: Loop,
        kernel: Kernel,
        known: Mapping[int, Child],
        *,
        on_reaped: Callable[[int, Exit], object],
        on_done: Callable[[], object],
    ) -> None:
        """Borrow all; *on_done* is called when no dead child is left."""
        self._loop = loop
        self._kernel = kernel
        self._known = known
        self._on_reaped = on_reaped
        self._on_done = on_done
        self._pending = False

    def look(self) -> None:
        """Reap what there is, a few in a turn; called after a SIGCHLD.

        It costs a walk over all children, 20 microseconds for a thousand: to be done
        when the successors of the dead have been started.
        """
        if not self._pending:
            self._look()

    def _look(self) -> None:
        self._pending = False
        for _ in range(_AT_ONCE):
            pid = self._kernel.zombie()
            if pid is None:
                self._on_done()
                return
            child = self._known.get(pid)
            if child is not None:
                # It stands before the others in the kernel's list, so at once.
                child.reap()
                continue
            ended = self._kernel.reap(pid)
            if ended is not None:
                self._on_reaped(pid, ended)
        self._pending = True
        self._loop.call_soon(self._look)
