"""A start that fails says at which step and why, and leaves nothing behind.

That nothing is left (no zombie, no descriptor) is what the fixture around every
test demands.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, run

import pytest

from pidsup.linux.spawn import RUNG_ANY, RUNG_CLONE3, Plan, SpawnError
from tests.support import (
    LIMIT_S,
    Spawned,
    needs_root,
    next_fd,
    open_files_limited,
    python,
)

Spawn = Callable[..., Spawned]
EVERY_CAPABILITY = (1 << 64) - 1
NET_RAW = 13


def failure(spawn: Spawn, **attributes: object) -> SpawnError:
    with pytest.raises(SpawnError) as caught:
        spawn(**attributes)
    return caught.value


@pytest.mark.parametrize(
    ("attributes", "number", "text"),
    [
        ({"cwd": "/nope"}, errno.ENOENT, "chdir '/nope': No such file or directory"),
        ({"cwd": "/etc/passwd"}, errno.ENOTDIR, "chdir '/etc/passwd': Not a directory"),
        ({"cwd": ""}, errno.ENOENT, "chdir '': No such file or directory"),
        (
            {"ioprio": (4, 0)},
            errno.EINVAL,
            "ioprio 'class 4, level 0': Invalid argument",
        ),
        (
            {"oom_score_adj": 1001},
            errno.EINVAL,
            "oom_score_adj '1001': Invalid argument",
        ),
        ({"cpus": [4095]}, errno.EINVAL, "affinity '4095': Invalid argument"),
        ({"rlimits": [(999, 0, 0)]}, errno.EINVAL, "rlimit: Invalid argument"),
        (
            {"rlimits": [(resource.RLIMIT_CORE, 2, 1)]},
            errno.EINVAL,
            "rlimit: Invalid argument",
        ),
        ({"command": ["nope"]}, errno.ENOENT, "exec 'nope': No such file or directory"),
        ({"command": ["/nope/x"]}, errno.ENOENT, "exec '/nope/x': No such file or directory"),
        ({"command": ["/tmp"]}, errno.EACCES, "exec '/tmp': Permission denied"),
        ({"command": ["/etc/passwd/x"]}, errno.ENOTDIR, "exec '/etc/passwd/x': Not a directory"),
        ({"command": [""]}, errno.ENOENT, "exec '': No such file or directory"),
        ({"command": ["a" * 300]}, errno.ENAMETOOLONG, f"exec '{'a' * 300}': File name too long"),
        (
            {"environment": {"A": "x" * (1 << 18)}},
            errno.E2BIG,
            "exec 'cat': Argument list too long",
        ),
        (
            {"command": ["cat", "x" * (1 << 18)]},
            errno.E2BIG,
            "exec 'cat': Argument list too long",
        ),
    ],
)
def test_a_failing_step_is_named(
    spawn: Spawn, attributes: dict[str, object], number: int, text: str
) -> None:
    """The text is what the user reads after "cannot start web:3: "."""
    error = failure(spawn, **attributes)
    assert (error.errno, str(error)) == (number, text)
    assert error.step == text.partition(" ")[0].rstrip(":")
    assert error.strerror == os.strerror(number)


@needs_root
@pytest.mark.parametrize(
    ("attributes", "number", "text"),
    [
        ({"groups": [1] * 65537}, errno.EINVAL, "setgroups: Invalid argument"),
        (
            {"bounding": EVERY_CAPABILITY ^ 1 << NET_RAW, "ambient": 1 << NET_RAW},
            errno.EPERM,
            "ambient: Operation not permitted",
        ),
    ],
)
def test_a_failing_step_of_root_is_named(
    spawn: Spawn, attributes: dict[str, object], number: int, text: str
) -> None:
    """What only root gets as far as."""
    error = failure(spawn, **attributes)
    assert (error.errno, str(error)) == (number, text)


AS_NOBODY = """
import ast, os, resource, sys
from pidsup.linux.spawn import Plan, SpawnError
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
for attributes in ast.literal_eval(sys.argv[1]):
    try:
        Plan(["true"], environment={}, **attributes).spawn()
        print("started")
    except SpawnError as error:
        print(error.errno, error)
