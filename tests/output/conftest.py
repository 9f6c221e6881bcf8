"""Outputs with a loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.output.box import Box
from tests.support import EpollDriver


@pytest.fixture
def box(epoll_driver: EpollDriver) -> Iterator[Box]:
    box = Box(epoll_driver)
    yield box
    box.close()
    assert box.log.bugs == []
