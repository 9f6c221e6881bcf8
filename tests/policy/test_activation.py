"""When does a watcher on demand start, stop and rest?  No process, no sleep."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.errors import ImpossibleStep
from pidsup.policy.activation import (
    FORGIVEN_AFTER_S,
    FRESH,
    MOST_REST_S,
    TABLE,
    TRIGGER_BURST,
    TRIGGER_INTERVAL_S,
    Action,
    Activate,
    Event,
    LookAgain,
    Memory,
    Rest,
    Standing,
    Stop,
    step,
    trigger,
    watch,
)

_TIMED = (Standing.RESTING, Standing.ACTIVE, Standing.QUIESCING, Standing.STOPPING)


@pytest.mark.parametrize(("standing", "event"), list(product(Standing, Event)))
def test_every_pair_is_a_transition_a_no_op_or_impossible(standing: Standing, event: Event) -> None:
    to = TABLE[standing][event]
    if to is None:
        with pytest.raises(ImpossibleStep, match=f"{event.value} while {standing.value}"):
            step(standing, event)
    else:
        assert step(standing, event) == to


@pytest.mark.parametrize("standing", Standing)
def test_a_command_is_possible_at_any_time(standing: Standing) -> None:
    """Nobody who steers needs to know how it stands."""
    assert step(standing, Event.OFF)[0] is Standing.OFF
    assert step(standing, Event.ON)[0] is (
        Standing.LISTENING if standing is Standing.OFF else standing
    )


@pytest.mark.parametrize(("standing", "event"), list(product(_TIMED, Event)))
def test_no_timer_is_left_over(standing: Standing, event: Event) -> None:
    """Who leaves a standing with a timer drops it, sets another, or was called by it."""
    to = TABLE[standing][event]
    by_timer = (Event.RESTED, Event.IDLE, Event.QUIET)
    if to is not None and to[0] is not standing and event not in by_timer:
        assert Action.DROP_TIMER in to[1]


@pytest.mark.parametrize("event", Event)
def test_what_was_suspended_is_resumed_or_asked_to_stop(event: Event) -> None:
    to = TABLE[Standing.QUIESCING][event]
    if to is not None and to[0] is not Standing.QUIESCING and event is not Event.DOWN:
        assert {Action.RESUME, Action.STOP} & set(to[1])


# --- the trigger limit


def activate(times: list[float], memory: Memory = FRESH) -> tuple[Memory, list[float]]:
    """Have traffic at each of *times*; return the memory and the rests."""
    rests = []
    for now in times:
        verdict = trigger(memory, now)
        memory = verdict.memory
        if isinstance(verdict, Rest):
            rests.append(verdict.delay_s)
    return memory, rests


def test_twenty_activations_in_two_seconds_are_fine() -> None:
    assert activate([0.01 * n for n in range(TRIGGER_BURST)])[1] == []


def test_one_more_has_it_rest_and_says_why() -> None:
    memory, _ = activate([0.0] * TRIGGER_BURST)
    verdict = trigger(memory, 1.9)
    assert isinstance(verdict, Rest)
    assert verdict.delay_s == 1.0
    assert verdict.reason == "activated 21 times within 2 s"


def test_rests_grow_to_their_limit() -> None:
    rests: list[float] = []
    memory, now = FRESH, 0.0
    for _ in range(7):
        memory, found = activate([now] * (TRIGGER_BURST + 1), memory)
        rests += found
        now += found[0]
    assert rests == [1, 2, 4, 8, 16, MOST_REST_S, MOST_REST_S]


def test_a_rest_is_forgotten_in_time() -> None:
    memory, _ = activate([0.0] * (TRIGGER_BURST + 1))
    later = 1.0 + FORGIVEN_AFTER_S
    assert activate([later] * (TRIGGER_BURST + 1), memory)[1] == [1.0]


@given(st.lists(st.floats(0, 3), max_size=200))
def test_on_any_timeline_the_limit_is_kept(gaps: list[float]) -> None:
    now, memory, granted = 0.0, FRESH, list[float]()
    for gap in gaps:
        now += gap
        verdict = trigger(memory, now)
        memory = verdict.memory
        if isinstance(verdict, Activate):
            granted.append(now)
            assert sum(now - at < TRIGGER_INTERVAL_S for at in granted) <= TRIGGER_BURST
        else:
            assert 1.0 <= verdict.delay_s <= MOST_REST_S
            granted.clear()
            now += verdict.delay_s
        assert len(memory.at) <= TRIGGER_BURST


# --- the idle watch


def test_it_is_stopped_once_it_was_idle_for_the_whole_time() -> None:
    first = watch(None, 10, idle=True, now=100)
    assert first == LookAgain(2.5, 100)
    assert watch(100, 10, idle=True, now=109) == LookAgain(1, 100)
    assert watch(100, 10, idle=True, now=110) == Stop(10)


def test_a_connection_begins_it_anew() -> None:
    assert watch(100, 10, idle=False, now=109) == LookAgain(2.5, None)


def test_looks_are_neither_rare_nor_frequent() -> None:
    assert watch(None, 3600, idle=False, now=0) == LookAgain(5, None)
    assert watch(None, 0.001, idle=False, now=0) == LookAgain(0.05, None)
    assert watch(None, 0.001, idle=True, now=0) == LookAgain(0.001, 0)
