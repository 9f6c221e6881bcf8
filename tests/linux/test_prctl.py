"""prctl(2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import prctl as python_prctl
import pytest

from pidsup.linux import prctl

COMM = Path("/proc/self/comm")


@pytest.fixture
def as_before() -> Iterator[None]:
    """Take back what a test makes of this process."""
    name = COMM.read_text()
    yield
    COMM.write_text(name)
    python_prctl.set_child_subreaper(0)


def test_a_subreaper_is_what_the_process_becomes(as_before: None) -> None:
    """What that brings is in tests/kernel/test_processes.py."""
    assert python_prctl.get_child_subreaper() == 0
    prctl.become_subreaper()
    assert python_prctl.get_child_subreaper() == 1


def test_the_process_gets_its_name(as_before: None) -> None:
    """As ps(1) and top(1) show it."""
    prctl.set_name("pidsup")
    assert COMM.read_text() == "pidsup\n"


def test_a_name_is_cut_after_15_bytes(as_before: None) -> None:
    """TASK_COMM_LEN; no error."""
    prctl.set_name("0123456789abcdefgh")
    assert COMM.read_text() == "0123456789abcde\n"


def test_whether_it_may_change_users_is_a_matter_of_one_capability() -> None:
    """Not of being root, who may not have it in a container."""
    effective = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    assert prctl.may_change_user() == bool(effective >> 7 & 1)
