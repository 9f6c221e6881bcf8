"""The tree below a child: its process group, and those who have left it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from pidsup.process.child import Child, Whom
from tests.process.conftest import World
from tests.support import (
    await_end,
    descriptors,
    needs_linux,
    next_fd,
    open_files_limited,
    python,
    read_line,
    sh,
    wait_until,
)

#: Processes in every relation to the main one.  Each says its name and pid, then
#: every signal it gets.  Real-time signals queue: one that came twice is seen twice.
FAMILY = """
import os, signal
COUNTED, END = signal.SIGRTMIN, signal.SIGRTMIN + 1
signal.pthread_sigmask(signal.SIG_BLOCK, {COUNTED, END})

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def live(name):
    say(name, os.getpid())
    while True:
        say(name, "signal" if signal.sigwait({COUNTED, END}) == COUNTED else "end")

def child(name, leave=None, then=None):
    out, into = os.pipe()
    if os.fork() == 0:
        if leave:
            leave()
        if then:
            then()
        os.write(into, b"x")  # it and its children are where they belong: go on
        live(name)
    os.read(out, 1)

child("inside", then=lambda: child("below"))
child("session", os.setsid, then=lambda: (
    child("session-member"), child("session-leaver", lambda: os.setpgid(0, 0))))
child("group", lambda: os.setpgid(0, 0))
live("main")
"""
DIRECT = {"inside", "session", "group"}
EVERYBODY = DIRECT | {"main", "below", "session-member", "session-leaver"}


class Family:
    """The processes of FAMILY."""

    def __init__(self, world: World) -> None:
        self.child, self._out = world.start_with_pipe(python(FAMILY))
        self.pids: dict[str, int] = {}
        while len(self.pids) < len(EVERYBODY):
            name, pid = read_line(self._out).split()
            self.pids[name.decode()] = int(pid)
        assert self.pids["main"] == self.child.pid

    def signals_heard(self) -> Counter[str]:
        """Mark the end for each, the higher number comes last; return what came before."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGRTMIN + 1)
        heard: Counter[str] = Counter()
        ends: set[str] = set()
        while ends != EVERYBODY:
            name, what = read_line(self._out).decode().split()
            if what == "end":
                ends.add(name)
            else:
                heard[name] += 1
        return heard


def send(child: Child, whom: Whom) -> bool:
    return child.signal(signal.SIGRTMIN, whom)


# --- who gets it


@pytest.mark.parametrize(
    ("whom", "expected"),
    [(Whom.MAIN, {"main"}), (Whom.CHILDREN, DIRECT), (Whom.ALL, EVERYBODY)],
)
def test_each_process_gets_a_signal_once(
    world_of_groups: World, whom: Whom, expected: set[str]
) -> None:
    """Whatever group and session it has gone to, and though it can be found in two ways."""
    family = Family(world_of_groups)
    assert send(family.child, whom) is True
    assert family.signals_heard() == Counter(expected)


def test_a_second_signal_comes_as_often_as_the_first(world_of_groups: World) -> None:
    """Those that are pinned already are not found a second time."""
    family = Family(world_of_groups)
    for whom in (Whom.ALL, Whom.CHILDREN, Whom.MAIN):
        send(family.child, whom)
    heard = family.signals_heard()
    assert heard == Counter([*EVERYBODY, *DIRECT, "main"])


def test_children_that_there_are_not_get_nothing(world_of_groups: World) -> None:
    """False: nobody got it."""
    child = world_of_groups.start(["sleep", "1000"])
    assert child.signal(signal.SIGKILL, Whom.CHILDREN) is False
    assert child.exit is None


# --- the end of the tree


def test_kill_tree_ends_all_that_were_pinned_while_their_parents_lived(
    world_of_groups: World,
) -> None:
    """Once a parent is dead nobody can tell whose child an orphan was."""
    family = Family(world_of_groups)
    family.child.pin_descendants()
    pins = [os.pidfd_open(pid) for pid in family.pids.values()]
    os.kill(family.child.pid, signal.SIGKILL)
    world_of_groups.await_end(family.child)
    assert family.child.tree_is_empty() is False

    family.child.kill_tree()

    for pin in pins:
        await_end(pin)
        os.close(pin)
    world_of_groups.await_empty(family.child)


