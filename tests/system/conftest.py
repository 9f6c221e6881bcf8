"""The real daemon, with real workers, in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.box import Box, boot
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


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("", id="here"),
        pytest.param("trixie", marks=pytest.mark.long),  # systemd 257
        pytest.param("sid", marks=pytest.mark.long),  # 262, or newer
    ],
)
def suite(request: pytest.FixtureRequest) -> str:
    """Give the Debian whose systemd is meant, "" for this machine's."""
    return str(request.param)


@pytest.fixture(scope="session")
def shared_box(suite: str) -> Iterator[Box]:
    """Boot a systemd for all tests that leave it as it was."""
    one = boot(suite)
    yield one
    one.close()


@pytest.fixture
def box(shared_box: Box) -> Iterator[Box]:
    """Give a booted systemd; units that a test makes or starts end with it."""
    yield shared_box
    shared_box.clean()


@pytest.fixture
def fresh_box(suite: str) -> Iterator[Box]:
    """Boot a systemd for one test, which may break it."""
    one = boot(suite)
    yield one
    one.close()
