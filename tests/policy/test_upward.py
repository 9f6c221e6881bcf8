"""When systemd is told that we are ready, and how much time is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.policy.upward import EXTEND_EVERY_S, Readiness, Standing, extension_s, readiness


@pytest.mark.parametrize(
    ("standing", "is_up", "is_hopeless"),
    [
        (Standing(wanted=0, up=0), True, False),
        (Standing(wanted=3, up=2), False, False),
        (Standing(wanted=3, up=3), True, False),
        (Standing(wanted=3, up=2, failed=1), False, True),
        (Standing(wanted=3, up=2, min_ready=2), True, False),
        (Standing(wanted=3, up=1, failed=1, min_ready=2), False, False),
        (Standing(wanted=3, up=0, failed=2, min_ready=2), False, True),
        (Standing(wanted=3, up=0, failed=3, min_ready=0), True, False),
        (Standing(wanted=1, up=1, min_ready=4), True, False),  # scaled to fewer
        (Standing(wanted=0, up=0, min_ready=4), True, False),  # not to run
    ],
)
def test_a_watcher_is_up_with_its_minimum(
    standing: Standing, is_up: bool, is_hopeless: bool
) -> None:
    assert (standing.is_up(), standing.is_hopeless()) == (is_up, is_hopeless)


UP, SLOW, LOST = Standing(2, 2), Standing(2, 1), Standing(2, 1, failed=1)


@pytest.mark.parametrize(
    ("standings", "found"),
    [
        ([], Readiness.READY),
        ([UP, UP], Readiness.READY),
        ([UP, SLOW], Readiness.LATER),
        ([SLOW, LOST], Readiness.NEVER),
        ([LOST, UP], Readiness.NEVER),
    ],
)
def test_all_are_ready_when_each_is(standings: list[Standing], found: Readiness) -> None:
    assert readiness(standings) is found


@given(
    wanted=st.integers(0, 5),
    up=st.integers(0, 5),
    failed=st.integers(0, 5),
    least=st.none() | st.integers(0, 6),
)
def test_what_is_up_is_not_hopeless(wanted: int, up: int, failed: int, least: int | None) -> None:
    standing = Standing(wanted, min(up, wanted), min(failed, wanted - min(up, wanted)), least)
    assert not (standing.is_up() and standing.is_hopeless())


def test_time_is_asked_for_while_something_gets_on() -> None:
    assert extension_s(0.0) is None
    assert extension_s(-3.0) is None
    assert extension_s(2.0) == 2.0 + EXTEND_EVERY_S, "it takes a moment to act on a deadline"
    assert extension_s(1e9) == 3 * EXTEND_EVERY_S, "not for long: a bug of ours must not hang"
