"""Events of a real supervisor: whoever follows them knows how everything stands."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, aclosing
from itertools import islice, pairwise
from typing import Any

from pidsup.client import Client, events
from pidsup.client.aio import AsyncClient
from pidsup.client.aio import events as async_events
from pidsup.client.events import Event, Gap, Happening, Snapshot
from pidsup.control.protocol import call, encode
from tests.support import wait_until
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]


class Picture:
    """What somebody knows who has only the events."""

    def __init__(self) -> None:
        self.slots: dict[str, tuple[str, int | None]] = {}
        self.wanted: dict[str, tuple[bool, int]] = {}
        self.cursor = ""
        self.last = 0

    def take(self, happening: Happening) -> None:
        """Draw what has happened into the picture; nothing may be missing."""
        self.cursor = happening.cursor
        seq = int(happening.cursor.rpartition(":")[2])
        if isinstance(happening, Snapshot):
            self.last = seq
            watchers = happening.status["watchers"]
            self.slots = {s["name"]: (s["state"], s["pid"]) for w in watchers for s in w["slots"]}
            self.wanted = {w["name"]: (w["running"], w["workers"]) for w in watchers}
        elif isinstance(happening, Event):
            assert seq == happening.seq == self.last + 1, "a hole, or a double"
            self.last = seq
            self._draw(happening)

    def _draw(self, event: Event) -> None:
        if event.state == "removed":
            self.slots.pop(event.subject, None)
        elif event.kind == "slot":
            self.slots[event.subject] = (event.state, event.pid)
        elif event.kind == "watcher":
            assert event.running is not None
            assert event.workers is not None
            self.wanted[event.subject] = (event.running, event.workers)

    def is_of(self, it: Daemon) -> bool:
        """Tell whether it shows what Status does."""
        status = it.status()
        wanted = {w["name"]: (w["running"], w["workers"]) for w in status["watchers"]}
        slots = {name: (s["state"], s["pid"]) for name, s in it.slots().items()}
        return self.wanted == wanted and self.slots == slots


def follow(it: Daemon, **how: Any) -> Generator[Happening, None, None]:
    return events.events(connecting=lambda: Client(it.socket), **how)


def test_a_snapshot_and_all_events_make_the_whole_picture(daemon: Start) -> None:
    """While everything moves: restarts, failures, scaling up and down, stops."""
    it = daemon("""
        [watchers.web]
        command = "sleep 1000"
        workers = 5
        [watchers.flap]
        command = "sleep 0.01"
        workers = 3
        min_uptime = 0
        [watchers.off]
        command = "sleep 1000"
        autostart = false
        """)
    it.await_slots(lambda slots: slots["web:4"]["state"] == "ready")
    picture = Picture()
    happenings = follow(it)
    picture.take(next(happenings))
    for method, parameters in (
        ("Restart", {"selectors": ["web"]}),
        ("Scale", {"selectors": ["web"], "workers": 2}),
        ("Start", {"selectors": ["off"]}),
        ("Scale", {"selectors": ["web"], "by": 4}),
        ("Stop", {"selectors": ["web:1"]}),
        ("Stop", {"selectors": ["flap"]}),
    ):
        it.client.call(method, **parameters)
    last = it.client.call("Events")["cursor"]
    while picture.cursor != last:
        picture.take(next(happenings))
    assert picture.is_of(it)
    happenings.close()


def test_who_comes_back_with_a_cursor_has_missed_nothing(daemon: Start) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000', workers = 3 }")
    it.await_slots(lambda slots: len(it.pids()) == 3)
    picture = Picture()
    picture.take(next(follow(it)))
    for _ in range(3):
        it.client.call("Restart", selectors=["web"])
        last = it.client.call("Events")["cursor"]
        again = follow(it, cursor=picture.cursor)
        while picture.cursor != last:
            happening = next(again)
            assert isinstance(happening, Event)
            picture.take(happening)
    assert picture.is_of(it)


def test_what_is_wanted_is_told_before_it_is_carried_out_and_by_whom(daemon: Start) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000' }")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    happenings = follow(it)
    next(happenings)
    it.client.call("Stop", selectors=["web"])
    told = list(islice(happenings, 6))
    assert [(e.kind, e.subject, e.state) for e in told if isinstance(e, Event)] == [
        ("change", "1", "doing"),
        ("watcher", "web", "stopped"),
        ("slot", "web:0", "stopping"),
        ("slot", "web:0", "cleaning"),
        ("slot", "web:0", "stopped"),
        ("change", "1", "done"),
    ]
    _, wish, stopping, cleaning, _, _ = told
    assert isinstance(wish, Event)
    assert isinstance(stopping, Event)
    assert isinstance(cleaning, Event)
    assert wish.reason.startswith("stop (change 1) by uid ")
    assert (wish.running, wish.workers) == (False, 1)
    assert stopping.reason == "TERM sent, KILL after 10 s"
    assert cleaning.exit is not None
    assert (cleaning.exit["signal"], cleaning.exit["asked_for"]) == ("TERM", True)


def test_a_restart_by_itself_is_one_answer(daemon: Start) -> None:
    """Death, start and readiness belong together: a subscriber wakes up once."""
    it = daemon("watchers.web = { command = 'sleep 1000', min_uptime = 0 }")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    with Client(it.socket) as subscriber:
        answers = subscriber.stream("Events")
        next(answers)
        os.kill(it.pids()["web:0"], signal.SIGKILL)  # not through the supervisor: a change is told
        states: list[list[str]] = []
        while not states or "ready" not in states[-1]:
            told = next(answers)["events"]
            states.append([event["state"] for event in told if event["kind"] == "slot"])
    assert [one for one in states if one] == [["cleaning", "starting", "ready"]]


def test_dropped_output_is_an_event(daemon: Start, tmp_path: Any) -> None:
    it = daemon(f"""
        [watchers.flood]
        command = ["sh", "-c", "seq 3000000; exec sleep 1000"]
        stdout = "{tmp_path}/log"
        log_policy = "drop"
        log_queue = "64K"
        autostart = false
        """)
    happenings = follow(it)
    next(happenings)
    it.client.call("Start", selectors=["flood"])
    dropped = next(e for e in happenings if isinstance(e, Event) and e.kind == "output")
    assert (dropped.subject, dropped.state) == ("flood:0", "dropped")
    assert "bytes dropped" in dropped.reason
    assert it.slots()["flood:0"]["dropped_bytes"] > 0


def test_the_end_of_the_supervisor_is_an_event_and_its_successor_a_gap(
    daemon: Start, tmp_path: Any
) -> None:
    """Asyncio's face goes on by itself, as the other does."""
    document = "watchers.web = { command = 'sleep 1000' }"
    it = daemon(document)
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    found: list[Happening] = []

    async def connecting() -> AsyncClient:
        return await AsyncClient.over(Client(it.socket))

    async def go() -> None:
        async with aclosing(async_events(connecting=connecting)) as happenings:
            async for happening in happenings:
                found.append(happening)
                if isinstance(happening, Snapshot) and len(found) == 1:
                    it.send(signal.SIGTERM)
                    await asyncio.to_thread(it.wait)
                    await asyncio.to_thread(it.begin)
                elif isinstance(happening, Snapshot):
                    return

    asyncio.run(go())
    kinds = [(e.kind, e.state) for e in found if isinstance(e, Event)]
    assert ("supervisor", "stopping") in kinds
    assert [type(one) for one in found[-2:]] == [Gap, Snapshot]
    assert found[0].cursor.partition(":")[0] != found[-1].cursor.partition(":")[0]


