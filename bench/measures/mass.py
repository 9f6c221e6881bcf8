"""How long after the death of all workers at once has the last successor begun?

And how long does a status request take meanwhile, on a connection that is open?
"""

from __future__ import annotations

import select
import time
from contextlib import ExitStack

from bench.fleet import Fleet
from bench.inbox import Report, WrongResult
from bench.peers import Connection, Peer
from bench.setting import Setting, interleaved

COUNT = 1000
CASE = f"N={COUNT}"
QUESTIONS_EVERY_S = 0.02


def measure(setting: Setting) -> None:
    """Kill all workers, first while asking pidsup for its status, then of each peer in turn."""
    if setting.pidsup is not None:
        _measure_answers(setting, setting.pidsup, rounds=3 if setting.quick else 8)
    for peers, rounds in setting.groups(full=15, quick=4, slow=2):
        _measure_side_by_side(setting, peers, rounds)
    setting.sheet.mark_ratio("mass", CASE, at_most=1.4)


def _measure_side_by_side(setting: Setting, peers: list[Peer], rounds: int) -> None:
    with ExitStack() as stack:
        fleets = [stack.enter_context(setting.fleet(peer, COUNT)) for peer in peers]
        for fleet in fleets:
            fleet.start()
        samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for fleet in interleaved(fleets, rounds):
            samples[fleet.peer.name].append(fleet.restart_all() * 1000)
    for name, values in samples.items():
        setting.sheet.add("mass", CASE, name, "ms", values)


def _measure_answers(setting: Setting, peer: Peer, rounds: int) -> None:
    totals: list[float] = []
    answers: list[float] = []
    longest: list[float] = []
    with setting.fleet(peer, COUNT) as fleet:
        fleet.start()
        connection = peer.connect(fleet.job)
        assert connection is not None, f"{peer.name} has no control connection"
        asking = Asking(fleet, connection)
        for _ in range(rounds):
            totals.append(fleet.restart_all(asking.receive) * 1000)
            answers += (answered := asking.finish())
            longest.append(max(answered))
        connection.close()
    setting.sheet.add("mass while asked", CASE, peer.name, "ms", totals)
    setting.sheet.add("status in mass", CASE, peer.name, "ms", answers)
    setting.sheet.add("status in mass, longest of each", CASE, peer.name, "ms", longest)
    setting.sheet.mark("status in mass: longest, ms", max(answers), at_most=50)


class Asking:
    """Receive reports and ask for the status meanwhile.  Borrows fleet and connection."""

    def __init__(self, fleet: Fleet, connection: Connection) -> None:
        """Ask nothing yet."""
        self._inbox = fleet.inbox
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(self._inbox, select.POLLIN)
        self._poll.register(self._connection, select.POLLIN)
        self._asked_at: float | None = None  # None: no question is open
        self._ask_at = 0.0
        self._answers_ms: list[float] = []

    def receive(self, count: int, within_s: float) -> list[Report]:
        """Wait for *count* reports, as Inbox.receive does, asking every now and then."""
        deadline = time.monotonic() + within_s
        self._ask_at = time.monotonic() + QUESTIONS_EVERY_S
        reports: list[Report] = []
        while len(reports) < count and time.monotonic() < deadline:
            if self._asked_at is None and time.monotonic() >= self._ask_at:
                self._ask()
            self._wait(QUESTIONS_EVERY_S)
            reports += self._inbox.drain()
        if len(reports) != count:
            raise WrongResult(f"{len(reports)} of {count} reports within {within_s:g} s")
        return reports

    def finish(self) -> list[float]:
        """Wait for the open answer, check all; return how long each took, in ms."""
        while self._asked_at is not None:
            self._wait(QUESTIONS_EVERY_S)
        answers_ms, self._answers_ms = self._answers_ms, []
        if self._connection.check() != len(answers_ms) or not answers_ms:
            raise WrongResult(f"{len(answers_ms)} answers, not all of them a status")
        return answers_ms

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._connection.ask()

    def _wait(self, for_s: float) -> None:
        ready = {fd for fd, _ in self._poll.poll(for_s * 1000)}
        if self._connection.fileno() in ready and self._connection.answered():
            assert self._asked_at is not None, "an answer without a question"
            now = time.monotonic()
            self._answers_ms.append((now - self._asked_at) * 1000)
            self._asked_at, self._ask_at = None, now + QUESTIONS_EVERY_S
