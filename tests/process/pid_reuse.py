"""Shows that a recycled pid is never signalled; run by test_pid_reuse.py as pid 1 of a namespace.

There a number can be given out at will: the next process gets the one behind
/proc/sys/kernel/ns_last_pid.  A failed assertion ends the program with a traceback.

    pid_reuse.py SCENARIO 0|1     1: groups are signalled through pidfds, 0: as below Linux 6.9
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import deque
from pathlib import Path

from pidsup.kernel import LinuxKernel, Plan
from pidsup.loop.loop import EpollLoop
from pidsup.loop.sources import Sources
from pidsup.process.child import Child, Whom

PROC = Path("/proc/sys/kernel")
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class World:
    """A kernel, and what children need."""

    def __init__(self, *, group_signals: bool) -> None:
        self.kernel = LinuxKernel(group_signals=group_signals)
        self.loop = EpollLoop(self.kernel)
        self.sources = Sources(self.loop, self.kernel)
        self.known: dict[int, Child] = {}

    def start(self, *command: str, fds: tuple[int, ...] = (-1, -1, 2), pid: int = 0) -> Child:
        """Start a process, with the number *pid* if there is one."""
        if pid:
            (PROC / "ns_last_pid").write_text(str(pid - 1))
        born = self.kernel.spawn(Plan(command, environment=ENVIRONMENT, fds=fds))
        child = Child(born, self.kernel, self.sources, known=self.known, started_at=0)
        child.watch(bool)
        assert pid in (0, child.pid), f"wanted number {pid}, got {child.pid}"
        return child

    def end(self, child: Child, signo: int = signal.SIGTERM) -> None:
        """Kill it, and wait for it."""
        if child.exit is None:
            self.kernel.signal(child.pidfd, signo)
        while child.exit is None:
            self.loop.turn()


class Victim:
    """A stranger with the number of another.  Owns the pipes through which it answers."""

    def __init__(self, world: World, pid: int) -> None:
        out, self._into = os.pipe()
        self._out, into = os.pipe()
        self._world = world
        self._child = world.start("cat", fds=(out, into), pid=pid)
        os.close(out)
        os.close(into)

    def lives(self) -> bool:
        """Ask it: who has been sent SIGKILL never answers, though he may not be dead yet."""
        try:
            os.write(self._into, b"?")
        except BrokenPipeError:
            return False
        return os.read(self._out, 1) == b"?"

    def end(self) -> None:
        self._world.end(self._child)
        os.close(self._into)
        os.close(self._out)


def of_a_dead_child(world: World) -> None:
    """Give the number of a reaped child to a stranger, who leads session and group by it."""
    dead = world.start("true")
    world.end(dead)
    victim = Victim(world, dead.pid)
    for whom in Whom:
        assert dead.signal(signal.SIGKILL, whom) is False
    dead.kill_tree()
    assert dead.tree_is_empty()
    assert dead.sleeps_in() == ""
    assert victim.lives()
    victim.end()


def of_a_dead_childs_children(world: World) -> None:
    """Do so; the children of the stranger are not the dead child's."""
    dead = world.start("true")
    world.end(dead)
    stranger, out = with_child(world, dead.pid)
    os.read(out, 99)
    before = descriptors()
    dead.pin_descendants()
    assert dead.signal(signal.SIGKILL, Whom.CHILDREN) is False
    assert dead.tree_is_empty()
    assert descriptors() == before
    assert len(world.kernel.children(stranger.pid)) == 1
    stranger.kill_tree()
    world.end(stranger)
    os.close(out)


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def with_child(world: World, pid: int = 0) -> tuple[Child, int]:
    """Start a shell that has a child, whose pid it tells through the pipe."""
    out, into = os.pipe()
    child = world.start(
        "sh", "-c", "sleep 1000 & echo $!; wait; sleep 1000", fds=(-1, into), pid=pid
    )
    os.close(into)
    return child, out


def of_a_pinned_descendant(world: World) -> None:
    """Give the number of a pinned descendant that is gone to somebody else."""
    parent, out = with_child(world)
    descendant = int(os.read(out, 99))
    parent.pin_descendants()
    pin = os.pidfd_open(descendant)
    os.kill(descendant, signal.SIGKILL)
    until_reaped(pin)
    victim = Victim(world, descendant)
    parent.signal(signal.SIGUSR1, Whom.CHILDREN)
    assert victim.lives()
    parent.kill_tree()
    world.end(parent)
    parent.kill_tree()
    assert victim.lives()
    victim.end()
    os.close(out)
    os.close(pin)


def until_reaped(pidfd: int) -> None:
    """Wait until somebody has reaped the process."""
    while True:
        try:
            signal.pidfd_send_signal(pidfd, 0)
        except ProcessLookupError:
            return


def between_look_and_pin(world: World) -> None:
    """Give a number away after it was listed as a child's, and before it is pinned."""
    parent, out = with_child(world)
    descendant = int(os.read(out, 99))
    victims: list[Victim] = []
    look = world.kernel.children

    def children(pid: int) -> list[int]:
        found = look(pid)
        if descendant in found and not victims:
            pin = os.pidfd_open(descendant)
            os.kill(descendant, signal.SIGKILL)
            until_reaped(pin)
            os.close(pin)
            victims.append(Victim(world, descendant))
        return found

    world.kernel.children = children  # the race, at the worst moment
    parent.signal(signal.SIGKILL, Whom.CHILDREN)
    parent.kill_tree()
    [victim] = victims
    assert victim.lives()
    world.end(parent)
    victim.end()
    os.close(out)


def over_and_over(world: World) -> None:
    """All numbers are given out again and again, and all of the dead are signalled all the time."""
    # Behind the last comes number 300: there are forty of them.
    (PROC / "pid_max").write_text("340")
    (PROC / "ns_last_pid").write_text("300")
    seed = int(os.environ.get("PIDSUP_SEED", "") or int.from_bytes(os.urandom(4), "big"))
    print(f"replay with PIDSUP_SEED={seed}", file=sys.stderr)  # noqa: T201  shown when it fails
    chance = random.Random(seed)
    living: list[Child] = []
    dead: deque[Child] = deque(maxlen=15)
    hits = 0
    for _ in range(500):
        if len(living) == 20:
            gone = living.pop(chance.randrange(len(living)))
            end_in_our_way(world, gone)
            if len(dead) == dead.maxlen:
                dead[0].close()
            dead.append(gone)
        living.append(world.start("sleep", "1000"))
        numbers = {child.pid for child in living}
        for child in chance.sample(list(dead), min(3, len(dead))):
            hits += child.pid in numbers
            child.signal(signal.SIGKILL, chance.choice(list(Whom)))
            assert child.tree_is_empty()
    for child in living:
        end_in_our_way(world, child)
    assert hits > 50, f"only {hits} numbers were recycled: nothing is shown"


def end_in_our_way(world: World, child: Child) -> None:
    """Send SIGTERM; who ends by SIGKILL, which goes before all others, was taken for a dead one."""
    world.end(child, signal.SIGTERM)
    assert child.exit is not None
    assert child.exit.signal == signal.SIGTERM, child.exit


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        of_a_dead_child,
        of_a_dead_childs_children,
        of_a_pinned_descendant,
        between_look_and_pin,
        over_and_over,
    )
}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](World(group_signals=sys.argv[2] == "1"))
