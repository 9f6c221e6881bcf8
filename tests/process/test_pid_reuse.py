"""No signal ever reaches a wrong process, also when its number is used again.

Each scenario runs in a pid namespace of its own, where numbers are given out at will.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pidsup.kernel import LINUX
from tests.support import LIMIT_S, needs_linux, needs_root

PROGRAM = Path(__file__).with_name("pid_reuse.py")
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def play(scenario: str, group_signals: bool) -> None:
    if group_signals and not LINUX.groups_outlive_leaders:
        pytest.skip("*** needs Linux 6.9 ***")
    command = [*OWN_PIDS, sys.executable, str(PROGRAM), scenario, str(int(group_signals))]
    done = subprocess.run(command, check=False, timeout=LIMIT_S, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


both_ways = pytest.mark.parametrize(
    "group_signals", [True, False], ids=["group-signals", "below-6.9"]
)


@needs_root
@both_ways
@pytest.mark.parametrize(
    "scenario",
    [
        "of_a_dead_child",
        "of_a_dead_childs_children",
        "of_a_pinned_descendant",
        "between_look_and_pin",
    ],
)
def test_the_owner_of_a_recycled_number_is_not_touched(scenario: str, group_signals: bool) -> None:
    """Neither he nor his children, whomever the signal is for."""
    play(scenario, group_signals)


@needs_root
@needs_linux(6, 14)
@both_ways
def test_numbers_may_be_recycled_all_the_time(group_signals: bool) -> None:
    """A namespace of 40 numbers, 500 processes, and signals to all that are dead."""
    play("over_and_over", group_signals)
