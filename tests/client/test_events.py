"""A subscription that outlives its connections, blocking and with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from itertools import islice

import pytest

from pidsup.client import CallFailed, Client, NotRunning, events
from pidsup.client.aio import AsyncClient
from pidsup.client.aio import events as async_events
from pidsup.client.events import Event, Gap, Happening, Snapshot
from pidsup.control.protocol import error
from tests.client.scripted import Other, gap, happened, other, snapshot


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again at once."""
    for module in ("pidsup.client.events", "pidsup.client.aio"):
        monkeypatch.setattr(f"{module}.FIRST_PAUSE_S", 0.0)


class Supervisors:
    """Connections in the order in which they are to be made, each with what it says."""

    def __init__(self, stack: ExitStack) -> None:
        self.others: list[Other] = []
        self._stack = stack
        self._left: Iterator[Other] = iter(self.others)

    def then(self, *answers: object, hangs_up: bool = True) -> None:
        one = self._stack.enter_context(other())
        one.says(*answers, hangs_up=hangs_up)  # type: ignore[arg-type]
        self.others.append(one)

    def connect(self) -> Client:
        return next(self._left).client

    async def connect_async(self) -> AsyncClient:
        return await AsyncClient.over(next(self._left).client)


@pytest.fixture
def supervisors() -> Iterator[Supervisors]:
    with ExitStack() as stack:
        yield Supervisors(stack)


def take(face: str, supervisors: Supervisors, count: int, cursor: str | None) -> list[Happening]:
    """Take so many of what happens, by one of the two faces."""
    if face == "sync":
        happening = events.events(["web"], cursor=cursor, connecting=supervisors.connect)
        found = list(islice(happening, count))
        happening.close()
        return found

    async def go() -> list[Happening]:
        found: list[Happening] = []
        happening = async_events(["web"], cursor=cursor, connecting=supervisors.connect_async)
        async with aclosing(happening):
            async for one in happening:
                found.append(one)
                if len(found) == count:
                    break
        return found

    return asyncio.run(go())


both = pytest.mark.parametrize("face", ["sync", "async"])


@both
def test_a_snapshot_comes_first_and_then_events(face: str, supervisors: Supervisors) -> None:
    supervisors.then(snapshot("a:4"), happened(5, 6))
    found = take(face, supervisors, 3, None)
    assert found[0] == Snapshot("a:4", {"schema": 1})
    assert [(one.cursor, one.seq) for one in found[1:] if isinstance(one, Event)] == [
        ("a:5", 5),
        ("a:6", 6),
    ]
    assert supervisors.others[0].heard()["parameters"] == {"selectors": ["web"], "cursor": None}


@both
def test_a_lost_connection_is_gone_on_from(face: str, supervisors: Supervisors) -> None:
    """From the last event that was taken, also in the midst of an answer with several."""
    supervisors.then(snapshot("a:4"), happened(5, 6))
    supervisors.then()
    supervisors.then(happened(7))
    found = take(face, supervisors, 4, None)
    assert [one.cursor for one in found] == ["a:4", "a:5", "a:6", "a:7"]
    assert [one.heard()["parameters"]["cursor"] for one in supervisors.others] == [
        None,
        "a:6",
        "a:6",
    ]


@both
def test_another_run_of_the_supervisor_is_a_gap_and_a_snapshot(
    face: str, supervisors: Supervisors
) -> None:
    supervisors.then(happened(7))
    supervisors.then(gap("a:7", 12), snapshot("b:12"))
    found = take(face, supervisors, 3, "a:6")
    assert found[1:] == [Gap("a:7", 12), Snapshot("b:12", {"schema": 1})]
    assert supervisors.others[0].heard()["parameters"]["cursor"] == "a:6"


@both
def test_what_is_refused_is_raised(face: str, supervisors: Supervisors) -> None:
    """Trying again would not help."""
    supervisors.then(error("NoSuchSelector", {"name": "web", "nearest": None}))
    with pytest.raises(CallFailed):
        take(face, supervisors, 1, None)


def test_who_cannot_connect_tries_again(supervisors: Supervisors) -> None:
    """A supervisor that is being restarted, say."""
    supervisors.then(snapshot("b:1"))
    tries = 0

    def connecting() -> Client:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise NotRunning("not yet")
        return supervisors.connect()

    happening = events.events(connecting=connecting)
    assert next(happening) == Snapshot("b:1", {"schema": 1})
    happening.close()
    assert tries == 4