def test_a_process_without_descendants_leaves_an_empty_tree(world_of_groups: World) -> None:
    """At once: a restart waits for nothing."""
    child = world_of_groups.start(["true"])
    world_of_groups.await_end(child)
    assert child.tree_is_empty() is True


def leave_straggler(world: World) -> tuple[Child, int]:
    """Return a child that is dead, and a pidfd of one that it left in its group."""
    child, out = world.start_with_pipe(sh("sleep 1000 & echo $!; read _"))
    pin = os.pidfd_open(int(read_line(out)))
    os.kill(child.pid, signal.SIGKILL)
    world.await_end(child)
    return child, pin


@needs_linux(6, 9)
def test_a_straggler_of_the_group_is_found_and_killed(world: World) -> None:
    """Through the pidfd of a leader who is reaped: no scan, and no number."""
    child, pin = leave_straggler(world)
    assert child.tree_is_empty() is False
    child.kill_tree()
    await_end(pin)
    world.await_empty(child)
    os.close(pin)


def test_below_linux_6_9_a_straggler_is_killed_before_the_reap(old_world: World) -> None:
    """While the leader's number is still its own; afterwards nobody is signalled by it."""
    child, pin = leave_straggler(old_world)
    await_end(pin)
    assert child.signal(signal.SIGKILL, Whom.ALL) is False
    old_world.await_empty(child)
    os.close(pin)


def test_below_linux_6_9_a_recycled_number_is_not_ones_own_group(
    old_world: World, worker: Callable[..., Popen[bytes]]
) -> None:
    """A process of that number says that the old group is empty, or it were not free."""
    child = old_world.start(["true"])
    old_world.await_end(child)
    stranger = worker(["sleep", "1000"], start_new_session=True)
    child.pid = stranger.pid
    assert child.tree_is_empty() is True
    child.kill_tree()
    assert stranger.poll() is None


def test_what_is_forked_by_one_who_left_is_found_later(world_of_groups: World) -> None:
    """The pinned are asked for children, too."""
    script = 'setsid sh -c \'read _ < "$0"; sleep 1000 & echo $!; wait\' "$1" & echo; read _'
    fifo = f"/tmp/pidsup-test-{os.getpid()}"
    os.mkfifo(fifo)
    try:
        child, out = world_of_groups.start_with_pipe(sh(script, fifo))
        read_line(out)
        wait_until(lambda: pinned(child) == 1, "the one who left")
        with open(fifo, "w") as file:
            file.write("\n")
        late = os.pidfd_open(int(read_line(out)))
    finally:
        os.unlink(fifo)
    child.kill_tree()
    world_of_groups.await_end(child)
    await_end(late)
    os.close(late)


def pinned(child: Child) -> int:
    child.pin_descendants()
    return len(child._pinned)


@needs_linux(6, 9)
def test_the_group_of_one_who_left_is_killed_though_he_is_dead(world: World) -> None:
    """He was pinned; his children, forked later in his group, have no other trace."""
    script = 'setsid sh -c \'echo $$; read _ < "$0"; sleep 1000 & echo $!\' "$1" & read _'
    fifo = f"/tmp/pidsup-test-{os.getpid()}"
    os.mkfifo(fifo)
    try:
        child, out = world.start_with_pipe(sh(script, fifo))
        leaver = os.pidfd_open(int(read_line(out)))
        child.pin_descendants()
        with open(fifo, "w") as file:
            file.write("\n")
        late = os.pidfd_open(int(read_line(out)))
    finally:
        os.unlink(fifo)
    await_end(leaver)
    child.kill_tree()
    world.await_end(child)
    await_end(late)
    for fd in (leaver, late):
        os.close(fd)


