"""The real daemon, with real workers, in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.daemon import Daemon


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is here."""
    for item in items:
        if "tests/system" in str(item.path):
            item.add_marker(pytest.mark.system)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start supervisors; at the end each is shut down, and nothing may be left of it."""
    started: list[Daemon] = []

    def start(document: str, **how: object) -> Daemon:
        one = Daemon(tmp_path, document, **how)  # type: ignore[arg-type]  # as Daemon takes it
        started.append(one)
        one.begin()
        return one

    yield start
    for one in started:
        one.end()
