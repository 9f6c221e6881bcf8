"""The descriptors of a new process: exactly those of the map, and no other."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pidsup.linux.spawn import RUNG_CLONE, RUNG_CLONE3, Plan, SpawnError
from tests.support import Spawned, descriptors, next_fd, open_files_limited, sh, wait_until

Spawn = Callable[..., Spawned]
#: It needs no descriptor at all, and lives until it is killed.
SLEEP = ("/bin/sleep", "1000")
FILES = 6
LONGEST = 40  # further than our own descriptors reach, so that sources stand in the way


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Give memory files, named by their place in the list; half of them inheritable."""
    with_names = [os.memfd_create(str(n)) for n in range(FILES)]
    for fd in with_names[::2]:
        os.set_inheritable(fd, True)
    yield with_names
    for fd in with_names:
        os.close(fd)


def expect(born: Spawned, names: Sequence[int | None]) -> None:
    """Demand a descriptor for each name, nothing for None, and nothing else."""
    wanted = {n: f"/memfd:{name} (deleted)" for n, name in enumerate(names) if name is not None}
    try:
        # The loader opens libraries, and an exec has a moment before it closes.
        wait_until(lambda: descriptors(born.pid) == wanted, limit_s=10)
    except AssertionError:
        assert descriptors(born.pid) == wanted  # it shows the difference
        raise


def starts(fds: Sequence[int], rung: int) -> Spawned:
    born = Plan(SLEEP, environment={}, fds=fds, rung=rung).spawn()
    return Spawned(born, -1, os.open(os.devnull, os.O_RDONLY))


def test_gaps_are_closed(files: list[int], rung: int) -> None:
    """A program may do without stdin, or without any."""
    born = starts([files[0], -1, -1, files[1], -1], rung)
    expect(born, [0, None, None, 1, None])
    born.close()


def test_an_empty_map_leaves_nothing(files: list[int], rung: int) -> None:
    """Inheritable ones are not inherited either."""
    born = starts([], rung)
    expect(born, [])
    born.close()


def test_one_source_may_stand_in_several_places(files: list[int], rung: int) -> None:
    """/dev/null for all three, say."""
    born = starts([files[3]] * 3, rung)
    expect(born, [3, 3, 3])
    born.close()


def test_descriptors_may_change_places(spawn: Spawn) -> None:
    """1 becomes 2 and 2 becomes 1: each is in the other's way."""
    out, into_out = os.pipe()
    other, into_other = os.pipe()
    kept = {fd: os.dup(fd) for fd in (1, 2)}
    try:
        os.dup2(into_out, 1)
        os.dup2(into_other, 2)
        born = Plan(sh("echo out; echo err >&2"), environment={}, fds=(0, 2, 1)).spawn()
    finally:
        for fd, copy in kept.items():
            os.dup2(copy, fd)
            os.close(copy)
    os.waitpid(born.pid, 0)
    assert (os.read(out, 99), os.read(other, 99)) == (b"err\n", b"out\n")
    for fd in (out, into_out, other, into_other, born.pidfd):
        os.close(fd)


def test_the_file_and_its_offset_are_shared(files: list[int], spawn: Spawn) -> None:
    """A copy as of dup(2), not a new opening."""
    born = spawn(sh("echo hello >&3"), more_fds=[files[0]])
    assert born.wait().code == 0
    assert os.lseek(files[0], 0, os.SEEK_CUR) == 6


# --- what one start has of its own


def test_a_start_may_replace_what_its_plan_has(files: list[int], rung: int) -> None:
    """The plan is shared by all slots, and keeps its own for the next."""
    plan = Plan(SLEEP, environment={}, fds=(files[0], files[1], files[2]), rung=rung)
    null = os.open(os.devnull, os.O_RDONLY)
    replaced = Spawned(plan.spawn({1: files[4], 2: -1}), -1, os.dup(null))
    expect(replaced, [0, 4, None])
    replaced.close()
    as_planned = Spawned(plan.spawn(), -1, null)
    expect(as_planned, [0, 1, 2])
    as_planned.close()


