"""How soon do a hundred subscribers hear of an event, while one of them never reads?"""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import ExitStack

from bench import proc
from bench.fleet import Fleet
from bench.inbox import WrongResult
from bench.peers import Job, Pidsup
from bench.setting import Setting
from pidsup.control import paths
from pidsup.control.protocol import call, encode

SUBSCRIBERS = 100
COUNT = 10
PACE_S = 0.065
WITHIN_S = 5.0
STORM_EVENTS = 10_000
STORM_WITHIN_S = 60.0

_SUBSCRIBE = encode(call("Events", {}, more=True))


class Subscriber:
    """A subscription.  Owns its socket."""

    def __init__(self, job: Job) -> None:
        """Subscribe."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(paths.socket_path(job.directory.name))
        self.socket.sendall(_SUBSCRIBE)
        self._data = bytearray()

    def receive(self) -> None:
        """Take what there is."""
        self._data += self.socket.recv(1 << 16)  # more has to be mapped and unmapped

    def answers(self) -> list[dict[str, object]]:
        """Return the whole answers among what was taken: apart, because parsing takes time."""
        *whole, rest = self._data.split(b"\0")
        self._data = rest
        return [json.loads(answer)["parameters"] for answer in whole]


def measure(setting: Setting) -> None:
    """Kill a worker at a time and see who hears when; then let workers flap, and see memory."""
    pidsup = setting.pidsup
    if pidsup is not None:
        _measure_delay(setting, pidsup, 60 if setting.quick else 250)
        _measure_memory(setting, pidsup)


def _subscribe(stack: ExitStack, fleet: Fleet) -> tuple[list[Subscriber], select.epoll]:
    """Return all that read, in one epoll set; one more subscribes, and never reads."""
    readers = [Subscriber(fleet.job) for _ in range(SUBSCRIBERS - 1)]
    poll = stack.enter_context(select.epoll())
    for one in [*readers, Subscriber(fleet.job)]:
        stack.callback(one.socket.close)
    for one in readers:
        poll.register(one.socket, select.EPOLLIN)
        while not one.answers():
            one.receive()
    return readers, poll


def _measure_delay(setting: Setting, pidsup: Pidsup, rounds: int) -> None:
    delays: list[float] = []
    with ExitStack() as stack:
        fleet = stack.enter_context(setting.fleet(pidsup, COUNT))
        fleet.start()
        readers, poll = _subscribe(stack, fleet)
        for _ in range(rounds):
            time.sleep(PACE_S)
            fleet.restart_one()
            delays += _delays(readers, poll)
        fleet.check()
    case = f"{SUBSCRIBERS} subscribers, one never reads"
    setting.sheet.add("events", case, "pidsup", "ms", [delay * 1000 for delay in delays])
    found = setting.sheet.find("events", case, "pidsup")
    if found is not None:
        setting.sheet.mark("events: from an event to a subscriber, p99, ms", found.p99, at_most=5)


def _delays(readers: list[Subscriber], poll: select.epoll) -> list[float]:
    """Return for each reader when it had heard of a restart, behind the death."""
    by_fd = {one.socket.fileno(): one for one in readers}
    heard_at: dict[int, float] = {}
    deadline = time.monotonic() + WITHIN_S
    while len(heard_at) < len(readers):  # nothing else: parsing would delay the next
        if time.monotonic() > deadline:
            raise WrongResult(f"not all have heard of a restart within {WITHIN_S:g} s")
        for fd, _ in poll.poll(1):
            by_fd[fd].receive()
            heard_at.setdefault(fd, time.time())
    happened_at = {_told(one, deadline) for one in readers}
    if len(happened_at) > 1:
        raise WrongResult(f"a restart was told in several ways: {happened_at}")
    return [at - min(happened_at) for at in heard_at.values()]


def _told(one: Subscriber, deadline: float) -> float:
    """Read up to the end of a restart; return when it began."""
    events: list[dict[str, object]] = []
    while not events or events[-1]["state"] != "ready":
        for answer in one.answers():
            told = answer["events"]
            assert isinstance(told, list), "not what the interface declares"
            events += told
        if not events or events[-1]["state"] != "ready":
            one.socket.settimeout(max(0.001, deadline - time.monotonic()))
            one.receive()
    if [event["state"] for event in events] != ["cleaning", "starting", "ready"]:
        raise WrongResult(f"a restart was told in another way: {events}")
    at = events[0]["at"]
    assert isinstance(at, float)
    return at


def _measure_memory(setting: Setting, pidsup: Pidsup) -> None:
    """Let events come, more than sockets and ring can hold for the one that never reads."""
    with ExitStack() as stack:
        fleet = stack.enter_context(setting.fleet(pidsup, COUNT, flapping=True))
        fleet.launch()
        fleet.inbox.wait(WITHIN_S)
        storm = Storm(fleet, *_subscribe(stack, fleet))
        storm.read_up_to(STORM_EVENTS)  # the ring is full, and so is the socket
        before_kb = proc.resident_kb(fleet.pid)
        storm.read_up_to(2 * STORM_EVENTS)
        grown_kb = proc.resident_kb(fleet.pid) - before_kb
    case = f"{STORM_EVENTS} events more, one subscriber never reads"
    setting.sheet.add("events", case, "pidsup", "kB", [float(grown_kb)])
    setting.sheet.mark("events: growth while one never reads, kB", grown_kb, at_most=512)


class Storm:
    """Workers that come and go, and those who read of it.  Borrows both."""

    def __init__(self, fleet: Fleet, readers: list[Subscriber], poll: select.epoll) -> None:
        """Have the first reader watched."""
        self._fleet = fleet
        self._by_fd = {one.socket.fileno(): one for one in readers}
        self._watched = readers[0]
        self._poll = poll
        self._last = 0

    def read_up_to(self, seq: int) -> None:
        """Have all read until one of them has heard of an event."""
        deadline = time.monotonic() + STORM_WITHIN_S
        while self._last < seq:
            if time.monotonic() > deadline:
                raise WrongResult(f"event {seq} has not come within {STORM_WITHIN_S:g} s")
            for fd, _ in self._poll.poll(0.1):
                one = self._by_fd[fd]
                one.receive()
                self._note(one, one.answers())
            self._fleet.inbox.drain()  # a worker that cannot report waits

    def _note(self, one: Subscriber, answers: list[dict[str, object]]) -> None:
        if any(answer["kind"] != "events" for answer in answers):
            raise WrongResult("one that reads has got a gap")
        if one is self._watched and answers:
            self._last = int(str(answers[-1]["cursor"]).rpartition(":")[2])
