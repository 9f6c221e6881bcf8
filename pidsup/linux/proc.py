"""proc(5): what is only to be read there."""

from __future__ import annotations

import os


def children(pid: int) -> list[int]:
    """Return the pids of the direct children, [] when they cannot be read: it is gone, say.

    A list is only a hint: pin each with a pidfd and look again before acting.
    """
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def state(pid: int) -> str:
    """Return the one-letter state ("R", "S", "D", "Z", ...), "" when it is gone."""
    # The name, in parentheses, may hold anything, spaces and ")" too.
    return _read(f"/proc/{pid}/stat").rpartition(") ")[2][:1]


def parent(pid: int) -> int:
    """Return the parent's pid, 0 when there is none to be seen: it is gone, say."""
    fields = _read(f"/proc/{pid}/stat").rpartition(") ")[2].split(maxsplit=2)
    return int(fields[1]) if len(fields) > 1 else 0


def variable(pid: int, name: str) -> str | None:
    """Return a variable of the environment that a process, or whoever forked it, was given.

    None also where it cannot be read.
    """
    start = f"{name}="
    for entry in _read(f"/proc/{pid}/environ").split("\0"):
        if entry.startswith(start):
            return entry.removeprefix(start)
    return None


def group_lives(group: int) -> bool:
    """Tell whether a process group has a member that is no zombie.

    Walks all processes.  To be asked after a SIGKILL to the group: it keeps the members
    from forking, so that none can slip through.
    """
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, its_group = file.read().rpartition(") ")[2].split(maxsplit=3)[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone by now
        if int(its_group) == group and state not in "ZX":
            return True
    return False


def has_stopped(pid: int) -> bool:
    """Tell whether no thread of a process runs or will: SIGSTOP has reached all, or it is gone.

    OSError when we cannot look.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return True
    return all(_thread_has_stopped(f"/proc/{pid}/task/{thread}/stat") for thread in threads)


def _thread_has_stopped(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(") ")[2][:1] in "TtZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def run_time_ns(pid: int) -> int:
    """Return how long the threads of a process have been on a processor, 0 when it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    looks = (_read(f"/proc/{pid}/task/{thread}/schedstat").split() for thread in threads)
    return sum(int(look[0]) for look in looks if look)


def wchan(pid: int) -> str:
    """Return the kernel function that the process sleeps in, "" when not known."""
    name = _read(f"/proc/{pid}/wchan")
    return "" if name == "0" else name


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # gone, not ours to look at, or we have no descriptor left
        return ""