"""


@needs_root
def test_what_an_ordinary_user_may_not_do_is_named(rung: int) -> None:
    """Each step that needs a right, asked for without it."""
    cases: list[tuple[dict[str, object], str]] = [
        ({"uid": 0}, "1 setuid '0': Operation not permitted, needs root"),
        ({"gid": 0}, "1 setgid '0': Operation not permitted, needs root"),
        ({"groups": []}, "1 setgroups: Operation not permitted, needs root"),
        ({"nice": -5}, "13 nice '-5': Permission denied"),
        ({"ioprio": (1, 0)}, "1 ioprio 'class 1, level 0': Operation not permitted"),
        ({"oom_score_adj": -1000}, "13 oom_score_adj '-1000': Permission denied"),
        ({"rlimits": [(resource.RLIMIT_NOFILE, 1, 1 << 30)]}, "1 rlimit: Operation not permitted"),
        ({"bounding": 0}, "1 bounding: Operation not permitted, needs root"),
        ({"ambient": 1 << NET_RAW}, "1 ambient: Operation not permitted, needs root"),
        ({"cwd": "/root"}, "13 chdir '/root': Permission denied"),
        ({}, "started"),
    ]
    plans = [{**attributes, "rung": rung} for attributes, _ in cases]
    done = run(python(AS_NOBODY, repr(plans)), stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout.decode().splitlines() == [text for _, text in cases]


@needs_root
def test_the_rights_of_the_worker_decide_about_its_directory(spawn: Spawn, tmp_path: Path) -> None:
    """Root could go there, the worker's user cannot: it would fail at its first file."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    error = failure(spawn, uid=65534, gid=65534, groups=[], cwd=str(private))
    assert str(error) == f"chdir '{private}': Permission denied"


WITHOUT_PROC = """
import os, sys
from pidsup.linux.spawn import Plan, SpawnError
os.chroot(sys.argv[1])
os.chdir("/")
try:
    Plan(["true"], environment={}, oom_score_adj=0, rung=int(sys.argv[2])).spawn()
except SpawnError as error:
    print(error)
"""


@needs_root
def test_without_proc_there_is_no_oom_score_to_set(rung: int, tmp_path: Path) -> None:
    """It is not left out in silence."""
    done = run(
        python(WITHOUT_PROC, str(tmp_path), str(rung)), stdout=PIPE, check=True, timeout=LIMIT_S
    )
    assert done.stdout == b"oom_score_adj '0': No such file or directory\n"


@pytest.mark.parametrize("end", [0, 1])
def test_a_terminal_that_is_not_of_our_session_is_left_as_it_is(rung: int, end: int) -> None:
    """Either end of it: it has no foreground group to be, and that is no error."""
    ends = os.openpty()
    born = Plan(["true"], environment={}, fds=(ends[end],), foreground=True, rung=rung).spawn()
    assert os.waitpid(born.pid, 0)[1] == 0
    for fd in (*ends, born.pidfd):
        os.close(fd)


# --- PATH


def test_a_program_without_the_right_to_run_it_is_remembered(spawn: Spawn, tmp_path: Path) -> None:
    """EACCES says more than the ENOENT of the later directories, execvp(3)."""
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    error = failure(spawn, command=["tool"], environment={"PATH": f"{tmp_path}:/bin:/nonexistent"})
    assert str(error) == "exec 'tool': Permission denied"


UNREADABLE = """
import os, sys
from pidsup.linux.spawn import Plan, SpawnError
os.chdir(sys.argv[1])
os.setresuid(65534, 65534, 65534)
for program in sys.argv[2:]:
    try:
        Plan([program], environment={"PATH": "private:.:/etc/passwd"}).spawn()
    except SpawnError as error:
        print(error)
"""


