"""asyncio's client: the same as the blocking one, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pidsup.client import CallFailed, NotRunning
from pidsup.client.aio import AsyncClient
from pidsup.control.protocol import error, reply
from tests.client.scripted import Other, other


def run(it: Other, test: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a client on its loop."""

    async def go() -> None:
        async with await AsyncClient.over(it.client) as client:
            await test(client)

    asyncio.run(go())


def test_calls_and_streams() -> None:
    with other() as it:

        async def test(client: AsyncClient) -> None:
            it.says(reply({"name": "shop"}))
            assert await client.call("Status", selectors=["web"]) == {"name": "shop"}
            it.says(reply({"n": 1}, continues=True), reply({"n": 2}))
            assert [answer["n"] async for answer in client.stream("Start")] == [1, 2]

        run(it, test)
        assert "more" not in it.heard()
        assert it.heard()["more"] is True


def test_several_tasks_may_share_a_connection() -> None:
    """Each waits for its turn, and gets its own answer."""
    with other() as it:
        it.says(*(reply({"n": n}) for n in range(5)))

        async def test(client: AsyncClient) -> None:
            calls = [client.call("Status", n=n) for n in range(5)]
            assert [answer["n"] for answer in await asyncio.gather(*calls)] == list(range(5))

        run(it, test)
        assert [it.heard()["parameters"]["n"] for _ in range(5)] == list(range(5))


def test_an_answer_that_comes_too_late_is_nobody_elses() -> None:
    """A call that is cancelled, by a timeout say, leaves its answer to come."""
    with other() as it:

        async def test(client: AsyncClient) -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.call("Status"), 0.01)
            it.says(reply({"to": "Status"}))
            with pytest.raises(NotRunning, match="make a new one"):
                await client.call("Stats")
            with pytest.raises(NotRunning, match="make a new one"):
                await anext(client.stream("Stats"))

        run(it, test)


def test_errors_are_raised() -> None:
    with other() as it:
        it.says(error("Denied", {"why": "no"}), hangs_up=True)

        async def test(client: AsyncClient) -> None:
            with pytest.raises(CallFailed, match="no"):
                await client.call("Stop")
            with pytest.raises(NotRunning, match="hung up"):
                await client.call("Stop")
            await client.close()
            await client.close()

        run(it, test)
