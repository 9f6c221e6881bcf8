"""What workers have left behind when all watchers are down: it is ended, and waited for.

It has outlived its worker unseen, in a session of its own, and is our child since,
PR_SET_CHILD_SUBREAPER of prctl(2), or because we are pid 1.
"""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGKILL, SIGTERM

from pidsup.kernel import Kernel
from pidsup.log import Log
from pidsup.loop.loop import Handle, Loop
from pidsup.process.exit import signal_name


class Leftovers:
    """Asks our adopted children to end, and kills those that do not.  Borrows all."""

    def __init__(
        self,
        kernel: Kernel,
        loop: Loop,
        log: Log,
        *,
        timeout_s: float,
        on_timeout: Callable[[], object],
    ) -> None:
        """Be ready; *on_timeout* is to look again."""
        self._kernel = kernel
        self._loop = loop
        self._log = log
        self.timeout_s = timeout_s
        self._on_timeout = on_timeout
        self._asked: set[int] = set()
        self.due_at: float | None = None  #: when what has not ended is killed
        self._timer: Handle | None = None
        self._kill = False

    def end(self, *, in_a_hurry: bool) -> bool:
        """Go on ending what is there; True when there is nothing left to wait for.

        To be called again whenever orphans have been reaped.  *in_a_hurry* it is killed
        at once, and not waited for.
        """
        self._kill = self._kill or in_a_hurry
        alone = True
        for pid in self._kernel.adopted():
            alone = self._end(pid) and alone
        if not alone and self._timer is None and not self._kill:
            self.due_at = self._kernel.now() + self.timeout_s
            self._timer = self._loop.call_at(self.due_at, self._timed_out)
        return alone or in_a_hurry

    def forget(self, pid: int) -> None:
        """Hear that it has been reaped: the number is somebody else's from now on."""
        self._asked.discard(pid)

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        self._kill = True
        self._on_timeout()

    def _end(self, pid: int) -> bool:
        """Ask it, once, or kill it; True if there is nothing to wait for."""
        if pid in self._asked and not self._kill:
            return False
        try:
            pidfd = self._kernel.pidfd_open(pid)
        except OSError:
            return True  # it has just been reaped, or cannot be pinned
        try:
            # Ours to reap, so the number is still its own.
            if pid in self._kernel.adopted() and not self._kernel.is_zombie(pid):
                signo = SIGKILL if self._kill else SIGTERM
                self._log.warning("left behind", pid=pid, next=f"{signal_name(signo)} sent")
                self._asked.add(pid)
                self._kernel.signal(pidfd, signo)
        except PermissionError as error:
            self._log.error("left behind", pid=pid, why=error.strerror)
            return True
        except ProcessLookupError:
            return True
        finally:
            self._kernel.close(pidfd)
        return False
