"""Read what the kernel says about processes, proc(5), and sweep up our own descendants."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  #: prctl(2)


def become_subreaper() -> None:
    """Let orphaned descendants become our children, so that none can be lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"cannot become a subreaper: {os.strerror(errno)}")


def children(pid: int) -> set[int]:
    """Return the pids of the children of all threads of *pid*, zombies included."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found.update(int(child) for child in (task / "children").read_text().split())
    return found


def parent(pid: int) -> int:
    """Return the pid of the parent of *pid*."""
    return _status_field(Path(f"/proc/{pid}/status"), "PPid")


def context_switches(pid: int) -> int:
    """Return how often the threads of *pid* have left a CPU, willing or not, so far."""
    tasks = [task / "status" for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(
        _status_field(task, "voluntary_ctxt_switches")
        + _status_field(task, "nonvoluntary_ctxt_switches")
        for task in tasks
    )


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of all threads of *pid*, to the nanosecond, proc(5), schedstat."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def rss_kb(pid: int) -> int:
    """Return the resident set of *pid*: shared pages count in full."""
    return sum(mapping.rss_kb for mapping in _mappings(pid))


def resident_kb(pid: int) -> int:
    """Return nearly the same, VmRSS of proc(5), status: counted in batches, but cheap."""
    return _status_field(Path(f"/proc/{pid}/status"), "VmRSS")


def alone_kb(pid: int) -> int:
    """Return the proportional set of the Python process *pid*, were it the only Python.

    PSS divides shared pages by their users, and we, who measure, are Python too.
    So what belongs to Python, and what we have mapped as well, counts in full.  The
    C library stays shared: every process of the machine has it.
    """
    ours = {mapping.path for mapping in _mappings(os.getpid())}
    python = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))

    def in_full(path: str) -> bool:
        c_library = os.path.basename(path).startswith(("libc.so", "ld-linux"))
        return not c_library and (path in ours or path.startswith(python))

    return sum(
        mapping.rss_kb if in_full(mapping.path) else mapping.pss_kb for mapping in _mappings(pid)
    )


def descriptors(pid: int) -> int:
    """Return how many descriptors *pid* has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def others_cpu_s() -> float:
    """Return the CPU seconds of this machine that went to processes that are not ours, so far.

    Ours count once they have been waited for; interrupts count as others.
    """
    ticks = [int(word) for word in Path("/proc/stat").read_text().split()[1:8]]
    user, nice, system, _idle, _iowait, irq, softirq = ticks
    busy_s = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return busy_s - sum(os.times()[:4])


def sweep() -> int:
    """Kill and reap every child of ours, and theirs as they become ours; return how many.

    A child is not reaped by anyone else, so its pid is its own until we wait.
    """
    swept = 0
    while pids := children(os.getpid()):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        swept += len(pids)
    return swept


@dataclass(frozen=True, slots=True)
class _Mapping:
    path: str  #: empty for anonymous memory
    rss_kb: int
    pss_kb: int


def _mappings(pid: int) -> list[_Mapping]:
    """Return the mappings of *pid*, proc(5), smaps."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    return [
        _Mapping(path, int(rss), int(pss))
        for path, rss, pss in re.findall(
            r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)\n(?:\w+: .*\n)*?"
            r"Rss: +(\d+) kB\nPss: +(\d+) kB$",
            text,
            re.MULTILINE,
        )
    ]


def _status_field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise LookupError(f"cannot find {name!r} in {path}")
