"""One process from its birth to its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from pidsup.kernel import Exit, LinuxKernel
from pidsup.process.child import Child, Whom
from pidsup.process.exit import report
from tests.process.conftest import Nursery, World
from tests.support import Driver, descriptors, my_children, run_for, sh, wait_until

SLEEP = ["sleep", "1000"]


def test_a_death_is_told_once(world: World) -> None:
    """By whatever it was noticed, and however often it is looked at."""
    asker = world.asker(["true"])
    world.spawner.request(asker)
    world.run_until(lambda: "exited" in asker.diary)
    assert asker.child is not None
    for _ in range(3):
        asker.child.reap()
    run_for(world.driver, 0.01)
    assert asker.diary == ["spawned", "exited"]


def test_a_look_at_who_lives_is_harmless(world: World) -> None:
    """SIGCHLD says "look", never "who"."""
    child = world.start(SLEEP)
    child.reap()
    assert (child.exit, world.spawner.children) == (None, {child.pid: child})


def test_whoever_watches_after_the_death_hears_of_it_at_once(world: World) -> None:
    """No order of events loses it."""
    child = world.start(["true"])
    world.await_end(child)
    heard: list[str] = []
    child.watch(lambda: heard.append("its end"), lambda: heard.append("last words"))
    assert heard == ["last words", "its end"]


def test_a_reaped_child_is_not_among_the_known(world: World) -> None:
    """Its number is free: the next process of that number is another's."""
    child = world.start(["true"])
    world.await_end(child)
    assert world.spawner.children == {}


def test_the_pidfd_of_a_reaped_child_is_not_heard_any_more(world: World) -> None:
    """It stays readable, and is kept until the tree is gone: the loop would spin."""
    child = world.start(["true"])
    world.await_end(child)
    assert child.pidfd >= 0
    assert world.sources.remove(child.pidfd) is False


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", (0, None)),
        ("exit 9", (9, None)),
        ("kill -KILL $$", (None, signal.SIGKILL)),
        ("kill -TERM $$", (None, signal.SIGTERM)),
    ],
)
def test_how_it_ended_is_known(
    world: World, script: str, expected: tuple[int | None, int | None]
) -> None:
    """By code or by signal."""
    assert world.await_end(world.start(sh(script)))[:2] == expected


def test_a_child_that_somebody_else_has_reaped_ended_in_an_unknown_way(world: World) -> None:
    """In a program with a waitpid(-1) elsewhere: not guessed, and not asked for ever."""
    child = world.start(SLEEP)
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    ended = world.await_end(child)
    assert ended == Exit(None, None)
    assert str(report(ended, ran_s=0, asked_for=False)) == "ended in an unknown way"


# --- signals to the process alone


def test_a_signal_goes_to_the_process(world: World) -> None:
    """True: there was somebody to get it."""
    child = world.start(SLEEP)
    assert child.signal(signal.SIGTERM) is True
    assert world.await_end(child).signal == signal.SIGTERM


def test_a_signal_to_who_is_gone_is_no_error(world: World) -> None:
    """It crossed the death; that comes as an event anyway."""
    child = world.start(["true"])
    world.await_end(child)
    said = [child.signal(signal.SIGKILL, whom) for whom in Whom]
    assert said == [False, False, False]


def test_kill_tree_ends_a_process_that_blocks_all_it_can(world: World) -> None:
    """SIGKILL, to all."""
    child, out = world.start_with_pipe(sh('trap "" TERM INT HUP; echo; read _'))
    os.read(out, 1)
    child.signal(signal.SIGTERM)
    child.kill_tree()
    assert world.await_end(child).signal == signal.SIGKILL


def test_where_it_sleeps_can_be_asked(world: World) -> None:
    """Until it is gone."""
    child = world.start(SLEEP)
    assert child.sleeps_in()[0] in "SRD"
    child.kill_tree()
    world.await_end(child)
    assert child.sleeps_in() == ""


# --- who may not be signalled


class StrictKernel(LinuxKernel):
    """The real one, in which some processes belong to somebody else: sudo in a worker."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[int] = set()

    def signal(self, pidfd: int, signo: int) -> None:
        if pidfd in self.refused:
            raise PermissionError(1, "Operation not permitted")
        super().signal(pidfd, signo)

    def signal_group(self, pidfd: int, pid: int, signo: int) -> None:
        if pidfd in self.refused:
            raise PermissionError(1, "Operation not permitted")
        super().signal_group(pidfd, pid, signo)


@pytest.fixture
def strict(driver: Driver) -> Callable[[], World]:
    return lambda: World(driver, StrictKernel())


def refuse(world: World, child: Child, *, refused: bool) -> None:
    kernel = world.kernel
    assert isinstance(kernel, StrictKernel)
    if refused:
        kernel.refused.add(child.pidfd)
    else:
        kernel.refused.discard(child.pidfd)


@pytest.mark.parametrize("whom", [Whom.MAIN, Whom.ALL])
def test_a_process_of_another_user_is_a_permission_error(
    strict: Callable[[], World], whom: Whom
) -> None:
    """Who stops it has to be told that it cannot."""
    world = strict()
    child = world.start(SLEEP)
    refuse(world, child, refused=True)
    with pytest.raises(PermissionError):
        child.signal(signal.SIGTERM, whom)
    refuse(world, child, refused=False)
    world.close()


def test_a_tree_of_another_user_is_not_empty(strict: Callable[[], World]) -> None:
    """EPERM says that there is somebody."""
    world = strict()
    child = world.start(["true"])
    world.await_end(child)
    assert child.tree_is_empty() is True
    refuse(world, child, refused=True)
    assert child.tree_is_empty() is False
    refuse(world, child, refused=False)
    world.close()


# --- close


def test_close_gives_up_all_descriptors_and_may_be_called_twice(world: World) -> None:
    """The pidfd, and those of the descendants; whoever is alive lives on."""
    before = descriptors()
    child = world.start(sh("sleep 1000 & sleep 1000"))
    wait_until(lambda: len(world.kernel.children(child.pid)) == 2, "its children")
    child.pin_descendants()
    assert len(descriptors()) == len(before) + 3
    child.close()
    child.close()
    assert descriptors() == before
    os.killpg(child.pid, signal.SIGKILL)
    while my_children():
        os.waitpid(-1, 0)


def test_who_is_closed_alive_is_left_to_the_scan_for_orphans(
    world: World, nursery: Nursery
) -> None:
    """A stranger from then on: it blocks the way of no other zombie."""
    child = world.start(SLEEP)
    child.close()
    assert world.spawner.children == {}
    child.reap()
    os.kill(child.pid, signal.SIGKILL)
    world.run_until(lambda: child.pid in nursery.reaped)
