"""A queue of starts, each of which is answered by an event."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest

from pidsup.kernel import Born, LinuxKernel, Plan, SpawnError
from pidsup.process.child import Child
from tests.process.conftest import Asker, World
from tests.support import Driver, run_for, sh, wait_until


def test_a_process_is_announced_and_then_its_end(world: World) -> None:
    """With what is known of both."""
    asker = world.asker(sh("exit 7"))
    world.spawner.request(asker)
    world.run_until(lambda: "exited" in asker.diary)
    child = asker.child
    assert asker.diary == ["spawned", "exited"]
    assert child is not None
    assert child.exit is not None
    assert child.ended_at is not None
    assert child.exit.code == 7
    assert child.started_at < child.ended_at <= world.kernel.now()


def test_a_start_has_descriptors_of_its_own(world: World) -> None:
    """Two starts of one plan write into a pipe each."""
    plan = world.plan(sh("echo $$"))
    pipes = [os.pipe() for _ in range(2)]
    askers = [Asker(lambda: plan) for _ in pipes]
    world.askers.extend(askers)
    for asker, (_, into) in zip(askers, pipes, strict=True):
        asker.fds[1] = into
        world.spawner.request(asker)
    world.run_until(lambda: all("exited" in asker.diary for asker in askers))
    for asker, (out, into) in zip(askers, pipes, strict=True):
        assert asker.child is not None
        assert os.read(out, 99) == b"%d\n" % asker.child.pid
        os.close(out)
        os.close(into)


def test_nothing_is_answered_from_inside_the_request(world: World) -> None:
    """A start may move to a thread one day: nobody above may notice."""
    asker = world.asker(["true"])
    world.spawner.request(asker)
    assert (asker.diary, world.spawner.children) == ([], {})
    world.run_until(lambda: "exited" in asker.diary)


def test_a_start_that_fails_is_an_event(world: World) -> None:
    """With the error that says where and why; and there is no child."""
    asker = world.asker(["true"], cwd="/nope")
    world.spawner.request(asker)
    assert asker.diary == []
    world.run_until(lambda: asker.diary)
    assert asker.diary == ["failed"]
    assert isinstance(asker.error, SpawnError)
    assert str(asker.error) == "chdir '/nope': No such file or directory"
    assert world.spawner.children == {}


@pytest.mark.parametrize(
    "error",
    [
        LookupError("user 'nobody2': there is no such user"),
        PermissionError("cannot read"),
        ValueError("cannot start 'cat': a NUL byte"),
        ZeroDivisionError("a bug"),
    ],
)
def test_a_plan_that_cannot_be_made_is_an_event_too(world: World, error: Exception) -> None:
    """Whatever is wrong with it: nobody waits for ever, and the next in the queue gets its turn."""

    def fail() -> Plan:
        raise error

    asker, next_one = Asker(fail), world.asker(["true"])
    world.spawner.request(asker)
    world.spawner.request(next_one)
    world.run_until(lambda: "exited" in next_one.diary)
    assert (asker.diary, asker.error) == (["failed"], error)


def test_a_failure_is_never_told_from_inside_the_preparation(world: World) -> None:
    """Its state machine is not entered twice."""
    inside: list[bool] = []
    seen: list[bool] = []

    class Watched(Asker):
        def spawn_failed(self, error: Exception | None) -> None:
            seen.append(bool(inside))
            super().spawn_failed(error)

    def fail() -> Plan:
        inside.append(True)
        world.spawner.request(other)
        inside.clear()
        raise OSError("no")

    other = world.asker(["true"])
    asker = Watched(fail)
    world.spawner.request(asker)
    world.run_until(lambda: asker.diary and "exited" in other.diary)
    assert seen == [False]


def test_a_requester_that_fails_itself_holds_up_no_other(world: World) -> None:
    """Its bug is reported at the border of the loop; the queue goes on."""

    class Buggy(Asker):
        def spawn_failed(self, error: Exception | None) -> None:
            raise ZeroDivisionError("a bug")

    askers = [Buggy(lambda: world.plan(["true"], cwd="/nope")), world.asker(["true"])]
    for asker in askers:
        world.spawner.request(asker)
    world.run_until(lambda: "exited" in askers[1].diary)
    assert [str(error) for error in world.driver.errors] == ["a bug"]
    world.driver.errors.clear()


# --- cancel


def test_a_request_that_is_cancelled_in_time_starts_nothing(world: World) -> None:
    """And is told so, as an event."""
    asker = world.asker(["true"])
    request = world.spawner.request(asker)
    world.spawner.cancel(request)
    world.spawner.cancel(request)
    assert asker.diary == []
    run_for(world.driver, 0.02)
    assert (asker.diary, asker.error) == (["cancelled"], None)
    assert world.spawner.children == {}


def test_a_request_that_is_cancelled_too_late_is_answered_by_the_process(world: World) -> None:
    """It exists already, though nobody has heard of it: whoever cancelled has to stop it."""
    asker = world.asker(sh("sleep 1000"))
    request = world.spawner.request(asker)
    while not world.spawner.children:
        world.driver.turn(lambda: world.spawner.children)
    assert asker.diary == []
    world.spawner.cancel(request)
    world.run_until(lambda: asker.diary)
    run_for(world.driver, 0.01)
    assert asker.diary == ["spawned"]


def test_a_cancelled_request_does_not_hold_up_the_others(world: World) -> None:
    """Whether it stands before or behind them."""
    askers = [world.asker(["true"]) for _ in range(5)]
    requests = [world.spawner.request(asker) for asker in askers]
    for request in requests[::2]:
        world.spawner.cancel(request)
    world.run_until(lambda: all(asker.diary for asker in askers))
    world.run_until(lambda: all("exited" in asker.diary for asker in askers[1::2]))
    assert [asker.diary[0] for asker in askers] == [
        "cancelled",
        "spawned",
        "cancelled",
        "spawned",
        "cancelled",
    ]


def test_a_cancelled_one_may_ask_again_at_once(world: World) -> None:
    """Stop and start in one breath: two answers, in order."""
    asker = world.asker(["true"])
    world.spawner.cancel(world.spawner.request(asker))
    world.spawner.request(asker)
    world.run_until(lambda: "exited" in asker.diary)
    assert asker.diary == ["cancelled", "spawned", "exited"]


# --- an early death


def test_who_dies_before_it_was_announced_is_announced_first(world: World) -> None:
    """The scan for orphans may meet it before its requester has heard of it."""
    asker = world.asker(["true"])
    world.spawner.request(asker)
    while not world.spawner.children:
        world.driver.turn(lambda: world.spawner.children)
    [(pid, child)] = world.spawner.children.items()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    child.reap()
    assert asker.diary == []
    world.run_until(lambda: len(asker.diary) == 2)
    run_for(world.driver, 0.01)
    assert asker.diary == ["spawned", "exited"]


def test_who_dies_before_it_was_announced_is_noticed_without_a_scan(world: World) -> None:
    """Its pidfd is readable when it is watched: an edge would have been lost."""
    asker = world.asker(["true"])
    world.spawner.request(asker)
    while not world.spawner.children:
        world.driver.turn(lambda: world.spawner.children)
    wait_until(lambda: world.kernel.is_zombie(next(iter(world.spawner.children))))
    world.run_until(lambda: len(asker.diary) == 2)
    assert asker.diary == ["spawned", "exited"]


# --- many


class CountingKernel(LinuxKernel):
    """The real one; counts starts, and has a clock that only they move."""

    def __init__(self, takes_s: float) -> None:
        super().__init__()
        self.spawns = 0
        self._takes_s = takes_s

    def spawn(
        self, plan: Plan, fds: Mapping[int, int] = {}, variables: Mapping[str, str] = {}
    ) -> Born:
        self.spawns += 1
        return super().spawn(plan, fds, variables)

    def now(self) -> float:
        return self.spawns * self._takes_s


@pytest.fixture
def counted(driver: Driver, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(driver, CountingKernel(request.param))
    yield world
    world.close()


def spawns_per_turn(world: World, askers: list[Asker]) -> list[int]:
    """Start all of them; return how many each turn started, and look at a client in each."""
    kernel = world.kernel
    assert isinstance(kernel, CountingKernel)
    turns: list[int] = []
    out, into = os.pipe()
    os.write(into, b"x")
    world.driver.loop.add_reader(out, lambda: turns.append(kernel.spawns))
    for asker in askers:
        world.spawner.request(asker)
    world.run_until(lambda: kernel.spawns == len(askers))
    world.driver.loop.remove_reader(out)
    os.close(out)
    os.close(into)
    turns = [0, *turns, kernel.spawns]
    return [after - before for before, after in pairwise(turns)]


@pytest.mark.parametrize("counted", [0.0], indirect=True)
def test_a_hundred_starts_are_made_in_batches(counted: World) -> None:
    """At most 32 in a turn, however fast, with a look at the clients in between."""
    askers = [counted.asker(["true"]) for _ in range(100)]
    assert max(spawns_per_turn(counted, askers)) <= 32
    counted.run_until(lambda: all("exited" in asker.diary for asker in askers))


@pytest.mark.parametrize("counted", [0.006], indirect=True)
def test_slow_starts_are_made_in_smaller_batches(counted: World) -> None:
    """10 ms and the start that is under way: a client waits no longer on a busy machine."""
    askers = [counted.asker(["true"]) for _ in range(12)]
    assert max(spawns_per_turn(counted, askers)) <= 2
    counted.run_until(lambda: all("exited" in asker.diary for asker in askers))


def test_a_queue_that_gets_on_is_not_stuck(world: World) -> None:
    """However long somebody has waited in it, while others take their time."""
    began_at = world.kernel.now()
    for _ in range(100):
        world.spawner.request(world.asker(["true"]))
    stuck_since = world.spawner.stuck_since()
    assert stuck_since is not None
    assert stuck_since < world.kernel.now()
    world.run_until(lambda: world.spawner.children)
    later = world.spawner.stuck_since()
    assert later is None or later > stuck_since > began_at
    world.run_until(lambda: all("exited" in asker.diary for asker in world.askers))
    assert world.spawner.stuck_since() is None


def test_the_order_of_asking_is_the_order_of_the_starts(world: World) -> None:
    """And of the announcements."""
    prepared: list[int] = []
    announced: list[int] = []

    class Numbered(Asker):
        def __init__(self, number: int) -> None:
            super().__init__(self._make)
            self._number = number

        def _make(self) -> Plan:
            prepared.append(self._number)
            return world.plan(["true"])

        def spawned(self, child: Child) -> None:
            announced.append(self._number)
            super().spawned(child)

    askers = [Numbered(n) for n in range(80)]
    world.askers.extend(askers)
    for asker in askers:
        world.spawner.request(asker)
    world.run_until(lambda: all("exited" in asker.diary for asker in askers))
    assert prepared == announced == list(range(80))
