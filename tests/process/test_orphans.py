"""The scan for dead children that nobody knows."""

from __future__ import annotations

import os
import signal

from tests.process.conftest import Nursery, World
from tests.support import my_children, python, run_for, sh

#: Forks a child that forks a grandchild and ends; so on, 200 times.  The grandchildren
#: live until the main process is gone, and all die at once.
STORM = """
import os
out, into = os.pipe()
for n in range(200):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.close(into)
            os.read(out, 1)
            os._exit(n % 7)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_an_orphan_is_reaped_and_told(world: World, nursery: Nursery) -> None:
    """How it ended, too, though nobody asked for it."""
    child = world.start(sh("(sh -c 'exit 5' &)"))
    world.await_end(child)
    world.run_until(lambda: nursery.reaped)
    assert [ended[:2] for ended in nursery.ends] == [(5, None)]
    assert my_children() == []


def test_how_an_orphan_was_killed_is_told(world: World, nursery: Nursery) -> None:
    """By signal, for the log."""
    child = world.start(sh("(sh -c 'kill -USR1 $$' &)"))
    world.await_end(child)
    world.run_until(lambda: nursery.reaped)
    assert [ended[:2] for ended in nursery.ends] == [(None, signal.SIGUSR1)]


def test_a_storm_of_double_forks_leaves_no_zombie(world: World, nursery: Nursery) -> None:
    """Two hundred at once are one SIGCHLD, or a few."""
    child = world.start(python(STORM))
    world.await_end(child)
    world.run_until(lambda: len(nursery.reaped) == 200)
    assert sorted(ended.code or 0 for ended in nursery.ends) == sorted(n % 7 for n in range(200))
    assert len(set(nursery.reaped)) == 200
    assert my_children() == []


def test_a_known_child_is_never_told_as_an_orphan(world: World, nursery: Nursery) -> None:
    """Whichever notices it first, its pidfd or the scan: each is told once, to who asked."""
    askers = [world.asker(sh(f"(true &); exit {n}")) for n in range(60)]
    for asker in askers:
        world.spawner.request(asker)
    world.run_until(lambda: all("exited" in asker.diary for asker in askers))
    world.run_until(lambda: len(nursery.reaped) == 60)
    assert [asker.diary for asker in askers] == [["spawned", "exited"]] * 60
    assert [asker.exit and asker.exit.code for asker in askers] == list(range(60))
    known = {asker.child.pid for asker in askers if asker.child is not None}
    assert not known & set(nursery.reaped)


def test_a_known_zombie_does_not_stand_in_the_way_of_an_orphan(
    world: World, nursery: Nursery
) -> None:
    """The kernel names the same first zombie until it is reaped."""
    asker = world.asker(["sleep", "1000"])
    world.spawner.request(asker)
    while not world.spawner.children:
        world.driver.turn(lambda: world.spawner.children)
    [pid] = world.spawner.children
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    nursery.orphans.look()
    assert world.kernel.zombie() is None
    assert asker.diary == []
    world.run_until(lambda: asker.diary == ["spawned", "exited"])


def test_the_end_of_a_look_is_told(world: World, nursery: Nursery) -> None:
    """Who waits for the orphans of a tree looks again then."""
    child = world.start(["sleep", "1000"])
    nursery.orphans.look()
    assert (nursery.looks, nursery.reaped, child.exit) == (1, [], None)


def test_a_large_number_is_reaped_in_batches(world: World, nursery: Nursery) -> None:
    """At most 32 in a turn, with a look at the clients in between."""
    child = world.start(python(STORM))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen: list[int] = []
    out, into = os.pipe()
    os.write(into, b"x")
    world.driver.loop.add_reader(out, lambda: seen.append(len(nursery.reaped)))
    world.run_until(lambda: len(nursery.reaped) == 200)
    world.driver.loop.remove_reader(out)
    os.close(out)
    os.close(into)
    steps = [after - before for before, after in zip([0, *seen], [*seen, 200], strict=True)]
    assert max(steps) <= 2 * 32  # a signal may come between a batch and the next


def test_nobody_dead_is_no_work(world: World, nursery: Nursery) -> None:
    """A SIGCHLD whose child was reaped by its pidfd finds nothing."""
    world.await_end(world.start(["true"]))
    run_for(world.driver, 0.01)
    assert nursery.reaped == []