@needs_root
def test_a_directory_that_cannot_be_read_is_as_good_as_empty(tmp_path: Path) -> None:
    """To a shell, too; with a slash the kernel's word counts.  A directory is no program."""
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "tool").mkdir()
    tmp_path.chmod(0o755)
    command = python(UNREADABLE, str(tmp_path), "nosuch", "tool", "private/nosuch")
    done = run(command, stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout.decode().splitlines() == [
        "exec 'nosuch': No such file or directory",
        "exec 'tool': No such file or directory",
        "exec 'private/nosuch': Permission denied",
    ]


def test_a_program_that_cannot_be_run_ends_the_search(spawn: Spawn, tmp_path: Path) -> None:
    """ENOEXEC; execvp(3) would hand it to the shell here, systemd and pidsup do not."""
    (tmp_path / "cat").write_text("echo no interpreter is named\n")
    (tmp_path / "cat").chmod(0o755)
    error = failure(spawn, command=["cat"], environment={"PATH": f"{tmp_path}:/bin"})
    assert str(error) == "exec 'cat': Exec format error"


def test_a_missing_interpreter_is_told_of_the_script(spawn: Spawn, tmp_path: Path) -> None:
    """ENOENT: the kernel does not say which of the two is missing."""
    script = tmp_path / "script"
    script.write_text("#!/no/interpreter\n")
    script.chmod(0o755)
    error = failure(spawn, command=[str(script)])
    assert str(error) == f"exec '{script}': No such file or directory"


# --- no room


def test_without_descriptors_there_is_no_process(rung: int) -> None:
    """EMFILE: the pidfd needs one."""
    plan = Plan(["true"], environment={}, rung=rung)
    with open_files_limited(next_fd()), pytest.raises(SpawnError) as caught:
        plan.spawn()
    assert (caught.value.errno, str(caught.value)) == (errno.EMFILE, "clone: Too many open files")


@needs_root
def test_too_many_processes_of_a_user(rung: int) -> None:
    """EAGAIN, from the clone of a supervisor that is no root."""
    none_at_all = "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
    code = AS_NOBODY.replace("for attributes", none_at_all + "for attributes")
    done = run(python(code, repr([{"rung": rung}])), stdout=PIPE, check=True, timeout=LIMIT_S)
    assert done.stdout == b"11 clone: Resource temporarily unavailable\n"


@needs_root
def test_too_many_processes_of_the_workers_user(spawn: Spawn) -> None:
    """The kernel counts at setuid, and says so at exec, setuid(2)."""
    nobodys = 1_000_000 + os.getpid()
    one_is_enough = [(resource.RLIMIT_NPROC, 0, 0)]
    spawn(uid=nobodys, rlimits=one_is_enough).ready()
    error = failure(spawn, uid=nobodys, rlimits=one_is_enough)
    assert str(error) == "exec 'cat': Resource temporarily unavailable"


# --- the ladder


TRY_RUNGS = """
from pidsup.linux.spawn import *
import os
for rung in (RUNG_ANY, RUNG_CLONE3, RUNG_CLONE):
    try:
        born = Plan(["true"], environment={}, rung=rung).spawn()
        print(os.waitpid(born.pid, 0)[1])
    except SpawnError as error:
        print(error)
"""
FILTER = """
import ctypes, struct, sys
CLONE3, NUMBER = 435, int(sys.argv[1])
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
program = b"".join(struct.pack("HBBI", *step) for step in [
    (LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, ERRNO | NUMBER),
    (RETURN, 0, 0, ALLOW)])
code = ctypes.create_string_buffer(program)
class Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
prctl = ctypes.CDLL(None, use_errno=True).prctl
NO_NEW_PRIVS, SECCOMP, MODE_FILTER = 38, 22, 2
assert prctl(NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert prctl(SECCOMP, MODE_FILTER, ctypes.byref(Fprog(4, ctypes.addressof(code)))) == 0
"""


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_filter_that_denies_clone3_leads_to_the_second_rung(number: int) -> None:
    """A real seccomp filter, as RestrictNamespaces= and old container runtimes have it."""
    done = run(python(FILTER + TRY_RUNGS, str(number)), stdout=PIPE, check=True, timeout=LIMIT_S)
    refused = f"clone: {os.strerror(number)}"
    assert done.stdout.decode().splitlines() == ["0", refused, "0"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_another_error_of_clone3_is_final(number: int) -> None:
    """The second rung would find no more room than the first."""
    done = run(python(FILTER + TRY_RUNGS, str(number)), stdout=PIPE, check=True, timeout=LIMIT_S)
    refused = f"clone: {os.strerror(number)}"
    assert done.stdout.decode().splitlines() == [refused, refused, "0"]


def test_the_first_rung_is_the_one_that_is_used() -> None:
    """On a kernel of our time."""
    assert (RUNG_ANY, RUNG_CLONE3) == (0, 1)
    born = Plan(["true"], environment={}, rung=RUNG_CLONE3).spawn()
    os.waitpid(born.pid, 0)
    os.close(born.pidfd)
