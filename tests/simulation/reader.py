"""A client that knows of the supervisor only by its events, and what it believes by them."""

from __future__ import annotations

import json
from random import Random

from pidsup.control.protocol import Message, call
from pidsup.control.request import Caller
from pidsup.control.service import Service
from pidsup.control.stream import Stream
from pidsup.supervisor.supervisor import Supervisor
from tests.simulation import views
from tests.simulation.violation import Violation, demand


class Reader:
    """Subscribes, goes away, and comes back with its cursor."""

    def __init__(self, service: Service, supervisor: Supervisor, caller: Caller) -> None:
        self._service = service
        self._supervisor = supervisor
        self._caller = caller
        self._stream: Stream | None = None
        self._cursor: str | None = None
        self._slots: dict[str, tuple[str, int | None]] = {}
        self._wanted: dict[str, tuple[bool, int]] = {}

    def come_and_go(self, rng: Random) -> None:
        """Hang up if it is there, else subscribe; sometimes it has forgotten its cursor."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            return
        if rng.random() < 0.2:
            self._cursor = None
        asked = call("Events", {"cursor": self._cursor}, more=True)
        answer = self._service.call(asked, self._caller)
        if isinstance(answer, dict):
            raise Violation(f"cannot subscribe: {answer}")
        self._stream = answer
        answer.begin(self._read)
        self._read()

    def _read(self) -> None:
        while self._stream is not None and (data := self._stream.next()) is not None:
            answer = json.loads(data[:-1])["parameters"]
            if answer["kind"] == "snapshot":
                self._look(answer["status"])
            for event in answer["events"]:
                self._hear(event)
            self._cursor = answer["cursor"]

    def _look(self, status: Message) -> None:
        watchers = status["watchers"]
        self._wanted = {w["name"]: (w["running"], w["workers"]) for w in watchers}
        self._slots = {s["name"]: (s["state"], s["pid"]) for w in watchers for s in w["slots"]}

    def _hear(self, event: Message) -> None:
        cursor = self._cursor or ""
        last = int(cursor.rpartition(":")[2])
        demand(event["seq"] == last + 1, f"event {event['seq']} comes behind {last}")
        self._cursor = f"{cursor.rpartition(':')[0]}:{event['seq']}"
        if event["kind"] == "slot" and event["state"] == "removed":
            self._slots.pop(event["subject"], None)
        elif event["kind"] == "slot":
            self._slots[event["subject"]] = (event["state"], event["pid"])
        elif event["kind"] == "watcher" and event["state"] == "removed":
            del self._wanted[event["subject"]]
        elif event["kind"] == "watcher":
            self._wanted[event["subject"]] = (event["running"], event["workers"])

    def look_at_rest(self) -> None:
        """Demand that it believes what is, now that nothing happens any more."""
        if self._stream is None:
            return
        left = dict(self._slots)
        for slot in views.slots(self._supervisor):
            pid = None if slot.child is None else slot.child.pid
            told = left.pop(slot.name, ("stopped", None))  # a new one, which was never started
            demand(told == (slot.state.value, pid), f"{slot}, {pid}, but events say {told}")
        demand(not left, f"events say that there are {left}")
        gone = self._wanted.keys() - self._supervisor.watchers.keys()
        demand(not gone, f"events say that there are {gone}")
        for name, watcher in self._supervisor.watchers.items():
            wanted = (watcher.running, watcher.workers)
            demand(self._wanted[name] == wanted, f"{watcher}, but events say {self._wanted[name]}")
