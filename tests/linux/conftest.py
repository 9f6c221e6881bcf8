"""Fixtures for the spawn: everything runs on both rungs of the ladder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pidsup.linux.spawn import RUNG_CLONE, RUNG_CLONE3
from tests.support import Spawned


@pytest.fixture(params=[RUNG_CLONE3, RUNG_CLONE], ids=["clone3", "clone"])
def rung(request: pytest.FixtureRequest) -> int:
    """Force a rung: on a kernel that has clone3 the other would never be used."""
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture
def spawn(spawned: Callable[..., Spawned], rung: int) -> Callable[..., Spawned]:
    """Give `support.start` on a forced rung."""

    def starts(*arguments: object, **attributes: object) -> Spawned:
        return spawned(*arguments, rung=rung, **attributes)

    return starts
