"""A child is born in the cgroup that its plan names: it never was anywhere else."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pidsup.linux import pidfd
from pidsup.linux.spawn import Plan, SpawnError
from tests.support import Spawned, kernel_version, sh, wait_until

Spawn = Callable[..., Spawned]


def root_of_cgroups() -> Path:
    """Return where cgroup v2 is mounted and may be written to."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in mounts:
        if mount[2] == "cgroup2" and os.access(mount[1], os.W_OK):
            return Path(mount[1])
    pytest.skip("*** no writable cgroup v2 ***")


class Cgroup:
    """A directory of its own, and a descriptor of that.  Owns both."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        with suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")
            wait_until(lambda: self.pids() == [], "an empty cgroup")
            self.path.rmdir()


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    cgroup = Cgroup(root_of_cgroups() / f"pidsup-test-{os.getpid()}")
    yield cgroup
    cgroup.remove()


def where(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def test_a_child_is_in_its_cgroup(spawn: Spawn, cgroup: Cgroup) -> None:
    """And so is what it forks."""
    born = spawn(sh("sleep 1000 & echo; wait"), cgroup=cgroup.fd)
    os.read(born.out, 1)
    assert born.pid in cgroup.pids()
    assert len(cgroup.pids()) == 2
    assert where(born.pid) == f"/{cgroup.path.name}"


def test_it_was_never_anywhere_else(spawn: Spawn, cgroup: Cgroup) -> None:
    """The first thing that the program itself can see."""
    born = spawn(sh("grep ^0:: /proc/self/cgroup"), cgroup=cgroup.fd)
    assert born.output() == f"0::/{cgroup.path.name}\n".encode()


def test_the_kernel_names_the_cgroup_by_its_inode(spawn: Spawn, cgroup: Cgroup) -> None:
    """So that a worker's cgroup can be told without a race."""
    if kernel_version() < (6, 13):
        pytest.skip("*** needs Linux 6.13 ***")
    born = spawn(cgroup=cgroup.fd)
    assert pidfd.get_info(born.pidfd).cgroup_id == cgroup.path.stat().st_ino


def test_the_child_does_not_keep_the_directory(spawn: Spawn, cgroup: Cgroup) -> None:
    """Nor the file that the second rung writes to."""
    born = spawn(cgroup=cgroup.fd)
    born.ready()
    held = [os.readlink(f"/proc/{born.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{born.pid}/fd")]
    assert not [path for path in held if "cgroup" in path]


def test_the_directory_may_stand_where_a_descriptor_goes(spawn: Spawn, cgroup: Cgroup) -> None:
    """It is used before the descriptors are placed."""
    gaps = [-1] * (cgroup.fd + 1)
    born = spawn(cgroup=cgroup.fd, more_fds=[*gaps, 0])
    born.ready()
    assert born.pid in cgroup.pids()


def test_a_removed_cgroup_is_an_error(cgroup: Cgroup, rung: int) -> None:
    """With the same step on both rungs, which the user knows nothing of."""
    cgroup.path.rmdir()
    with pytest.raises(SpawnError) as caught:
        Plan(["true"], environment={}, cgroup=cgroup.fd, rung=rung).spawn()
    assert caught.value.step == "cgroup"
    assert caught.value.errno in (errno.ENOENT, errno.ENODEV)


def test_a_directory_that_is_no_cgroup_is_an_error(rung: int, tmp_path: Path) -> None:
    """EBADF from clone3, ENOENT for the missing cgroup.procs."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(SpawnError) as caught:
        Plan(["true"], environment={}, cgroup=fd, rung=rung).spawn()
    os.close(fd)
    assert caught.value.step == "cgroup"
    assert caught.value.errno in (errno.EBADF, errno.ENOENT)


def test_a_frozen_cgroup_holds_up_the_thread_and_no_other(spawn: Spawn, cgroup: Cgroup) -> None:
    """The vfork waits for the exec; the interpreter's lock is free meanwhile."""
    (cgroup.path / "cgroup.freeze").write_text("1")
    waited: list[bool] = []

    def thaw() -> None:
        wait_until(cgroup.pids, "the child in its cgroup")
        waited.append(not born)
        (cgroup.path / "cgroup.freeze").write_text("0")

    born: list[Spawned] = []
    thread = threading.Thread(target=thaw)
    thread.start()
    born.append(spawn(cgroup=cgroup.fd))
    thread.join()
    assert waited == [True]
    born[0].ready()