def test_a_start_may_have_more_than_its_plan(files: list[int], rung: int) -> None:
    """What lies between stays closed."""
    plan = Plan(SLEEP, environment={}, fds=(files[0],), rung=rung)
    born = Spawned(plan.spawn({3: files[1]}), -1, os.open(os.devnull, os.O_RDONLY))
    expect(born, [0, None, None, 1])
    born.close()


def test_a_closed_source_of_one_start_is_an_error_of_that_start(files: list[int]) -> None:
    plan = Plan(SLEEP, environment={}, fds=(files[0],))
    with pytest.raises(SpawnError, match="fds: Bad file descriptor"):
        plan.spawn({0: next_fd()})
    born = Spawned(plan.spawn(), -1, os.open(os.devnull, os.O_RDONLY))
    expect(born, [0])
    born.close()


# --- any


maps = st.lists(st.one_of(st.just(-1), st.integers(0, FILES - 1)), max_size=LONGEST)


@pytest.mark.parametrize("rung", [RUNG_CLONE3, RUNG_CLONE])
@example(places=[0] * LONGEST)
@example(places=[5, 4, 3, 2, 1, 0] * 6)
@example(places=[-1] * LONGEST)
@example(places=[-1] * 30 + [0, 1, 2])
@given(places=maps)
@settings(max_examples=60)
def test_any_map_is_what_the_child_has(rung: int, places: list[int]) -> None:
    """Whatever stands where: sources below, above and at their targets."""
    files = [os.memfd_create(str(n)) for n in range(FILES)]
    born = starts([-1 if place < 0 else files[place] for place in places], rung)
    try:
        expect(born, [None if place < 0 else place for place in places])
    finally:
        born.close()
        for fd in files:
            os.close(fd)


def test_the_parents_descriptors_stay_as_they_are(files: list[int], rung: int) -> None:
    """The child has a table of its own, although it shares our memory."""
    flags = [os.get_inheritable(fd) for fd in files]
    before = descriptors()
    born = starts([files[5], files[4]], rung)
    born.close()
    assert descriptors() == before
    assert [os.get_inheritable(fd) for fd in files] == flags


def test_a_source_that_is_closed_is_an_error(rung: int) -> None:
    """A stale number in a plan; 1 is lifted, and its copy gets the first free number: that one."""
    with pytest.raises(SpawnError, match="fds: Bad file descriptor") as caught:
        Plan(["true"], environment={}, fds=(1, next_fd()), rung=rung).spawn()
    assert (caught.value.errno, caught.value.step) == (errno.EBADF, "fds")


def test_a_map_of_1024_is_the_longest(rung: int) -> None:
    """The child works on a stack of fixed size."""
    born = starts([-1] * 1024, rung)
    expect(born, [])
    born.close()


def test_a_longer_map_is_refused_before_any_process(rung: int) -> None:
    """As E2BIG; the step says what is too big."""
    with pytest.raises(SpawnError, match="fds: Argument list too long") as caught:
        Plan(["true"], environment={}, fds=[0] * 1025, rung=rung).spawn()
    assert (caught.value.errno, caught.value.step) == (errno.E2BIG, "fds")


def test_a_long_map_with_every_source_in_the_way(files: list[int], rung: int) -> None:
    """Each has to be lifted first: the most that the child's stack ever holds."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = min(1000, hard // 2 - 50)  # the lifted ones need room as well
    with open_files_limited(hard):
        born = starts([files[n % FILES] for n in range(most)], rung)
    expect(born, [n % FILES for n in range(most)])
    born.close()


def test_no_room_to_lift_a_source_is_an_error(files: list[int], rung: int) -> None:
    """EMFILE or EINVAL from the depth of the child, with its step, and nothing left over."""
    with open_files_limited(max(files) + 3):
        plan = Plan(["true"], environment={}, fds=[files[0]] * (max(files) + 2), rung=rung)
        with pytest.raises(SpawnError) as caught:
            plan.spawn()
    assert caught.value.step == "fds"
