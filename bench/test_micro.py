"""Time the parts that are in every restart and every answer: pytest bench/test_micro.py."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pidsup.control.protocol import Decoder, Message, call, encode, reply
from pidsup.kernel import LINUX
from pidsup.linux.spawn import Plan
from pidsup.loop.loop import EpollLoop
from pidsup.policy.lifecycle import Action, Event, State, step
from pidsup.policy.restart import (
    FRESH,
    Again,
    Ending,
    Later,
    Memory,
    RestartPolicy,
    Verdict,
    decide,
)
from pidsup.supervisor.events import Events

LIFE = (Event.EXITED, Event.AGAIN, Event.SPAWNED)


def live_once(state: State) -> tuple[State, list[Action]]:
    """Take a slot from ready through death and restart to ready again."""
    done: list[Action] = []
    for event in LIFE:
        state, actions = step(state, event)
        done += actions
    return state, done


def test_lifecycle_of_a_restart_us(benchmark: BenchmarkFixture) -> None:
    assert live_once(State.READY) == (State.READY, [Action.CLEAN, Action.SPAWN])
    benchmark(live_once, State.READY)


def test_verdict_on_a_good_run_us(benchmark: BenchmarkFixture) -> None:
    policy = RestartPolicy()

    def verdict() -> Verdict:
        return decide(policy, FRESH, Ending.SIGNAL, ran_s=2.0, now=1000.0, chance=0.5)

    assert isinstance(verdict(), Again)
    benchmark(verdict)


def test_verdict_on_a_bad_run_us(benchmark: BenchmarkFixture) -> None:
    policy = RestartPolicy(burst=100)
    memory = Memory(delay_s=0.1, bad_at=(1000.0,))

    def verdict() -> Verdict:
        return decide(policy, memory, Ending.CODE, ran_s=0.1, now=1001.0, chance=0.5)

    later = verdict()
    assert isinstance(later, Later)
    assert later.delay_s == pytest.approx(0.22)
    benchmark(verdict)


def through_the_wire(message: Message) -> Message | None:
    """Encode *message* and decode it again."""
    decoder = Decoder(limit=1 << 24)
    decoder.feed(encode(message))
    return decoder.next()


def test_framing_of_a_request_us(benchmark: BenchmarkFixture) -> None:
    request = call("Status", {"selectors": ["web:3"]})
    assert through_the_wire(request) == request
    benchmark(through_the_wire, request)


def test_framing_of_a_status_of_1000_slots_ms(benchmark: BenchmarkFixture) -> None:
    ended = {"code": None, "signal": "KILL", "core": False, "user_s": 0.01, "ran_s": 12.3456789}
    slot = {"name": "web:3", "state": "ready", "pid": 12345, "up_s": 1234.5678, "last_exit": ended}
    status = reply({"schema": 1, "watchers": [{"name": "web", "slots": [slot] * 1000}]})
    assert through_the_wire(status) == status
    benchmark(through_the_wire, status)


class Standing:
    """A slot that is ready, as far as an event tells of it."""

    name = "web:3"
    state = State.READY
    why = ""
    last_exit = None

    class child:  # noqa: N801  stands for one
        pid = 4711
        exit = None


def test_publishing_of_a_slot_us(benchmark: BenchmarkFixture) -> None:
    """Ask what each state that a slot enters costs while nobody listens."""
    loop = EpollLoop(LINUX)
    try:
        events = Events(loop, LINUX.wall, "instance")
        slot: Any = Standing()

        def publish() -> None:
            events.slot(slot, slot)
            events.settled(slot)

        publish()
        text, last = events.read(0)
        assert (json.loads(text)["subject"], last) == ("web:3", 1)
        benchmark(publish)
    finally:
        loop.close()


class Spawned:
    """Start processes one at a time.  Owns the one that was started last."""

    def __init__(self, spawn: Callable[[], int]) -> None:
        """Start with *spawn*, which returns a pid."""
        self._spawn = spawn
        self.pid = 0

    def spawn(self) -> None:
        """Start one; what is timed."""
        self.pid = self._spawn()

    def end(self) -> None:
        """Kill and reap it; what is not timed."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def plan_spawn(command: list[str]) -> Callable[[], int]:
    plan = Plan(command, environment=dict(os.environ))

    def spawn() -> int:
        born = plan.spawn()
        os.close(born.pidfd)
        return born.pid

    return spawn


def posix_spawn(command: list[str]) -> Callable[[], int]:
    def spawn() -> int:
        pid = os.posix_spawn(command[0], command, os.environ, setsid=True)
        os.close(os.pidfd_open(pid))
        return pid

    return spawn


@pytest.mark.parametrize("how", [plan_spawn, posix_spawn])
def test_spawn_us(
    benchmark: BenchmarkFixture, how: Callable[[list[str]], Callable[[], int]]
) -> None:
    spawned = Spawned(how(["/bin/sleep", "100"]))
    spawned.spawn()
    assert os.getsid(spawned.pid) == spawned.pid
    spawned.end()
    try:
        benchmark.pedantic(  # type: ignore[no-untyped-call]  # has no annotations
            spawned.spawn, setup=spawned.end, rounds=500, warmup_rounds=20
        )
    finally:
        spawned.end()
