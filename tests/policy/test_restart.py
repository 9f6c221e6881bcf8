"""When is a worker started again?  No process, no sleep."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.policy.restart import (
    FRESH,
    LEAST_DELAY_S,
    Again,
    Ending,
    Finished,
    GiveUp,
    Later,
    Memory,
    Restart,
    RestartPolicy,
    Verdict,
    decide,
)

# systemd.service(5), the table of Restart=: which causes restart under which setting.
CLEAN, CODE, SIGNAL, TIMEOUT, WATCHDOG = Ending
SYSTEMD = {
    Restart.NO: set(),
    Restart.ALWAYS: {CLEAN, CODE, SIGNAL, TIMEOUT, WATCHDOG},
    Restart.ON_SUCCESS: {CLEAN},
    Restart.ON_FAILURE: {CODE, SIGNAL, TIMEOUT, WATCHDOG},
    Restart.ON_ABNORMAL: {SIGNAL, TIMEOUT, WATCHDOG},
    Restart.ON_ABORT: {SIGNAL},
    Restart.ON_WATCHDOG: {WATCHDOG},
}


def fail_at(policy: RestartPolicy, *times: float) -> tuple[list[float], Verdict | None]:
    """Fail at each of *times*; return the delays granted and the last verdict."""
    delays: list[float] = []
    memory = FRESH
    verdict: Verdict | None = None
    for now in times:
        verdict = decide(policy, memory, CODE, ran_s=None, now=now, chance=0)
        if not isinstance(verdict, Later):
            break
        memory = verdict.memory
        delays.append(verdict.delay_s)
    return delays, verdict


@pytest.mark.parametrize(("setting", "ending"), list(product(Restart, Ending)))
def test_it_restarts_after_what_systemd_restarts_after(setting: Restart, ending: Ending) -> None:
    policy = RestartPolicy(restart=setting)
    verdict = decide(policy, FRESH, ending, ran_s=0, now=0, chance=0)
    assert isinstance(verdict, Later) == (ending in SYSTEMD[setting])


def test_a_good_run_is_followed_at_once() -> None:
    verdict = decide(RestartPolicy(), FRESH, SIGNAL, ran_s=1.0, now=0, chance=0.9)
    assert isinstance(verdict, Again)


def test_with_min_uptime_zero_every_run_is_good() -> None:
    policy = RestartPolicy(min_uptime_s=0)
    assert isinstance(decide(policy, FRESH, CODE, ran_s=0.0, now=0, chance=0), Again)


def test_a_start_that_failed_is_never_a_good_run() -> None:
    """Else a missing program would be tried in a busy loop with min_uptime = 0."""
    policy = RestartPolicy(min_uptime_s=0)
    assert isinstance(decide(policy, FRESH, CODE, ran_s=None, now=0, chance=0), Later)


def test_the_delay_doubles_up_to_its_cap() -> None:
    policy = RestartPolicy(delay_s=1, max_delay_s=5, burst=10)
    delays, _ = fail_at(policy, 0, 1, 2, 3, 4)
    assert delays == [1, 2, 4, 5, 5]


def test_what_fails_at_once_is_no_busy_loop_even_without_a_delay() -> None:
    delays, _ = fail_at(RestartPolicy(delay_s=0, max_delay_s=0, interval_s=0), 0, 0, 0)
    assert delays == [LEAST_DELAY_S] * 3


def test_the_jitter_adds_its_part_at_most() -> None:
    policy = RestartPolicy(delay_s=1, jitter=0.2)
    verdict = decide(policy, FRESH, CODE, ran_s=None, now=0, chance=0.5)
    assert isinstance(verdict, Later)
    assert verdict.delay_s == pytest.approx(1.1)


def test_it_gives_up_past_the_burst_and_says_why() -> None:
    """The third failure within ten seconds is one too many."""
    delays, verdict = fail_at(RestartPolicy(burst=2, interval_s=10), 0, 1, 2)
    assert len(delays) == 2
    assert verdict == GiveUp("given up: 3 failures within 10 s, start_limit_burst=2")


def test_failures_that_lie_far_apart_are_not_given_up() -> None:
    delays, verdict = fail_at(RestartPolicy(burst=1, interval_s=10), 0, 10, 20, 30)
    assert len(delays) == 4
    assert isinstance(verdict, Later)


def test_without_an_interval_it_never_gives_up() -> None:
    delays, _ = fail_at(RestartPolicy(burst=0, interval_s=0), *range(100))
    assert len(delays) == 100


def test_with_no_a_clean_end_completes_and_another_fails() -> None:
    policy = RestartPolicy(restart=Restart.NO)
    clean = decide(policy, FRESH, CLEAN, ran_s=5, now=0, chance=0)
    unclean = decide(policy, FRESH, CODE, ran_s=5, now=0, chance=0)
    assert clean == Finished(False, "restart=no")
    assert unclean == Finished(True, "restart=no")


policies = st.builds(
    RestartPolicy,
    restart=st.just(Restart.ALWAYS),
    min_uptime_s=st.floats(0, 10),
    delay_s=st.floats(0.001, 100),
    factor=st.floats(1, 100),
    max_delay_s=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    burst=st.integers(0, 20),
    interval_s=st.floats(0, 100),
)
gaps = st.lists(st.floats(0, 200), max_size=60)


@given(policies, gaps, st.floats(0, 1, exclude_max=True))
def test_on_any_timeline_delays_are_bounded_and_limits_are_kept(
    policy: RestartPolicy, between: list[float], chance: float
) -> None:
    """No delay beyond cap and jitter; never more than burst restarts within any interval."""
    now, memory, granted = 0.0, FRESH, list[float]()
    for gap in between:
        now += gap
        verdict = decide(policy, memory, SIGNAL, ran_s=None, now=now, chance=chance)
        if isinstance(verdict, GiveUp):
            within = [at for at in granted if now - at < policy.interval_s]
            assert len(within) >= policy.burst
            return
        assert isinstance(verdict, Later)
        most = max(policy.max_delay_s, LEAST_DELAY_S) * (1 + policy.jitter)
        assert 0 <= verdict.delay_s <= most * (1 + 1e-9)
        granted.append(now)
        if policy.interval_s:
            assert len([at for at in granted if now - at < policy.interval_s]) <= policy.burst
        memory = verdict.memory
    assert len(memory.bad_at) <= policy.burst + 1  # what is remembered is bounded


@given(policies, st.floats(0, 1e6))
def test_the_same_question_has_the_same_answer(policy: RestartPolicy, now: float) -> None:
    memory = Memory(1.0, (now - 1,))
    first = decide(policy, memory, CODE, ran_s=None, now=now, chance=0.3)
    assert decide(policy, memory, CODE, ran_s=None, now=now, chance=0.3) == first
