"""Deadlines in a heap."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.loop.timers import TimerHandle, Timers

Times = st.lists(st.floats(0, 100), max_size=200)


def nothing() -> None:
    """Be called."""


def run_due(timers: Timers, now: float) -> list[float]:
    """Take all that is due, as a loop does; return the instants."""
    taken = []
    while (handle := timers.due(now)) is not None:
        taken.append(handle.when)
        handle.callback = None
    return taken


@pytest.fixture
def timers() -> Timers:
    return Timers()


def test_an_empty_heap_has_no_deadline(timers: Timers) -> None:
    """The loop waits for ever then."""
    assert (timers.next_at(), timers.due(1e9), len(timers)) == (None, None, 0)


def test_nothing_is_due_before_its_time(timers: Timers) -> None:
    """And at the very instant it is."""
    timers.at(5, nothing)
    assert timers.due(4.999999) is None
    assert timers.due(5) is not None
    assert timers.due(5) is None


def test_equal_deadlines_come_in_the_order_they_were_set(timers: Timers) -> None:
    """Callbacks are never compared: functions have no order."""
    for n in range(50):
        timers.at(1, nothing, n)
    taken = [timers.due(1) for _ in range(50)]
    assert [handle.args for handle in taken if handle] == [(n,) for n in range(50)]


def test_a_cancelled_deadline_does_not_come(timers: Timers) -> None:
    """Nor does it set the time of the next wake-up."""
    timers.at(1, nothing).cancel()
    timers.at(2, nothing)
    assert (timers.next_at(), len(timers)) == (2, 1)
    assert run_due(timers, 9) == [2]


def test_cancelling_twice_counts_once(timers: Timers) -> None:
    """Whoever owns a deadline may drop it in every path to its end."""
    handle = timers.at(1, nothing)
    timers.at(2, nothing)
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    assert len(timers) == 1


def test_cancelling_frees_what_it_refers_to_at_once(timers: Timers) -> None:
    """A worker's long deadline must not keep the worker alive in memory."""
    handle = timers.at(1e9, nothing, object())
    handle.cancel()
    assert (handle.callback, handle.args) == (None, ())


def test_many_cancellations_do_not_stay_in_the_heap(timers: Timers) -> None:
    """A deadline per request, cancelled with each answer, is the normal use."""
    kept = [timers.at(1e6 + n, nothing) for n in range(10)]
    for _ in range(10_000):
        timers.at(1e6, nothing).cancel()
    assert len(timers) == 10
    assert len(timers._heap) < 200
    assert run_due(timers, 1e9) == [handle.when for handle in kept]


def test_a_clean_up_may_come_while_deadlines_are_taken(timers: Timers) -> None:
    """A callback that cancels hundreds is called from inside the walk."""
    handles = [timers.at(n, nothing) for n in range(500)]
    first = timers.due(1e9)
    assert first is handles[0]
    first.callback = None
    for handle in handles[1:400]:
        handle.cancel()
    assert run_due(timers, 1e9) == [float(n) for n in range(400, 500)]
    assert len(timers) == 0


@given(times=Times, looks=st.lists(st.floats(0, 100), max_size=20))
def test_never_early_and_always_in_order(times: list[float], looks: list[float]) -> None:
    """At each look comes what has passed, earliest first, and nothing else."""
    timers = Timers()
    for when in times:
        timers.at(when, nothing)
    waiting = sorted(times)
    for now in sorted(looks):
        due = [when for when in waiting if when <= now]
        assert run_due(timers, now) == due
        waiting = waiting[len(due) :]
        assert timers.next_at() == (waiting[0] if waiting else None)
        assert len(timers) == len(waiting)


@given(times=Times, chance=st.randoms(use_true_random=False))
def test_only_what_was_not_cancelled_comes(times: list[float], chance: random.Random) -> None:
    """Whatever is cancelled, in whatever order."""
    timers = Timers()
    handles: list[TimerHandle] = [timers.at(when, nothing) for when in times]
    dropped = chance.sample(handles, chance.randint(0, len(handles)))
    for handle in dropped:
        handle.cancel()
    kept = sorted(handle.when for handle in handles if not handle.cancelled())
    assert len(timers) == len(kept)
    assert run_due(timers, 1e9) == kept
