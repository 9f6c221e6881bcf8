"""A child whose main process is another than the first: MAINPID= of sd_notify(3)."""

from __future__ import annotations

import os
import signal

import pytest

from pidsup.kernel import LINUX, Exit
from pidsup.linux import pidfd
from pidsup.process.child import Child, Whom
from tests.process.conftest import Nursery, World
from tests.support import (
    descriptors,
    needs_linux,
    python,
    read_line,
    run_for,
    sh,
    status,
    wait_until,
)

WAITS = sh("sleep 1000 & echo $!; wait $!; exit 7")
#: Ends once it is told to, by a line.
LEAVES = sh("sleep 1000 & echo $!; read line")
#: Its child ends with 3 once it is asked to, and stays a zombie.
NEVER_REAPS = python(
    "import os, signal, time\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
    "pid = os.fork()\n"
    "if not pid: signal.sigwait([signal.SIGUSR1]); os._exit(3)\n"
    "print(pid, flush=True)\n"
    "time.sleep(1000)\n"
)
DAEMON = python(
    "import os, time\n"
    "if os.fork(): input(); os._exit(0)\n"
    "os.setsid()\n"
    "parent = os.getpid()\n"
    "if os.fork(): os._exit(0)\n"
    "while os.getppid() == parent: time.sleep(0.001)\n"
    "print(os.getpid(), flush=True)\n"
    "time.sleep(1000)\n"
)
needs_exit_info = needs_linux(6, 15)


def start(world: World, command: list[str]) -> tuple[Child, int]:
    """Start it, and return the pid that it prints."""
    child, out = world.start_with_pipe(command)
    return child, int(read_line(out))


def follow(child: Child, pid: int) -> None:
    child.follow(pid, pidfd.pidfd_open(pid))


def let_go(world: World) -> None:
    """Let the first process read a line, and end."""
    os.write(world._fds[-1], b"\n")


def how(ended: Exit | None) -> tuple[int | None, int | None]:
    """Return code and signal."""
    assert ended is not None
    return ended.code, ended.signal


# --- the end: when, and how it is known; orphans are reaped as the daemon does it


@needs_exit_info
def test_that_of_the_main_process_counts(world: World, nursery: Nursery) -> None:
    """Reaped by its parent, the shell, who then ends in another way."""
    child, pid = start(world, WAITS)
    follow(child, pid)
    assert (child.main_pid, child.pid != pid) == (pid, True)
    child.signal(signal.SIGTERM)
    assert how(world.await_end(child)) == (None, signal.SIGTERM)
    world.await_empty(child)


def test_a_first_process_that_leaves_is_not_the_end(world: World, nursery: Nursery) -> None:
    """A daemon's parent does; its orphan is ours to reap."""
    child, pid = start(world, LEAVES)
    follow(child, pid)
    let_go(world)
    world.run_until(lambda: child.pid not in world.spawner.children)
    run_for(world.driver, 0.02)
    assert child.exit is None
    assert child.signal(signal.SIGTERM)
    assert how(world.await_end(child)) == (None, signal.SIGTERM)
    assert world.spawner.children == {}
    world.await_empty(child)


def test_a_first_process_that_never_reaps_is_ended_too(world: World, nursery: Nursery) -> None:
    """Nobody else could tell us how the main process ended."""
    child, pid = start(world, NEVER_REAPS)
    follow(child, pid)
    child.signal(signal.SIGUSR1)
    assert how(world.await_end(child)) == (3, None)
    world.await_empty(child)


