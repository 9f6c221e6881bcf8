"""What the tests of processes share: a loop with sources and a spawner, and who asks it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import prctl
import pytest

from pidsup.kernel import LINUX, Exit, Kernel, LinuxKernel, Plan
from pidsup.linux.spawn import DEFAULT_PATH
from pidsup.loop.sources import Sources
from pidsup.process.child import Child
from pidsup.process.orphans import Orphans
from pidsup.process.spawner import Spawner, Start
from tests.support import Driver, run_until, signals_blocked, wait_until


class Asker:
    """Asks for a process, and keeps a diary."""

    def __init__(self, make: Callable[[], Plan]) -> None:
        self.make = make
        self.fds: dict[int, int] = {}
        self.diary: list[str] = []
        self.child: Child | None = None
        self.error: Exception | None = None

    def prepare(self) -> Start:
        return Start(self.make(), self.fds)

    def spawned(self, child: Child) -> None:
        self.diary.append("spawned")
        self.child = child
        child.watch(self._exited)

    def spawn_failed(self, error: Exception | None) -> None:
        self.diary.append("cancelled" if error is None else "failed")
        self.error = error

    def _exited(self) -> None:
        self.diary.append("exited")

    @property
    def exit(self) -> Exit | None:
        return self.child.exit if self.child is not None else None


class World:
    """A spawner on a loop.  Owns all that was started; `close` ends it."""

    def __init__(self, driver: Driver, kernel: Kernel = LINUX) -> None:
        self.driver = driver
        self.kernel = kernel
        self.sources = Sources(driver.loop, kernel)
        self.spawner = Spawner(driver.loop, kernel, self.sources)
        self.askers: list[Asker] = []
        self._fds: list[int] = []

    def plan(self, command: Sequence[str], **attributes: Any) -> Plan:
        attributes.setdefault("environment", {"PATH": DEFAULT_PATH})
        attributes.setdefault("fds", (-1, -1, 2))
        return Plan(command, **attributes)

    def asker(self, command: Sequence[str], **attributes: Any) -> Asker:
        asker = Asker(lambda: self.plan(command, **attributes))
        self.askers.append(asker)
        return asker

    def start(self, command: Sequence[str], **attributes: Any) -> Child:
        """Start a process and wait until it is there."""
        asker = self.asker(command, **attributes)
        self.spawner.request(asker)
        self.run_until(lambda: asker.diary)
        assert asker.error is None, asker.error
        assert asker.child is not None
        return asker.child

    def start_with_pipe(self, command: Sequence[str]) -> tuple[Child, int]:
        """Do so with a pipe from its stdout, and stdin at an end that never comes."""
        stdin, never = os.pipe()
        out, into = os.pipe()
        self._fds.extend((out, never))
        try:
            return self.start(command, fds=(stdin, into, 2)), out
        finally:
            os.close(stdin)
            os.close(into)

    def run_until(self, predicate: Callable[[], object], what: str = "") -> None:
        run_until(self.driver, predicate, what)

    def await_end(self, child: Child) -> Exit:
        self.run_until(lambda: child.exit is not None, f"the end of {child.pid}")
        assert child.exit is not None
        return child.exit

    def await_empty(self, child: Child) -> None:
        """Wait until the tree is gone; its orphans come to us, and are reaped."""

        def is_empty() -> bool:
            self.reap_orphans()
            child.reap()  # the first process, where another was the main one
            return child.tree_is_empty()

        wait_until(is_empty, "an empty tree")

    def reap_orphans(self) -> None:
        while (pid := self.kernel.zombie()) is not None and pid not in self.spawner.children:
            self.kernel.reap(pid)

    def close(self) -> None:
        for child in [asker.child for asker in self.askers if asker.child is not None]:
            if child.pidfd < 0:
                continue
            child.kill_tree()
            self.await_end(child)
            self.await_empty(child)
            child.close()
        self.sources.close()
        for fd in self._fds:
            os.close(fd)


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    """Be one, as the daemon is; pid 1 of a container may take seconds to reap."""
    prctl.set_child_subreaper(1)
    yield
    prctl.set_child_subreaper(0)


@pytest.fixture
def world(driver: Driver) -> Iterator[World]:
    """Give a world on each of the loops."""
    world = World(driver)
    yield world
    world.close()


@pytest.fixture
def old_world(driver: Driver) -> Iterator[World]:
    """Give a world below Linux 6.9."""
    world = World(driver, LinuxKernel(group_signals=False))
    yield world
    world.close()


@pytest.fixture(params=[True, False], ids=["group-signals", "below-6.9"])
def world_of_groups(driver: Driver, request: pytest.FixtureRequest) -> Iterator[World]:
    """Give a world with each way to signal a process group."""
    if request.param and not LINUX.groups_outlive_leaders:
        pytest.skip("*** needs Linux 6.9 ***")
    world = World(driver, LinuxKernel(group_signals=request.param))
    yield world
    world.close()


class Nursery:
    """The scan for orphans, wired to SIGCHLD as the daemon does it."""

    def __init__(self, world: World) -> None:
        self.reaped: list[int] = []
        self.ends: list[Exit] = []
        self.looks = 0  # that found nobody any more
        self.orphans = Orphans(
            world.driver.loop,
            world.kernel,
            world.spawner.children,
            on_reaped=self._reaped,
            on_done=self._done,
        )
        self._fd = world.kernel.signals({signal.SIGCHLD})
        self._world = world
        world.driver.loop.add_reader(self._fd, self._child_died)

    def _child_died(self) -> None:
        self._world.kernel.read_signals(self._fd)
        self.orphans.look()

    def _reaped(self, pid: int, ended: Exit) -> None:
        self.reaped.append(pid)
        self.ends.append(ended)

    def _done(self) -> None:
        self.looks += 1

    def close(self) -> None:
        self._world.driver.loop.remove_reader(self._fd)
        os.close(self._fd)


@pytest.fixture
def nursery(world: World) -> Iterator[Nursery]:
    """Give a world's scan for orphans."""
    with signals_blocked(signal.SIGCHLD):
        nursery = Nursery(world)
        yield nursery
        nursery.close()
