"""The escalation of a stop."""

from __future__ import annotations

from pidsup.policy.stopping import CLEAN_CHECK_S, KILL_CHECK_S, clean_check_s


def test_looks_at_a_tree_grow_rarer_up_to_a_bound() -> None:
    """A straggler that nobody can kill must not cost a busy loop."""
    waits = [clean_check_s(attempt) for attempt in range(1000)]
    assert waits[0] == CLEAN_CHECK_S
    assert waits == sorted(waits)
    assert waits[-1] == KILL_CHECK_S
