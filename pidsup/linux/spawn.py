"""Start a process from a plan prepared once: clone3(2), attributes, execve(2).

The work is in csrc/spawn.c; here the plan is laid out in C memory, so that a
restart costs one call and no conversion.
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from pidsup.linux.native import ffi, lib

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: PIDSUP_STEP_CHDIR -> "chdir"
_STEPS = {
    number: name.removeprefix("PIDSUP_STEP_").lower()
    for number, name in ffi.typeof("enum pidsup_step").elements.items()
}
RUNG_ANY, RUNG_CLONE3, RUNG_CLONE = 0, 1, 2  # enum pidsup_rung
EVERY_CAPABILITY = (1 << 64) - 1
_INFINITY = (1 << 64) - 1  # RLIM_INFINITY, which is -1 in Python
_NO_ID = (1 << 32) - 1  # to setresuid(2) it means "leave it"; what is larger wraps around to root
_IOPRIO_CLASS_SHIFT = 13  # linux/ioprio.h
_LISTEN_PID = "LISTEN_PID"
_one_at_a_time = allocate_lock()  # see Plan.spawn


_NEED_ROOT = frozenset({"setuid", "setgid", "setgroups", "bounding", "ambient"})


class SpawnError(OSError):
    """A process could not be started; `step` is where, `strerror` why."""

    def __init__(self, number: int, step: str, subject: str | None = None) -> None:
        """Word it as "chdir '/srv/shop': No such file or directory"."""
        what = step if subject is None else f"{step} {subject!r}"
        super().__init__(number, os.strerror(number))
        self.step = step
        self._text = f"{what}: {os.strerror(number)}"
        if number == errno.EPERM and step in _NEED_ROOT and os.geteuid():
            self._text += ", needs root"

    def __str__(self) -> str:
        """Leave out the number: a person reads this."""
        return self._text


class Born(NamedTuple):
    """A new process.  Who gets this owns the pidfd."""

    pid: int
    pidfd: int
    inode: int  #: of the pidfd: unique per boot from Linux 6.9 on, below one for all


class Plan:
    """Everything that a start needs, in C memory; immutable once made.

    Borrows the descriptors in *fds* and *cgroup*: they stay open while it is used.
    """

    __slots__ = ("_alive", "_command", "_cwd", "_exclusive", "_names", "_plan", "_subjects", "uid")

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        fds: Sequence[int] = (0, 1, 2),
        cwd: str | None = None,
        new_session: bool = True,
        foreground: bool = False,
        umask: int | None = None,
        nice: int | None = None,
        ioprio: tuple[int, int] | None = None,
        oom_score_adj: int | None = None,
        cpus: Sequence[int] = (),
        rlimits: Sequence[tuple[int, int, int]] = (),
        groups: Sequence[int] | None = None,
        gid: int | None = None,
        uid: int | None = None,
        bounding: int = EVERY_CAPABILITY,
        ambient: int = 0,
        no_new_privs: bool = False,
        cgroup: int = -1,
        listen_pid: bool = False,
        rung: int = RUNG_ANY,
    ) -> None:
        """Lay out the plan.

        *command* is looked up in the PATH of *environment* at each start, as
        execvp(3) does, but that a script without "#!" is not given to a shell, and a
        directory that cannot be read is as good as empty.  The
        child's descriptor i is a copy of fds[i], -1 leaves it closed.  *foreground*, instead
        of *new_session*, makes it lead a process group, the foreground one of its terminal if
        it has that as 0.  *ioprio* is (class, level), ioprio_set(2); *rlimits* are (resource,
        soft, hard), -1 for infinity; *bounding* is the mask of capabilities that stay;
        *listen_pid* adds LISTEN_PID with the child's own pid, sd_listen_fds(3).
        """
        if not command:
            raise ValueError("a command needs at least a program")
        self._alive: list[Any] = []  # what the C structure points to
        self._command = command[0]
        self._cwd = cwd
        self._subjects = {
            "exec": command[0],
            "chdir": cwd,
            "setuid": str(uid),
            "setgid": str(gid),
            "nice": str(nice),
            "ioprio": None if ioprio is None else f"class {ioprio[0]}, level {ioprio[1]}",
            "oom_score_adj": str(oom_score_adj),
            "affinity": ",".join(map(str, cpus)),
        }
        self.uid = uid  #: whom the process will run as; None: as we do
        self._exclusive = listen_pid or uid is not None or gid is not None
        self._refuse_other_ids([uid, gid, *(groups or ())])
        plan = self._plan = ffi.new("struct pidsup_plan *")
        plan.paths = self._strings(_candidates(command[0], environment.get("PATH", DEFAULT_PATH)))
        plan.argv = self._strings(command)
        # In the order in which they stand in plan.envp.
        names = self._names = [n for n in environment if not (listen_pid and n == _LISTEN_PID)]
        variables = [self._variable(name, environment[name]) for name in names]
        if listen_pid:
            start = f"{_LISTEN_PID}="
            names.append(_LISTEN_PID)
            plan.envp = self._strings([*variables, start + "0" * 12])
            plan.listen_pid = plan.envp[len(variables)] + len(start)
        else:
            plan.envp = self._strings(variables)
        if cwd is not None:
            plan.cwd = self._string(cwd)
        plan.fds = self._keep(ffi.new("int[]", list(fds)))
        plan.n_fds = len(fds)
        plan.cgroup = cgroup
        plan.new_session, plan.foreground = new_session and not foreground, foreground
        plan.mask = -1 if umask is None else umask
        plan.set_nice, plan.nice = nice is not None, nice or 0
        plan.ioprio = -1 if ioprio is None else ioprio[0] << _IOPRIO_CLASS_SHIFT | ioprio[1]
        if oom_score_adj is not None:
            plan.oom_score_adj = self._string(str(oom_score_adj))
        if cpus:
            mask = sum(1 << cpu for cpu in set(cpus))
            size = (max(cpus) // 64 + 1) * 8  # sched_setaffinity(2) counts in words
            plan.cpus = self._keep(ffi.new("unsigned char[]", mask.to_bytes(size, "little")))
            plan.cpus_bytes = size
        limits = [(which, soft & _INFINITY, hard & _INFINITY) for which, soft, hard in rlimits]
        plan.rlimits = self._keep(ffi.new("struct pidsup_rlimit[]", limits))
        plan.n_rlimits = len(rlimits)
        plan.groups = self._keep(ffi.new("uint32_t[]", list(groups or ())))
        plan.n_groups = -1 if groups is None else len(groups)
        plan.gid = -1 if gid is None else gid
        plan.uid = -1 if uid is None else uid
        plan.bounding, plan.ambient = bounding, ambient
        plan.no_new_privs = no_new_privs
        plan.rung = rung

    def _keep(self, value: Any) -> Any:
        self._alive.append(value)
        return value

    def _encoded(self, text: str) -> bytes:
        data = os.fsencode(text)
        if b"\0" in data:  # to C the end of the string: half of it would be used
            raise ValueError(f"cannot start {self._command!r}: a NUL byte in {text!r}")
        return data

    def _string(self, text: str) -> Any:
        return self._keep(ffi.new("char[]", self._encoded(text)))

    def _strings(self, items: Iterable[str]) -> Any:
        """Lay them out in one block: an object each would take more than what is in them."""
        encoded = [self._encoded(item) for item in items]
        block = self._keep(ffi.new("char[]", b"\0".join(encoded)))
        starts = accumulate((len(data) + 1 for data in encoded), initial=0)
        pointers = [block + start for _, start in zip(encoded, starts, strict=False)]
        return self._keep(ffi.new("char *[]", [*pointers, ffi.NULL]))

    def _variable(self, key: str, value: str) -> str:
        if not key or "=" in key:
            raise ValueError(f"cannot start {self._command!r}: no variable is called {key!r}")
        return f"{key}={value}"

    def _refuse_other_ids(self, ids: Iterable[int | None]) -> None:
        for number in ids:
            if number is not None and not 0 <= number < _NO_ID:
                raise ValueError(
                    f"cannot start {self._command!r}: {number} is no id of a user or group"
                )

    def __repr__(self) -> str:
        """Show what it starts."""
        return f"Plan({self._command!r}, cwd={self._cwd!r})"

    def spawn(self, fds: Mapping[int, int] = {}, variables: Mapping[str, str] = {}) -> Born:
        """Start the process; SpawnError names the step that failed, and nothing is left over.

        For this start, *fds* replaces what the child gets: {its descriptor: ours}, -1
        leaves it closed; and *variables* are added to its environment, or replace what has
        their names there.  Blocks until the new program runs, which takes as long as the
        file system and a frozen cgroup make it.  From several threads at once: those that
        change the user or write LISTEN_PID touch what is shared, and take turns.
        """
        ret = ffi.new("struct pidsup_child *")
        plan, places, added = self._plan, None, None
        if fds or variables:
            plan = ffi.new("struct pidsup_plan *", plan[0])
        if fds:
            places = self._places(fds)
            plan.fds, plan.n_fds = places, len(places)
        if variables:
            added = self._with(variables)
            plan.envp = added[-1]
        if self._exclusive:
            with _one_at_a_time:
                rc = lib.pidsup_spawn(plan, ret)
        else:
            rc = lib.pidsup_spawn(plan, ret)
        if rc < 0:
            step = _STEPS[ret.step]
            raise SpawnError(-rc, step, self._subjects.get(step))
        return Born(ret.pid, ret.pidfd, ret.inode)

    def _with(self, variables: Mapping[str, str]) -> list[Any]:
        """Return what the environment with *variables* consists of, the pointers to it last."""
        texts = [self._variable(key, value) for key, value in variables.items()]
        added = [ffi.new("char[]", self._encoded(text)) for text in texts]
        envp, names = self._plan.envp, self._names
        kept = [envp[i] for i, name in enumerate(names) if name not in variables]
        return [*added, ffi.new("char *[]", [*kept, *added, ffi.NULL])]

    def _places(self, fds: Mapping[int, int]) -> Any:
        """Return the child's descriptors with *fds* in their places."""
        places = ffi.unpack(self._plan.fds, self._plan.n_fds)
        places += [-1] * (max(fds) + 1 - len(places))
        for place, fd in fds.items():
            places[place] = fd
        return ffi.new("int[]", places)


def _candidates(program: str, path: str) -> list[str]:
    """Return what execvp(3) would try for *program*, in order."""
    if "/" in program or not program:
        return [program]
    return [f"{folder or '.'}/{program}" for folder in path.split(":")]
