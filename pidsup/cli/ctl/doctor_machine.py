"""What `doctor` looks at on the machine: the kernel, limits, /proc, the runtime directory."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator

from pidsup.cli.ctl.finding import Finding, ok, problem, warning
from pidsup.control.paths import abstract_address, base, shown

#: Below this version -> what is lost.
_LOST = {
    (6, 5): "the sender of a readiness message is known by its pid, not by a pidfd",
    (6, 9): (
        "a process group is signalled by its number, after a look whose it is; a process is told "
        "from a later one by its start time, not by its pidfd's inode"
    ),
    (6, 13): "who a pidfd belongs to is read from /proc, not asked of the kernel",
    (6, 15): "exit codes of workers that end while the supervisor itself is down stay unknown",
}
_FLOOR = (5, 14)
_OPEN_FILES = 65536  # a supervisor of ten thousand workers
_PIPE_PAGES = 16  # of an ordinary pipe; a worker has two
_TO_ALL = 4  # PIDFD_SIGNAL_PROCESS_GROUP, pidfd_send_signal(2)


def findings() -> Iterator[Finding]:
    """Look at everything."""
    yield from _kernel(os.uname().release)
    yield _clone3()
    yield _group_signals()
    yield _cgroup()
    yield _open_files()
    yield _processes()
    yield _pipes()
    yield _hidepid()
    yield _runtime_directory()


def version(release: str) -> tuple[int, int]:
    """Return (6, 1) for "6.1.0-18-amd64"."""
    major, minor = release.split(".")[:2]
    return int(major), int("".join(c for c in minor.split("-")[0] if c.isdecimal()))


def _kernel(release: str) -> Iterator[Finding]:
    if version(release) < _FLOOR:
        yield problem("kernel", f"Linux {release}: pidsup needs 5.14", "install a newer kernel")
        return
    lost = {since: what for since, what in _LOST.items() if version(release) < since}
    if not lost:
        yield ok("kernel", f"Linux {release}: nothing is lost")
    for (major, minor), what in lost.items():
        yield warning(
            "kernel", f"Linux {release}: {what}", f"with Linux {major}.{minor} it would be better"
        )


def _clone3() -> Finding:
    from pidsup.linux.spawn import RUNG_CLONE3, Plan, SpawnError

    try:
        born = Plan(["true"], environment=dict(os.environ), rung=RUNG_CLONE3).spawn()
    except SpawnError as error:
        return warning(
            "clone3",
            f"does not work here, {error}: starts take longer, and not straight into a cgroup",
            "allow clone3 where a sandbox filters system calls (RestrictNamespaces=, old Docker)",
        )
    os.waitid(os.P_PIDFD, born.pidfd, os.WEXITED)
    os.close(born.pidfd)
    return ok("clone3", "works")


def _group_signals() -> Finding:
    fd = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(fd, 0, None, _TO_ALL)
    except ProcessLookupError:  # we lead no group: it was looked for, then
        pass
    except OSError:
        return warning(
            "group signals",
            "not by pidfd: a group is signalled by its number, after a look whose it is",
            "Linux 6.9 has it",
        )
    finally:
        os.close(fd)
    return ok("group signals", "go by pidfd")


def _cgroup() -> Finding:
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return warning(
            "cgroup",
            "no cgroup v2: what a worker leaves behind is found in /proc, not by its cgroup",
            "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 on /sys/fs/cgroup",
        )
    return ok("cgroup", "cgroup v2 is mounted")


def _open_files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        return warning(
            "open files",
            f"no more than {hard} here: about {hard // 5} workers with piped output",
            "raise the hard limit: LimitNOFILE=65536 in the unit, ulimit -Hn in a shell",
        )
    return ok("open files", f"up to {'as many as wanted' if hard < 0 else hard}")


def _processes() -> Finding:
    pid_max = _number("/proc/sys/kernel/pid_max")
    mine = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    least = min([limit for limit in (pid_max, mine) if limit > 0], default=0)
    if 0 < least < 4096:
        return warning(
            "processes",
            f"no more than {least} (kernel.pid_max {pid_max}, limit of this user {mine})",
            "raise kernel.pid_max by sysctl, or LimitNPROC= of the unit",
        )
    return ok("processes", f"up to {least or 'as many as wanted'}")


def _pipes() -> Finding:
    pages = _number("/proc/sys/fs/pipe-user-pages-soft")
    if os.geteuid() == 0 or pages == 0:
        return ok("pipes", "as many as wanted")
    workers = pages // (2 * _PIPE_PAGES)
    if workers < 128:
        return warning(
            "pipes",
            f"beyond {workers} workers the pipes of this user shrink to a page or two: slow logs",
            "sysctl fs.pipe-user-pages-soft=65536",
        )
    return ok("pipes", f"of full size for {workers} workers")


def _hidepid() -> Finding:
    for line in _text("/proc/self/mounts").splitlines():
        _, place, kind, options, *_ = line.split()
        if place == "/proc" and kind == "proc" and "hidepid=" in options and os.geteuid() != 0:
            hidden = options.partition("hidepid=")[2].split(",")[0]
            if hidden not in ("0", "off"):
                return warning(
                    "/proc",
                    f"mounted with hidepid={hidden}: descendants of other users stay unseen",
                    "run pidsup as root, or as a member of the group in gid=",
                )
    return ok("/proc", "shows all processes")


def _runtime_directory() -> Finding:
    directory = base()
    there = directory
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if os.path.exists(directory) and os.stat(directory).st_uid != os.geteuid():
        return problem(
            "runtime directory", f"{directory} belongs to another user", "remove or rename it"
        )
    if not os.access(there, os.W_OK):
        return warning(
            "runtime directory",
            f"{there} cannot be written: supervisors listen at abstract addresses instead, "
            f"{shown(abstract_address('NAME'))}",
            f"make {directory} writable, if files are wanted there",
        )
    if os.geteuid() != 0 and not os.environ.get("XDG_RUNTIME_DIR"):
        return warning(
            "runtime directory",
            f"XDG_RUNTIME_DIR is not set: {directory} is used instead",
            "log in by what sets it (pam_systemd), as programs that have it set look elsewhere",
        )
    return ok("runtime directory", directory)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0
