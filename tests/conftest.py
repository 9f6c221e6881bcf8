"""Fixtures for all tests; helpers without state are in support.py."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.support import AsyncioDriver, Driver, EpollDriver, Spawned, holdings, left_over, start

# A busy machine makes any deadline of an example a matter of luck; a blob replays a failure.
settings.register_profile("pidsup", deadline=None, print_blob=True)
settings.load_profile("pidsup")


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    """No test leaves a descriptor, a child, a blocked signal or a thread behind."""
    before = holdings()
    yield
    said = left_over(before)
    assert not said, "left over: " + "; ".join(said)


@pytest.fixture
def rng() -> random.Random:
    """Give randomness that a failure can be replayed with: it prints its seed."""
    seed = int(os.environ.get("PIDSUP_SEED", "") or int.from_bytes(os.urandom(4), "big"))
    print(f"replay with PIDSUP_SEED={seed}")  # noqa: T201  pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture
def worker() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a function like Popen; what it started is killed and reaped at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def popen(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, **how))
        return started[-1]

    yield popen
    for process in started:
        with process:  # closes its pipes
            process.kill()


@pytest.fixture
def spawned() -> Iterator[Callable[..., Spawned]]:
    """Give `support.start`; what it started is killed, reaped and closed at the end."""
    born: list[Spawned] = []

    def starts(*arguments: Any, **attributes: Any) -> Spawned:
        born.append(start(*arguments, **attributes))
        return born[-1]

    yield starts
    for process in born:
        process.close()


@pytest.fixture(params=["EpollLoop", "asyncio"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Give each of the loops that pidsup runs on; what a callback raised fails the test."""
    driver: Driver = EpollDriver() if request.param == "EpollLoop" else AsyncioDriver()
    yield driver
    driver.close()
    assert driver.errors == []


@pytest.fixture
def epoll_driver() -> Iterator[EpollDriver]:
    """Give pidsup's own loop alone, for what only it can do."""
    driver = EpollDriver()
    yield driver
    driver.close()
    assert driver.errors == []