def test_below_linux_6_9_it_is_not_known(old_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that is not ours; then the first is cleaned up as after any death."""
    monkeypatch.setattr(old_world.kernel, "info", lambda pidfd: None)
    child, pid = start(old_world, WAITS)
    follow(child, pid)
    child.signal(signal.SIGTERM)
    assert old_world.await_end(child) == Exit(None, None)
    child.kill_tree()
    old_world.run_until(lambda: not old_world.spawner.children)
    old_world.await_empty(child)


def test_one_that_has_already_ended_is_noticed(world: World, nursery: Nursery) -> None:
    """Between its message and our following it."""
    child, pid = start(world, NEVER_REAPS)
    os.kill(pid, signal.SIGUSR1)
    fd = pidfd.pidfd_open(pid)
    wait_until(lambda: status(pid)["State"][0] == "Z", "state Z")
    child.follow(pid, fd)
    assert world.await_end(child).code == 3
    world.await_empty(child)


def test_what_is_left_of_the_tree_does_not_count_as_gone(world: World, nursery: Nursery) -> None:
    """The first process is part of it."""
    child, pid = start(world, NEVER_REAPS)
    follow(child, pid)
    child.signal(signal.SIGSTOP, Whom.ALL)
    os.kill(pid, signal.SIGKILL)
    world.await_end(child)
    world.await_empty(child)


# --- which process is meant


def test_signals_reach_the_main_process_alone(world: World) -> None:
    """Whom.MAIN; the shell would die of it."""
    child, pid = start(world, WAITS)
    follow(child, pid)
    child.signal(signal.SIGSTOP)
    wait_until(lambda: status(pid)["State"][0] == "T", "state T")
    assert status(child.pid)["State"][0] != "T"


def test_the_children_are_those_of_the_main_process(world: World) -> None:
    """Whom.CHILDREN."""
    child, out = world.start_with_pipe(sh("sh -c 'sleep 1000 & echo $$; wait' & wait"))
    pid = int(read_line(out))
    follow(child, pid)
    assert child.signal(0, Whom.CHILDREN)
    (sleeper,) = LINUX.children(pid)
    child.signal(signal.SIGSTOP, Whom.CHILDREN)
    wait_until(lambda: status(sleeper)["State"][0] == "T", "state T")
    assert status(pid)["State"][0] != "T"


def test_the_whole_tree_has_one_that_left_the_session(world: World, nursery: Nursery) -> None:
    """Once it is the main process it is known, whoever its parent is."""
    child, pid = start(world, DAEMON)
    follow(child, pid)
    let_go(world)
    world.run_until(lambda: child.pid not in world.spawner.children)
    assert child.signal(signal.SIGKILL, Whom.ALL)
    assert world.await_end(child).signal == signal.SIGKILL
    world.await_empty(child)


def test_the_first_can_be_the_main_process_again(world: World) -> None:
    """And its end is the end again."""
    child, pid = start(world, WAITS)
    follow(child, pid)
    follow(child, child.pid)
    assert (child.main_pid, set(world.spawner.children)) == (child.pid, {child.pid})
    os.kill(pid, signal.SIGTERM)
    assert world.await_end(child).code == 7


def test_it_can_be_another(world: World) -> None:
    """The one before is just one of the tree then."""
    child, out = world.start_with_pipe(sh("sleep 1000 & echo $!; sleep 1000 & echo $!; wait"))
    one, other = int(read_line(out)), int(read_line(out))
    follow(child, one)
    follow(child, other)
    os.kill(one, signal.SIGKILL)
    run_for(world.driver, 0.02)
    assert (child.exit, child.main_pid) == (None, other)
    os.kill(other, signal.SIGKILL)
    world.await_end(child)
    child.kill_tree()
    world.await_empty(child)


def test_the_last_words_of_a_main_process_may_name_another(world: World) -> None:
    """Which is not dead, then."""
    script = "sleep 1000 & one=$!; sleep 1000 & echo $one $!; wait"
    child, out = world.start_with_pipe(sh(script))
    one, other = map(int, read_line(out).split())
    follow(child, one)

    def name_other() -> None:
        if child.main_pid == one:
            follow(child, other)

    child._before_reap = name_other
    os.kill(one, signal.SIGKILL)
    world.run_until(lambda: child.main_pid == other)
    run_for(world.driver, 0.02)
    assert (child.exit, status(other)["State"][0]) == (None, "S")


def test_a_number_that_is_another_childs_stays_his(world: World) -> None:
    """The main process was reaped by its parent, and one of ours was born with its number."""
    child, pid = start(world, WAITS)
    follow(child, pid)
    other = world.start(["sleep", "1000"])
    world.spawner.children[pid] = other
    follow(child, child.pid)
    assert world.spawner.children[pid] is other
    del world.spawner.children[pid]


def test_giving_up_closes_all(world: World) -> None:
    """Also in the middle."""
    before = descriptors()
    child, pid = start(world, WAITS)
    follow(child, pid)
    child.kill_tree()
    world.await_end(child)
    world.await_empty(child)
    child.close()
    child.close()
    assert world.spawner.children == {}
    assert len(descriptors()) == len(before) + 2  # the pipes of the world


# --- who is of the tree: who may speak for it, and be its main process


def test_whoever_is_of_its_session(world: World) -> None:
    """Also an orphan, whose parent is us."""
    child, out = world.start_with_pipe(sh("(sleep 1000 & echo $!); sleep 1000"))
    assert child.has(int(read_line(out)))
    assert child.has(child.pid)


def test_whoever_descends_from_it(world: World) -> None:
    """Also in another session, as long as his parents live."""
    script = "setsid sh -c 'echo $$; sh -c \"echo \\$\\$; sleep 1000; :\"; :' & wait"
    child, out = world.start_with_pipe(sh(script))
    assert child.has(int(read_line(out)))
    assert child.has(int(read_line(out)))


def test_nobody_else(world: World) -> None:
    """Neither we, nor another's worker, nor who is gone."""
    child = world.start(["sleep", "1000"])
    other = world.start(["sleep", "1000"])
    assert not child.has(os.getpid())
    assert not child.has(other.pid)
    assert not child.has(1)
    assert not child.has(1 << 22)


def test_a_daemon_is_not_known_until_it_is_the_main_process(world: World) -> None:
    """Its ancestry is lost; whoever asks has to know it in another way."""
    child, pid = start(world, DAEMON)
    assert not child.has(pid)
    follow(child, pid)
    assert child.has(pid)


def test_the_number_of_a_first_process_that_is_gone_means_nothing(world: World) -> None:
    """It may be a stranger's by now; what the main process begot is still known."""
    child, out = world.start_with_pipe(sh("sh -c 'sleep 1000 & echo $$ $!; wait' & read line"))
    main, below = map(int, read_line(out).split())
    follow(child, main)
    let_go(world)
    world.run_until(lambda: child.pid not in world.spawner.children)
    assert child.has(main)
    assert child.has(below)
    assert not child.has(child.pid)


def test_a_long_line_of_ancestors_is_not_walked_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends many messages from its end would keep us busy."""
    child = world.start(["sleep", "1000"])
    looked: list[int] = []

    def parent_of(pid: int) -> int:
        looked.append(pid)
        return pid + 1

    monkeypatch.setattr(world.kernel, "parent_of", parent_of)
    assert not child.has(os.getpid())
    assert len(looked) < 100


def test_what_was_said_last_is_heard_before_it_is_reaped(world: World) -> None:
    """As long as it is a zombie, its number and its session are its own."""
    asker = world.asker(["true"])
    states: list[str] = []

    def spawned(child: Child) -> None:
        asker.child = child
        child.watch(
            lambda: states.append("reaped"), lambda: states.append(status(child.pid)["State"][0])
        )

    asker.spawned = spawned  # type: ignore[method-assign]
    world.spawner.request(asker)
    world.run_until(lambda: "reaped" in states)
    assert states[-2:] == ["Z", "reaped"]
