"""A child process and, without a cgroup, the tree below it.

The tree is its process group (it leads a session of its own) plus those
descendants that left the group, found through /proc and each pinned by a pidfd.
One of them may become the main process, MAINPID= of sd_notify(3), in place of the
first, which was a shell, say, or the parent of a daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from functools import partial
from signal import SIGKILL

from pidsup.kernel import IN, Born, Exit, Kernel
from pidsup.loop.sources import Sources

_MOST_ANCESTORS = 64  # looked at for one process


class Whom(Enum):
    """Who gets a signal."""

    MAIN = "main"
    CHILDREN = "children"  #: the direct children
    ALL = "all"  #: the whole tree, each process once


class Child:
    """One process from its birth to the end of its tree.

    Owns its pidfd and those that pin its descendants; `close` gives them up.  It
    is the only one to reap the process, and the main one if that comes to us.
    """

    __slots__ = (
        "_before_reap",
        "_kernel",
        "_known",
        "_main_fd",
        "_on_exit",
        "_pinned",
        "_reaped",
        "_sources",
        "ended_at",
        "exit",
        "inode",
        "main_pid",
        "pid",
        "pidfd",
        "started_at",
    )

    def __init__(
        self,
        born: Born,
        kernel: Kernel,
        sources: Sources,
        *,
        known: dict[int, Child],
        started_at: float,
    ) -> None:
        """Take over what `Kernel.spawn` returned; stay in *known* while the pid is taken."""
        self.pid, self.pidfd, self.inode = born
        self.started_at = started_at
        self.ended_at: float | None = None
        self.exit: Exit | None = None  #: of the main process
        self.main_pid = self.pid
        self._kernel = kernel
        self._sources = sources
        self._known = known
        known[self.pid] = self
        self._on_exit: Callable[[], object] | None = None
        self._before_reap: Callable[[], object] | None = None
        self._reaped = False  # the first process, which is the main one unless another is
        self._main_fd = -1  # of the other, until it has ended; one of the pinned
        self._pinned: dict[int, int] = {}  # pid -> pidfd

    def watch(
        self, on_exit: Callable[[], object], before_reap: Callable[[], object] | None = None
    ) -> None:
        """Call *on_exit* once when it has been reaped, also if that was before.

        And *before_reap* whenever it may be about to be, in any case once: as long as it is
        not, its number, session and ancestry are its own, and what it has said can be told
        from a stranger's.
        """
        self._on_exit, self._before_reap = on_exit, before_reap
        if self.exit is None:
            self._sources.add(self.pidfd, IN, self.reap)
            return
        if before_reap is not None:
            before_reap()
        on_exit()

    def is_watched(self) -> bool:
        """Tell whether its end would be heard."""
        return self._on_exit is not None and self._sources.has(
            self.pidfd if self._main_fd < 0 else self._main_fd
        )

    def reap(self) -> None:
        """Reap what has ended, and say so; harmless at any time."""
        if self.pidfd < 0:
            return
        if self.exit is None and self._before_reap is not None:
            self._before_reap()
        if not self._reaped:
            self._reap_first()
        if self._main_fd >= 0:
            self._reap_main()

    def _reap_first(self) -> None:
        kernel = self._kernel
        is_main = self._main_fd < 0
        if is_main and not kernel.groups_outlive_leaders and kernel.is_zombie(self.pid):
            with suppress(PermissionError):
                self._signal_group(SIGKILL)
        try:
            ended = kernel.wait(self.pidfd)
        except ChildProcessError:  # somebody else has reaped it, and knows how it ended
            ended = Exit(None, None)
        if ended is None:
            return
        self._sources.remove(self.pidfd)
        del self._known[self.pid]
        self._reaped = True
        if is_main and self.exit is None:
            self._end(ended)

    def _end(self, ended: Exit) -> None:
        self.exit = ended
        self.ended_at = self._kernel.now()
        if self._on_exit is not None:
            self._on_exit()

    @property
    def roots(self) -> list[int]:
        """Return what leads to all of its processes: the first, and the main one."""
        return [self.main_pid] if self._reaped else list(dict.fromkeys((self.pid, self.main_pid)))

    # --- another main process

    def follow(self, pid: int, pidfd: int) -> None:
        """Take another process of the tree for the main one; owns its *pidfd* from now on.

        It is one that `has` knows, and was pinned before that was asked.
        """
        self._unfollow()
        self.main_pid = pid
        if pid == self.pid:
            self._kernel.close(pidfd)
            return
        self.pin_descendants()  # of the first, which may end at any time now
        pinned = self._pinned.get(pid)
        if pinned is not None:
            self._kernel.close(pinned)
        self._pinned[pid] = self._main_fd = pidfd
        self._known[pid] = self
        self._sources.add(pidfd, IN, self._main_died)

    def _unfollow(self) -> None:
        """Take the other for just one of the tree again."""
        if self._main_fd >= 0:
            fd, self._main_fd = self._main_fd, -1
            self._sources.remove(fd)
            if self._known.get(self.main_pid) is self:  # else its number is another child's by now
                del self._known[self.main_pid]

    def _main_died(self) -> None:
        """Reap the main process, or have its parent leave it to us.

        Should that reap it now, EPOLLHUP says so, and the kernel how it ended.
        """
        fd = self._main_fd
        self.reap()
        if self._main_fd != fd:  # it is reaped, or has named another with its last words
            return
        if not self._kernel.groups_outlive_leaders:  # EPOLLHUP came with Linux 6.9, too
            self._main_ended(Exit(None, None))
            return
        self._sources.remove(fd)
        self._sources.add(fd, 0, self.reap)
        with suppress(PermissionError):
            self.kill_tree()

    def _reap_main(self) -> None:
        fd = self._main_fd
        try:
            ended = self._kernel.wait(fd)
        except ChildProcessError:  # it is not our child, and may live
            if self._signal_one(fd, 0):
                return
            info = self._kernel.info(fd)
            ended = (info and info.exit) or Exit(None, None)
        if ended is not None:
            self._main_ended(ended)

    def _main_ended(self, ended: Exit) -> None:
        self._unfollow()
        self._end(ended)

    def has(self, pid: int) -> bool:
        """Tell whether a process, pinned by whoever asks, is one of the tree.

        One that has left its session and lost its parents is not known any more.
        """
        self._unpin_gone()  # their numbers may be those of others by now
        if not self._reaped and self._session_of(pid) == self.pid:
            return True
        roots = self._roots()
        line = self._line_to(roots, pid)
        # Twice: a parent may have gone meanwhile, and its number be another's.
        return line is not None and line == self._line_to(roots, pid)

    def _roots(self) -> set[int]:
        return {*self._pinned} if self._reaped else {self.pid, *self._pinned}

    def _session_of(self, pid: int) -> int:
        try:
            return self._kernel.session_of(pid)
        except ProcessLookupError:
            return -1

    def _line_to(self, roots: set[int], pid: int) -> list[int] | None:
        """Return a process and its ancestors up to one of *roots*, None if it has none there."""
        line = [pid]
        while line[-1] not in roots:
            parent = self._kernel.parent_of(line[-1])
            if parent <= 1 or len(line) == _MOST_ANCESTORS:
                return None
            line.append(parent)
        return line

    # --- signals

    def signal(self, signo: int, whom: Whom = Whom.MAIN) -> bool:
        """Send a signal; False when there was nobody (left) to get it.

        Of several, those that run as another user (sudo) are passed over; PermissionError
        when there are no others, as kill(2) has it for a group.
        """
        if whom is Whom.MAIN:
            return self._signal_one(self.pidfd if self._main_fd < 0 else self._main_fd, signo)
        self.pin_descendants()
        if whom is Whom.CHILDREN:
            direct = self._children_of(self.main_pid)
            chosen = [fd for pid, fd in self._pinned.items() if pid in direct]
            return _any_sent([partial(self._signal_one, fd, signo) for fd in chosen])
        return _any_sent([partial(self._signal_group, signo), *self._to_outsiders(signo)])

    def _to_outsiders(self, signo: int) -> Iterator[Callable[[], bool]]:
        """Yield what signals each pinned process that is not in our group, once.

        One that leads a group of its own is signalled as that group, also when it is
        dead: no fork in it can slip between the look and the signal.
        """
        groups = {self.pid}
        for pid, pidfd in list(self._pinned.items()):
            try:
                group = self._kernel.group_of(pid)
            except ProcessLookupError:
                group = pid  # that it may have led
            if group in groups:
                continue
            leader = self._pinned.get(group)
            if leader is None or not self._kernel.groups_outlive_leaders:
                yield partial(self._signal_one, pidfd, signo)
            else:
                groups.add(group)
                yield partial(self._signal_led, leader, group, signo)

    def _signal_led(self, pidfd: int, pid: int, signo: int) -> bool:
        """Signal the group that a process leads or led."""
        try:
            self._kernel.signal_group(pidfd, pid, signo)
        except ProcessLookupError:
            return False
        except PermissionError:
            if signo:
                raise
        return True

    def _signal_group(self, signo: int) -> bool:
        by_number = self._reaped and not self._kernel.groups_outlive_leaders
        # The number may be another group's by now; it is if there is a process of that
        # number, for the group kept it from being given out again.
        if by_number and (signo or self._number_is_taken()):
            return False
        return self._signal_led(self.pidfd, self.pid, signo)

    def _number_is_taken(self) -> bool:
        try:
            self._kernel.group_of(self.pid)
        except ProcessLookupError:
            return False
        return True

    def _signal_one(self, pidfd: int, signo: int) -> bool:
        try:
            self._kernel.signal(pidfd, signo)
        except ProcessLookupError:
            return False
        except PermissionError:
            if signo:
                raise
        return True

    # --- the tree

    def pin_descendants(self) -> None:
        """Open a pidfd of every descendant that there is now.

        To be done while the parents live: an orphan's ancestry is lost.  What
        cannot be pinned (no descriptor left) stays in the process group's care.
        """
        self._unpin_gone()  # their numbers may be those of others by now
        todo = [self.pid, *self._pinned]
        while todo:
            parent = todo.pop()
            for pid in self._children_of(parent):
                if pid in self._pinned:
                    continue
                try:
                    fd = self._kernel.pidfd_open(pid)
                except OSError:
                    continue
                # The number may have gone to a stranger before it was pinned.
                if pid in self._children_of(parent):
                    self._pinned[pid] = fd
                    todo.append(pid)
                else:
                    self._kernel.close(fd)

    def processes(self) -> set[int]:
        """Return the pids of the tree as far as it is known: a hint, as `Kernel.children` is."""
        self.pin_descendants()
        found = self._roots()
        todo = [pid for pid in self._kernel.adopted() if self._is_of_group(pid)]
        while todo:  # orphans of the group, and whom they have
            pid = todo.pop()
            if pid not in found:
                found.add(pid)
                todo += self._kernel.children(pid)
        return found

    def _is_of_group(self, pid: int) -> bool:
        try:
            return self._kernel.group_of(pid) == self.pid
        except ProcessLookupError:
            return False

    def _children_of(self, pid: int) -> list[int]:
        """List the children of a process of the tree, [] once its number is free."""
        found = self._kernel.children(pid)
        # Asked afterwards: while it lives, the number was its own.
        lives = not self._reaped if pid == self.pid else self._signal_one(self._pinned[pid], 0)
        return found if lives else []

    def kill_tree(self) -> None:
        """Send SIGKILL to all of it."""
        self.signal(SIGKILL, Whom.ALL)

    def tree_is_empty(self, *, thorough: bool = False) -> bool:
        """Tell whether nothing of it is left; the main process has been reaped.

        A zombie still counts, unless *thorough*: then all processes are walked for one
        that lives.  For a zombie in our group may have a parent that has left us unseen,
        and who never reaps it.
        """
        self._unpin_gone(thorough=thorough)
        if self._pinned or not self._reaped:
            return False
        return not self._is_left(self.pid, thorough, self._signal_group(0))

    def _is_left(self, group: int, thorough: bool, there: bool) -> bool:
        """Tell whether of a group that is *there* somebody lives, too, if *thorough*."""
        if not there or not thorough:
            return there
        try:
            return self._kernel.group_lives(group)
        except OSError:  # no descriptor left to look with
            return True

    def _unpin_gone(self, *, thorough: bool = False) -> None:
        for pid, pidfd in list(self._pinned.items()):
            if pidfd == self._main_fd:  # its end is still to be told
                continue
            gone = not self._signal_one(pidfd, 0)
            if gone and not self._is_left(pid, thorough, self._leads_any(pidfd, pid)):
                del self._pinned[pid]
                self._kernel.close(pidfd)

    def _leads_any(self, pidfd: int, pid: int) -> bool:
        """Tell whether a pinned process that is gone led a group that is not."""
        return self._kernel.groups_outlive_leaders and self._signal_led(pidfd, pid, 0)

    def sleeps_in(self) -> str:
        """Say where it hangs, for people; "" once it is reaped, and its number another's."""
        return self._kernel.sleeps_in(self.main_pid) if self.exit is None else ""

    def close(self) -> None:
        """Give up the descriptors, and whoever lives on with them; twice is once."""
        self._unfollow()
        if self.pidfd >= 0:
            fd, self.pidfd = self.pidfd, -1
            self._sources.remove(fd)
            self._kernel.close(fd)
        if self._known.get(self.pid) is self:
            del self._known[self.pid]
        while self._pinned:
            self._kernel.close(self._pinned.popitem()[1])


def _any_sent(sends: Iterable[Callable[[], bool]]) -> bool:
    """Send all; True if one reached somebody, PermissionError if all there are refused."""
    reached, refused = False, None
    for send in sends:
        try:
            reached = send() or reached
        except PermissionError as error:
            refused = error
    if refused is not None and not reached:
        raise refused
    return reached