#: Its ends are large events: with the last lines of a failure.
FLAP = """
    [watchers.flap]
    command = ["sh", "-c", "printf '%0900d\\n' 1 2 3 4 5; exit 1"]
    stdout = "capture"
    workers = 20
    min_uptime = 0
    """


def test_who_never_reads_gets_a_gap_and_costs_a_bounded_amount(daemon: Start) -> None:
    """A hundred of them, in a storm of restarts, and what is theirs is theirs alone."""
    it = daemon(FLAP, quiet=True)
    subscribe = encode(call("Events", {}, more=True))
    with ExitStack() as crowd:
        reader = crowd.enter_context(Client(it.socket))
        answers = reader.stream("Events")
        last = int(next(answers)["cursor"].rpartition(":")[2])
        mute = [crowd.enter_context(Client(it.socket)) for _ in range(100)]
        for one in mute:
            one._socket.sendall(subscribe)
        full = last + 2400
        before = 0
        while last < full:
            told = next(answers)
            assert told["kind"] == "events"
            last = told["events"][-1]["seq"]
            if last > full - 800 and not before:
                before = it.rss_kb()
        assert not it.has_grown(before, 4096)
        it.client.call("Stop", selectors=["flap"])
        kinds: list[str] = []
        while "gap" not in kinds:
            answer = mute[0]._receive()["parameters"]
            kinds.append(answer["kind"])
        assert answer["missed"] > 0
        assert mute[0]._receive()["parameters"]["kind"] == "snapshot"
        assert kinds[0] == "snapshot"


def test_subscribers_hear_soon(daemon: Start) -> None:
    """Fifty of them; the figures are the benchmark's."""
    it = daemon("watchers.web = { command = 'sleep 1000' }")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    with ExitStack() as crowd:
        streams = []
        for _ in range(50):
            client = crowd.enter_context(Client(it.socket))
            streams.append(client.stream("Events"))
            next(streams[-1])
        begun = time.monotonic()
        it.client.call("Stop", selectors=["web"])
        for stream in streams:
            seqs: list[int] = []
            states: list[str] = []
            while "stopped" not in states[1:]:
                told = next(stream)["events"]
                seqs += [event["seq"] for event in told]
                states += [event["state"] for event in told if event["kind"] == "slot"]
            assert all(later == sooner + 1 for sooner, later in pairwise(seqs))
        assert time.monotonic() - begun < 1
    wait_until(lambda: it.status()["name"] == it.name)
