"""What the processes of slots use: each worker with all that is below it.

psutil is imported when somebody asks.  A look at one process takes 0.16 ms, so that a
thousand are looked at in slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pidsup.kernel import Kernel
from pidsup.supervisor.facts import Facts
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

_AT_ONCE = 16  # processes of one slice
_MOST = 200  # processes of one slot that are told
_FIELDS = (
    "ppid",
    "name",
    "cmdline",
    "status",
    "uids",
    "num_threads",
    "cpu_times",
    "memory_info",
    "create_time",
)
_LONGEST = 1000  # characters of a command, which can have 2 MiB

#: One letter as of ps(1), for the words of psutil.
_LETTERS = {
    "running": "R",
    "sleeping": "S",
    "disk-sleep": "D",
    "stopped": "T",
    "tracing-stop": "t",
    "zombie": "Z",
    "dead": "X",
    "idle": "I",
    "parked": "P",
}


def slot_stats(slots: list[tuple[Watcher, Slot]], kernel: Kernel) -> Iterator[Facts | None]:
    """Yield type SlotStats of each slot, and None behind each slice of the work."""
    left = _AT_ONCE
    for _, slot in slots:
        processes: list[Facts] = []
        others = 0
        for found in _tree(slot, kernel):
            if len(processes) < _MOST:
                processes += _look(found)
            else:
                others += 1
            left -= 1
            if not left:
                left = _AT_ONCE
                yield None
        child = slot.child
        runs = child is not None and child.exit is None
        yield {
            "name": slot.name,
            "state": slot.state.value,
            "up_s": round(kernel.now() - child.started_at, 3) if child and runs else None,
            "restarts": slot.restarts,
            "processes": processes,
            "others": others,
        }


class _Found(NamedTuple):
    """A process by number, with the parent that it was found below."""

    pid: int
    parent: int


def _tree(slot: Slot, kernel: Kernel) -> Iterator[_Found]:
    """Yield the worker and its descendants, parents before their children."""
    if slot.child is None or slot.child.exit is not None:
        return
    todo = [_Found(pid, 0) for pid in slot.child.roots]
    seen = set()
    while todo:
        found = todo.pop()
        if found.pid in seen:  # a number that was given away meanwhile
            continue
        seen.add(found.pid)
        yield found
        todo += (_Found(pid, found.pid) for pid in reversed(kernel.children(found.pid)))


def _look(found: _Found) -> list[Facts]:
    """Return type Process; nothing if it has gone, or is not what was found any more."""
    import psutil  # type: ignore[import-untyped]  # it ships none

    try:
        process = psutil.Process(found.pid)
        seen = process.as_dict(_FIELDS)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return []
    if found.parent and seen["ppid"] != found.parent:
        return []
    return [_facts(found.pid, seen)]


def _facts(pid: int, seen: Facts) -> Facts:
    uids, times, memory = seen["uids"], seen["cpu_times"], seen["memory_info"]
    return {
        "pid": pid,
        "ppid": seen["ppid"],
        "name": seen["name"],
        "command": _bounded(seen["cmdline"] or []),
        "state": _LETTERS.get(seen["status"], "?"),
        "user": "" if uids is None else _user(uids.effective),
        "threads": seen["num_threads"] or 0,
        "cpu_s": 0.0 if times is None else round(times.user + times.system, 3),
        "rss_bytes": 0 if memory is None else memory.rss,
        "started_at": seen["create_time"],
    }


def _bounded(command: list[str]) -> list[str]:
    left = _LONGEST
    told: list[str] = []
    for word in command:
        if len(word) > left:
            return [*told, f"{word[:left]}..."]
        told.append(word)
        left -= len(word)
    return told


@lru_cache(256)
def _user(uid: int) -> str:
    """Return the name of a user, the number without one; remembered: a directory may be slow."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