#: Leaves a zombie in the group, whose parent has left group and tree, and never reaps it.
NEGLECT = """
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        zombie = os.fork()
        if zombie == 0:
            os._exit(0)
        os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
        os.setsid()
        os.write(1, f"{os.getpid()}\\n".encode())
        time.sleep(1000)
    os._exit(0)
os.wait()
os.read(0, 1)
"""


def test_a_zombie_that_nobody_reaps_does_not_count_for_ever(world_of_groups: World) -> None:
    """It keeps the tree from being empty, until it is looked at thoroughly."""
    child, out = world_of_groups.start_with_pipe(python(NEGLECT))
    neglectful = int(read_line(out))
    child.kill_tree()
    world_of_groups.await_end(child)

    looks = child.tree_is_empty(), child.tree_is_empty(thorough=True)
    os.kill(neglectful, signal.SIGKILL)
    world_of_groups.await_empty(child)

    assert looks == (False, True)


def test_who_lives_is_found_by_a_thorough_look_too(world_of_groups: World) -> None:
    """In the group, and in the group of one who left."""
    family = Family(world_of_groups)
    family.child.pin_descendants()
    os.kill(family.child.pid, signal.SIGKILL)
    world_of_groups.await_end(family.child)
    assert family.child.tree_is_empty(thorough=True) is False


# --- pins


def test_pins_of_the_gone_are_given_up(world_of_groups: World) -> None:
    """A worker that is signalled every minute for a year, and forks: no descriptor is lost."""
    script = "while read _; do sleep 1000 & echo $!; wait; echo done; done"
    stdin, into = os.pipe()
    out, stdout = os.pipe()
    child = world_of_groups.start(sh(script), fds=(stdin, stdout, 2))
    os.close(stdin)
    os.close(stdout)
    counts = []
    for _ in range(5):
        os.write(into, b"\n")
        pid = int(read_line(out))
        child.signal(0, Whom.ALL)
        counts.append(len(descriptors()))
        os.kill(pid, signal.SIGKILL)
        assert read_line(out) == b"done\n"
    os.close(into)
    os.close(out)
    assert len(set(counts)) == 1


def test_a_descendant_is_pinned_once(world_of_groups: World) -> None:
    """However often it is looked for."""
    family = Family(world_of_groups)
    family.child.pin_descendants()
    before = descriptors()
    for _ in range(3):
        family.child.pin_descendants()
    assert descriptors() == before
    assert len(family.child._pinned) == len(EVERYBODY) - 1


def test_without_descriptors_the_group_is_killed_nevertheless(world_of_groups: World) -> None:
    """What cannot be pinned is in the group's care, and a stop does not fail for it."""
    child, out = world_of_groups.start_with_pipe(sh("sleep 1000 & echo $!; wait"))
    member = os.pidfd_open(int(read_line(out)))
    with open_files_limited(next_fd()):
        child.pin_descendants()
        assert child.signal(signal.SIGKILL, Whom.ALL) is True
    assert world_of_groups.await_end(child).signal == signal.SIGKILL
    await_end(member)
    os.close(member)


def test_the_processes_of_a_tree_are_all_in_it(world_of_groups: World) -> None:
    """Orphans of the group, and who has left it, too."""
    script = "(setsid sleep 1000 & echo $!); (sleep 1000 & echo $!); sleep 1000 & echo $!; wait"
    child, out = world_of_groups.start_with_pipe(sh(script))
    left, orphan, member = (int(read_line(out)) for _ in range(3))
    wait_until(lambda: os.getsid(left) == left, "a session of its own")
    assert {child.pid, orphan, member} <= child.processes()
    child.signal(signal.SIGKILL, Whom.ALL)
    os.kill(left, signal.SIGKILL)  # whose ancestry was lost before anybody looked
    world_of_groups.await_end(child)

    def is_gone() -> bool:
        world_of_groups.reap_orphans()
        return not Path(f"/proc/{left}").exists()

    wait_until(is_gone)
