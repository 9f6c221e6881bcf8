"""Start order: a stable topological order, and circles by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.errors import CycleError
from pidsup.policy.order import start_order


def test_without_after_it_is_the_order_of_the_file() -> None:
    assert start_order(["b", "a", "c"], {}) == ("b", "a", "c")


def test_ties_stay_in_the_order_of_the_file() -> None:
    order = start_order(["web", "cron", "db"], {"web": ["db"]})
    assert order == ("cron", "db", "web")


def test_a_circle_is_named() -> None:
    with pytest.raises(CycleError, match=r"^b -> c -> b$"):
        start_order(["a", "b", "c", "d"], {"b": ["c"], "c": ["b"], "d": ["b"]})


def test_waiting_for_oneself_is_a_circle() -> None:
    with pytest.raises(CycleError, match=r"^a -> a$"):
        start_order(["a"], {"a": ["a"]})


@given(st.data())
def test_each_comes_after_those_it_names(data: st.DataObject) -> None:
    """On any graph without circles: names only point to smaller ones, then are shuffled."""
    count = data.draw(st.integers(0, 12))
    after = {
        str(n): [str(m) for m in data.draw(st.sets(st.integers(0, n - 1), max_size=4))] if n else []
        for n in range(count)
    }
    names = data.draw(st.permutations(list(after)))

    order = start_order(names, after)

    assert sorted(order) == sorted(names)
    for name in order:
        assert all(order.index(other) < order.index(name) for other in after[name])
