"""The lifecycle table: total, closed, and what its rows promise."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.errors import ImpossibleStep
from pidsup.policy.lifecycle import TABLE, Action, Event, State, as_markdown, step

WISHES = (Event.START, Event.WAIT, Event.STOP, Event.RESET)
VERDICTS = (Event.AGAIN, Event.LATER, Event.GIVE_UP, Event.FAIL, Event.COMPLETE, Event.DOWN)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_a_transition_a_no_op_or_an_impossibility(state: State, event: Event) -> None:
    """A pair that is missing would be a KeyError in the middle of the night."""
    if TABLE[state][event] is None:
        with pytest.raises(ImpossibleStep, match=f"{event.value} while {state.value}"):
            step(state, event)
    else:
        after, actions = step(state, event)
        assert after in State
        assert set(actions) <= set(Action)


@pytest.mark.parametrize(("state", "event"), list(product(State, WISHES)))
def test_a_wish_may_come_in_any_state(state: State, event: Event) -> None:
    """Commands arrive at any instant; none of them may be impossible."""
    step(state, event)


@pytest.mark.parametrize("state", State)
def test_a_hurry_may_come_in_any_state(state: State) -> None:
    """The second TERM is sent to all slots, whatever they do."""
    step(state, Event.KILL_DUE)


@pytest.mark.parametrize("event", VERDICTS)
def test_a_verdict_is_only_for_a_tree_that_is_empty(event: Event) -> None:
    """Nothing is started next to what is left of its predecessor."""
    takers = [state for state in State if TABLE[state][event] is not None]
    assert takers == [State.CLEANING]


def test_only_a_process_that_was_there_can_exit() -> None:
    takers = {state for state in State if TABLE[state][Event.EXITED] is not None}
    assert takers == {State.STARTING, State.READY, State.STOPPING, State.KILLING}


def test_both_answers_to_a_start_are_possible_wherever_one_is() -> None:
    """A spawn that fails is an event like any other: forgetting it hangs the slot."""
    for state in State:
        assert (TABLE[state][Event.SPAWNED] is None) == (TABLE[state][Event.SPAWN_FAILED] is None)


def test_a_start_is_asked_for_in_one_state_only() -> None:
    """Two processes in a slot need two requests."""
    for row in TABLE.values():
        for to in row.values():
            if to and Action.SPAWN in to[1]:
                assert to[0] is State.STARTING


def test_whoever_leaves_a_state_with_a_timer_drops_or_replaces_it() -> None:
    """A timer that outlives its state would be an impossible event later."""
    timed = (State.STARTING, State.READY, State.STOPPING, State.KILLING)
    replacing = {Action.STOP_STEP, Action.KILL, Action.ABORT, Action.DROP_TIMER, Action.CLEAN}
    replacing.add(Action.CANCEL_SPAWN)  # no process: no timer; else it leads to one of these
    for state in timed:
        for event, to in TABLE[state].items():
            if to and to[0] is not state and event is not Event.SPAWN_FAILED:
                assert replacing & set(to[1]), (state, event)
    for event, to in TABLE[State.BACKOFF].items():
        if to and to[0] is not State.BACKOFF and event is not Event.RETRY_DUE:
            assert Action.DROP_TIMER in to[1]


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_from_everywhere_a_stop_leads_to_rest(events: list[Event]) -> None:
    """Whatever has happened, STOP and then what the world answers end in a resting state."""
    state = State.STOPPED
    for event in events:
        if TABLE[state][event] is not None:
            state, _ = step(state, event)

    state, _ = step(state, Event.STOP)
    answers = (Event.SPAWNED, Event.KILL_DUE, Event.EXITED, Event.DOWN)
    for event in answers:
        if TABLE[state][event] is not None:
            state, _ = step(state, event)

    assert state in (State.STOPPED, State.BACKOFF, State.FAILED, State.COMPLETED)


def test_the_table_in_the_docs_is_this_table() -> None:
    """`python -m pidsup.policy.lifecycle` prints what docs/lifecycle.md holds."""
    docs = Path(__file__).parents[2] / "docs" / "lifecycle.md"
    assert as_markdown() in docs.read_text()
