"""Every attribute of a plan is seen in the process that it makes."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest

from pidsup.linux.spawn import Plan
from tests.support import (
    LIMIT_S,
    Spawned,
    descriptors,
    needs_linux,
    needs_root,
    python,
    read_all,
    sh,
    signals_blocked,
    status,
)

Spawn = Callable[..., Spawned]

NOBODY = 65534
NET_BIND_SERVICE = 10  # a capability
ALL_SIGNALS = range(1, signal.NSIG)


def cmdline(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]


def environ(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")[:-1]


# --- what comes back


def test_a_birth_is_pid_pidfd_and_inode(spawn: Spawn) -> None:
    """All three of one process, which is our child."""
    born = spawn()
    info = Path(f"/proc/self/fdinfo/{born.pidfd}").read_text()
    assert f"Pid:\t{born.pid}\n" in info
    assert status(born.pid)["PPid"] == str(os.getpid())
    assert born.inode == os.fstat(born.pidfd).st_ino


def test_the_pidfd_is_close_on_exec(spawn: Spawn) -> None:
    """Workers hold nothing of the supervisor's."""
    assert fcntl.fcntl(spawn().pidfd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


@needs_linux(6, 9)
def test_the_inode_names_the_process_and_no_other(spawn: Spawn) -> None:
    """Whichever descriptor it is read from."""
    first, second = spawn(), spawn()
    again = os.pidfd_open(first.pid)
    assert os.fstat(again).st_ino == first.inode != second.inode
    os.close(again)


def test_a_plan_serves_any_number_of_starts(rung: int) -> None:
    """It is laid out once; what C points to lives as long as it does."""
    out, into = os.pipe()
    plan = Plan(
        sh('echo "$1 $HOME $(pwd)"', "argument"),
        environment={"HOME": "/root of all"},
        fds=(-1, into, 2),
        cwd="/proc",
        rung=rung,
    )
    gc.collect()
    born = [plan.spawn() for _ in range(3)]
    os.close(into)
    assert read_all(out) == b"argument /root of all /proc\n" * 3
    os.close(out)
    for pid, pidfd, _ in born:
        os.waitpid(pid, 0)
        os.close(pidfd)


# --- argv, environment


def test_arguments_arrive_byte_for_byte(spawn: Spawn) -> None:
    """Empty ones, newlines, and what is no UTF-8 too."""
    odd = os.fsdecode(b"\xff\xfe")
    born = spawn(sh("cat", "", "two words", "line\nfeed", odd))
    born.ready()
    assert cmdline(born.pid)[4:] == [b"", b"two words", b"line\nfeed", b"\xff\xfe"]


def test_the_environment_is_the_given_one_and_nothing_else(spawn: Spawn) -> None:
    """Ours is not inherited behind the caller's back."""
    odd = os.fsdecode(b"\xff")
    born = spawn(["/bin/cat"], environment={"A": "1", "EMPTY": "", "ODD": odd, "WITH": "a=b"})
    born.ready()
    assert environ(born.pid) == [b"A=1", b"EMPTY=", b"ODD=\xff", b"WITH=a=b"]


def test_an_empty_environment_is_empty(spawn: Spawn) -> None:
    """The lookup has a PATH of its own then."""
    born = spawn(["cat"], environment={})
    born.ready()
    assert environ(born.pid) == []


def test_listen_pid_is_the_childs_own_pid(spawn: Spawn) -> None:
    """sd_listen_fds(3) compares it with getpid(); no shell may stand between."""
    born = spawn(["/bin/cat"], environment={"LISTEN_FDS": "1"}, listen_pid=True)
    born.ready()
    assert environ(born.pid) == [b"LISTEN_FDS=1", b"LISTEN_PID=%d" % born.pid]


def test_an_inherited_listen_pid_gives_way(spawn: Spawn) -> None:
    """getenv(3) finds the first of two: the child would not take its sockets."""
    born = spawn(["/bin/cat"], environment={"LISTEN_PID": "1", "B": "2"}, listen_pid=True)
    born.ready()
    assert environ(born.pid) == [b"B=2", b"LISTEN_PID=%d" % born.pid]


@pytest.mark.parametrize(
    ("command", "attributes"),
    [
        (["cat\0evil"], {}),
        (["cat", "a\0b"], {}),
        (["cat"], {"cwd": "/tmp\0x"}),
        (["cat"], {"environment": {"A": "1\0B=2"}}),
        (["cat"], {"environment": {"A=B": "1"}}),
        (["cat"], {"environment": {"": "1"}}),
    ],
)
def test_what_the_kernel_would_cut_or_misread_is_refused(
    command: list[str], attributes: dict[str, object], rung: int
) -> None:
    """A NUL ends a string in C: half an argument would run, and nobody would know."""
    with pytest.raises(ValueError, match="cannot start"):
        Plan(command, **{"environment": {}, "rung": rung, **attributes})  # type: ignore[arg-type]  # a mixture


def test_a_command_needs_a_program() -> None:
    """The caller's mistake, before any process."""
    with pytest.raises(ValueError, match="a command needs at least a program"):
        Plan([], environment={})


# --- place and rights


def test_the_working_directory(spawn: Spawn, tmp_path: Path) -> None:
    """As asked, else ours."""
    there, here = spawn(cwd=str(tmp_path)), spawn()
    there.ready()
    here.ready()
    assert Path(f"/proc/{there.pid}/cwd").readlink() == tmp_path
    assert Path(f"/proc/{here.pid}/cwd").readlink() == Path.cwd()


def test_a_session_of_its_own(spawn: Spawn) -> None:
    """It leads session and group: a ^C in our terminal does not reach it, killpg does."""
    born = spawn()
    assert (os.getsid(born.pid), os.getpgid(born.pid)) == (born.pid, born.pid)


def test_without_a_session_of_its_own_it_stays_in_ours(spawn: Spawn) -> None:
    """For pipelines in the foreground of a terminal."""
    born = spawn(new_session=False)
    assert (os.getsid(born.pid), os.getpgid(born.pid)) == (os.getsid(0), os.getpgid(0))


# --- in a terminal

#: Starts sh in a session that has the terminal, 0; sh tells its own and the terminal's group.
IN_TERMINAL = """
import fcntl, os, sys, termios
from pidsup.linux.spawn import Plan
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
code = "import os; print(os.getpid(), os.getpgid(0), os.getsid(0), os.tcgetpgrp(0))"
fds = (0, int(sys.argv[1]), 2)
born = Plan([sys.executable, "-c", code], environment={}, fds=fds, foreground=True,
            rung=int(sys.argv[2])).spawn()
os.waitpid(born.pid, 0)
print(os.getpid())
"""


def test_a_group_in_the_foreground_of_the_terminal(rung: int) -> None:
    """^C reaches it and not us, and it may read; we stay the leader of the session."""
    ours, terminal = os.openpty()
    out, into = os.pipe()
    code = python(IN_TERMINAL, str(into), str(rung))
    with Popen(code, stdin=terminal, stdout=PIPE, pass_fds=[into]) as leader:
        os.close(into)
        os.close(terminal)
        pid, group, session, foreground = map(int, read_all(out).split())
        assert leader.stdout is not None
        assert int(leader.stdout.read()) == session == leader.pid
    os.close(out)
    os.close(ours)
    assert pid == group == foreground != session


def test_a_foreground_group_needs_no_terminal(spawn: Spawn) -> None:
    """It leads a group all the same; its stdin is a pipe here."""
    born = spawn(foreground=True)
    assert (os.getsid(born.pid), os.getpgid(born.pid)) == (os.getsid(0), born.pid)


def test_a_foreground_group_needs_no_stdin(rung: int) -> None:
    """A closed descriptor is no terminal."""
    born = Plan(["true"], environment={}, fds=(), foreground=True, rung=rung).spawn()
    assert os.waitpid(born.pid, 0)[1] == 0
    os.close(born.pidfd)


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_the_umask(spawn: Spawn, umask: int) -> None:
    """Zero is a value, too."""
    born = spawn(umask=umask)
    born.ready()
    assert int(status(born.pid)["Umask"], 8) == umask


def test_the_umask_is_inherited(spawn: Spawn) -> None:
    """Where none is asked for."""
    before = os.umask(0o031)
    born = spawn()
    os.umask(before)
    born.ready()
    assert int(status(born.pid)["Umask"], 8) == 0o031


@pytest.mark.parametrize("nice", [1, 19])
def test_the_nice_value(spawn: Spawn, nice: int) -> None:
    """It is set, not added."""
    assert os.getpriority(os.PRIO_PROCESS, spawn(nice=nice).pid) == nice


@pytest.mark.parametrize(("ioprio", "word"), [((2, 7), "best-effort: prio 7"), ((3, 0), "idle")])
def test_the_io_priority(spawn: Spawn, ioprio: tuple[int, int], word: str) -> None:
    """As ionice(1) sees it."""
    born = spawn(ioprio=ioprio)
    seen = run(["ionice", "-p", str(born.pid)], stdout=PIPE, check=True, timeout=LIMIT_S)
    assert seen.stdout.decode() == word + "\n"


@pytest.mark.parametrize("score", [1000, 0])
def test_the_oom_score_is_the_childs_alone(spawn: Spawn, score: int) -> None:
    """It shares our memory when it is set, and we would be killed with it."""
    ours = Path("/proc/self/oom_score_adj")
    before = ours.read_text()
    ours.write_text("100")
    try:
        born = spawn(oom_score_adj=score)
        assert ours.read_text() == "100\n"
    finally:
        ours.write_text(before)
    assert Path(f"/proc/{born.pid}/oom_score_adj").read_text() == f"{score}\n"


@needs_root
def test_the_oom_score_is_set_while_it_is_still_allowed(spawn: Spawn) -> None:
    """After the change of user /proc/self is still root's, and lowering it is root's right."""
    born = spawn(oom_score_adj=500, uid=NOBODY)
    assert Path(f"/proc/{born.pid}/oom_score_adj").read_text() == "500\n"


def test_the_affinity(spawn: Spawn) -> None:
    """The last of our processors alone."""
    cpu = max(os.sched_getaffinity(0))
    assert os.sched_getaffinity(spawn(cpus=[cpu]).pid) == {cpu}
    assert os.sched_getaffinity(spawn(cpus=[cpu, cpu, 500]).pid) == {cpu}
    assert os.sched_getaffinity(spawn().pid) == os.sched_getaffinity(0)


def test_resource_limits(spawn: Spawn) -> None:
    """Those that are named; the others are ours."""
    limits = [(resource.RLIMIT_NOFILE, 100, 200), (resource.RLIMIT_CORE, 0, 1 << 40)]
    born = spawn(rlimits=limits)
    assert resource.prlimit(born.pid, resource.RLIMIT_NOFILE) == (100, 200)
    assert resource.prlimit(born.pid, resource.RLIMIT_CORE) == (0, 1 << 40)
    assert resource.prlimit(born.pid, resource.RLIMIT_AS) == resource.getrlimit(resource.RLIMIT_AS)


def test_an_infinite_limit_may_be_written_as_python_does(spawn: Spawn) -> None:
    """resource.RLIM_INFINITY is -1, the kernel's is 2**64 - 1."""
    infinite = resource.RLIM_INFINITY
    born = spawn(rlimits=[(resource.RLIMIT_CORE, 0, infinite)])
    assert resource.prlimit(born.pid, resource.RLIMIT_CORE) == (0, infinite)


def test_a_low_limit_of_open_files_keeps_no_given_descriptor_away(spawn: Spawn) -> None:
    """The limit is for what the program opens, not for what it is given."""
    into_child, out = os.pipe()
    try:
        limit = [(resource.RLIMIT_NOFILE, 5, 5)]
        born = spawn(more_fds=[-1, -1, into_child], rlimits=limit)
        born.ready()
        assert set(descriptors(born.pid)) == {0, 1, 2, 5}
    finally:
        os.close(into_child)
        os.close(out)


@needs_root
def test_user_and_groups(spawn: Spawn) -> None:
    """Real, effective, saved and file system ids: there is no way back."""
    born = spawn(uid=NOBODY, gid=1234, groups=[5, 6])
    born.ready()
    look = status(born.pid)
    assert look["Uid"].split() == [str(NOBODY)] * 4
    assert look["Gid"].split() == ["1234"] * 4
    assert look["Groups"].split() == ["5", "6"]
    assert int(look["CapEff"], 16) == 0


@needs_root
def test_no_groups_are_something_else_than_the_same_groups(spawn: Spawn) -> None:
    """An empty list drops them all, None leaves ours."""
    ours = os.getgroups()
    try:
        os.setgroups([7])
        kept, dropped = spawn(uid=NOBODY), spawn(uid=NOBODY, groups=[])
    finally:
        os.setgroups(ours)
    kept.ready()
    dropped.ready()
    assert (status(kept.pid)["Groups"], status(dropped.pid)["Groups"]) == ("7", "")


@pytest.mark.parametrize("wrong", [-1, (1 << 32) - 1, 1 << 32])
@pytest.mark.parametrize("which", ["uid", "gid", "groups"])
def test_an_id_that_the_kernel_takes_for_another_is_refused(which: str, wrong: int) -> None:
    """setresuid(2) reads 2**32 - 1 as "leave it" and 2**32 as 0: the worker would be root."""
    value = [wrong] if which == "groups" else wrong
    with pytest.raises(ValueError, match=f"cannot start 'cat': .*{wrong}"):
        Plan(["cat"], environment={}, **{which: value})  # type: ignore[arg-type]  # a mixture


@needs_root
def test_the_bounding_set(spawn: Spawn) -> None:
    """What is not in it cannot be had, by no setuid program either."""
    keep = 1 << NET_BIND_SERVICE
    born = spawn(bounding=keep)
    born.ready()
    look = status(born.pid)
    assert (int(look["CapBnd"], 16), int(look["CapEff"], 16)) == (keep, keep)


@needs_root
def test_ambient_capabilities_survive_the_change_of_user(spawn: Spawn) -> None:
    """A worker that binds port 80 needs not be root."""
    born = spawn(uid=NOBODY, gid=NOBODY, groups=[], ambient=1 << NET_BIND_SERVICE)
    born.ready()
    look = status(born.pid)
    held = {name: int(look[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert look["Uid"].split() == [str(NOBODY)] * 4
    assert set(held.values()) == {1 << NET_BIND_SERVICE}


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(spawn: Spawn, wanted: bool) -> None:
    """Only where it is asked for: it would break sudo in a worker."""
    born = spawn(no_new_privs=wanted)
    born.ready()
    assert status(born.pid)["NoNewPrivs"] == str(int(wanted))


# --- signals


def test_nothing_is_blocked_or_ignored_or_caught(spawn: Spawn) -> None:
    """Whatever our own mask and dispositions are: SIGPIPE, which Python ignores, too."""
    changed = (signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(signo) for signo in changed]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with signals_blocked(signal.SIGTERM, signal.SIGCHLD, signal.SIGRTMIN):
            born = spawn()
    finally:
        for signo, handler in zip(changed, before, strict=True):
            signal.signal(signo, handler)
    born.ready()
    look = status(born.pid)
    sets = {name: int(look[name], 16) for name in ("SigPnd", "SigBlk", "SigIgn", "SigCgt")}
    assert set(sets.values()) == {0}, sets


def test_the_exit_signal_is_sigchld(spawn: Spawn) -> None:
    """Or an ordinary wait(2) would not see it."""
    born = spawn(["true"])
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert found is not None
    assert found.si_pid == born.pid


# --- PATH


def program(path: Path, says: str, mode: int = 0o755) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(mode)


def test_the_first_in_path_wins(spawn: Spawn, tmp_path: Path) -> None:
    """In its order."""
    program(tmp_path / "a/tool", "a")
    program(tmp_path / "b/tool", "b")
    born = spawn(["tool"], environment={"PATH": f"{tmp_path}/b:{tmp_path}/a"})
    assert born.output() == b"b\n"


def test_what_is_in_the_way_is_passed_over(spawn: Spawn, tmp_path: Path) -> None:
    """A missing directory, a file where a directory should be, a program without the x bit."""
    program(tmp_path / "no/tool", "no", mode=0o644)
    program(tmp_path / "yes/tool", "yes")
    (tmp_path / "file").touch()
    parts = ["missing", "file", "no", "yes"]
    born = spawn(["tool"], environment={"PATH": ":".join(f"{tmp_path}/{p}" for p in parts)})
    assert born.output() == b"yes\n"


@pytest.mark.parametrize("path", ["bin", "", ":/nonexistent", "/nonexistent:"])
def test_relative_parts_of_path_start_at_the_working_directory(
    spawn: Spawn, tmp_path: Path, path: str
) -> None:
    """An empty one is the directory itself, execvp(3)."""
    program(tmp_path / ("bin/tool" if path == "bin" else "tool"), "found")
    assert spawn(["tool"], cwd=str(tmp_path), environment={"PATH": path}).output() == b"found\n"


def test_a_program_with_a_slash_is_not_looked_up(spawn: Spawn, tmp_path: Path) -> None:
    """It is relative to the working directory of the worker, not to ours."""
    program(tmp_path / "tool", "mine")
    program(tmp_path / "bin/tool", "not mine")
    born = spawn(["./tool"], cwd=str(tmp_path), environment={"PATH": f"{tmp_path}/bin"})
    assert born.output() == b"mine\n"


def test_the_path_is_the_workers_own(spawn: Spawn, tmp_path: Path) -> None:
    """Ours, which may be that of an interactive shell, does not count."""
    program(tmp_path / "tool", "wrong")
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{before}"
    try:
        with pytest.raises(OSError, match="exec 'tool': No such file or directory"):
            spawn(["tool"], environment={"PATH": "/bin"})
    finally:
        os.environ["PATH"] = before


def test_the_lookup_is_made_at_each_start(rung: int, tmp_path: Path) -> None:
    """A release may replace the program under the same name, or bring it at all."""
    out, into = os.pipe()
    plan = Plan(
        ["tool"], environment={"PATH": str(tmp_path)}, fds=(-1, into, 2), umask=0, rung=rung
    )
    with pytest.raises(OSError, match="exec 'tool': No such file or directory"):
        plan.spawn()
    program(tmp_path / "tool", "there")
    born = plan.spawn()
    os.close(into)
    assert read_all(out, LIMIT_S) == b"there\n"
    os.close(out)
    os.waitpid(born.pid, 0)
    os.close(born.pidfd)
