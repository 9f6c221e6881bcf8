"""What a selector selects, and what it may cost."""

from __future__ import annotations

import time

import pytest

from pidsup.errors import Invalid, NoSuchSelector
from pidsup.supervisor.selectors import Filter, select, slots_of
from tests.supervisor.doubles import watchers

ALL = watchers(web=12, worker=2, db=1)


def chosen(*selectors: str) -> list[str]:
    """Return the names of the slots that are selected, whole watchers by their own."""
    return [
        name
        for watcher, slots in select(ALL, selectors)
        for name in ([watcher.spec.name] if slots is None else [slot.name for slot in slots])
    ]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["web"], ["web"]),
        (["web:3"], ["web:3"]),
        (["w*"], ["web", "worker"]),
        (["worker:*"], ["worker:0", "worker:1"]),
        (["web:1?"], ["web:10", "web:11"]),
        (["*:0"], ["web:0", "worker:0", "db:0"]),
        (["[wd]*b"], ["web", "db"]),
        (["db", "web:3"], ["web:3", "db"]),
        (["web", "web:3"], ["web"]),
        (["web:3", "web:3", "web:1"], ["web:3", "web:1"]),
    ],
)
def test_names_slots_and_wildcards(selectors: list[str], expected: list[str]) -> None:
    """Each watcher once, in the order of the watchers; a whole includes its slots."""
    assert chosen(*selectors) == expected


@pytest.mark.parametrize(
    "selector", ["nope", "web:12", "web:-1", "web:03", "web:x", "web:", ":1", "", "x*", "db:[1-9]"]
)
def test_what_matches_nothing_is_refused(selector: str) -> None:
    """Also beside others that match: a typo must not do half of what was meant."""
    with pytest.raises(NoSuchSelector):
        select(ALL, ["web", selector])


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(NoSuchSelector, match="did you mean 'worker'"):
        select(ALL, ["wroker"])


@pytest.mark.parametrize(
    "selectors", [["web"] * 1001, ["w*"] * 51, ["web:" + "1" * 300], ["*" * 300]]
)
def test_more_than_a_turn_may_take_is_refused(selectors: list[str]) -> None:
    with pytest.raises(Invalid, match="selectors"):
        select(ALL, selectors)


def test_the_worst_that_is_allowed_takes_little_time() -> None:
    """A client with the right to look has no way to hold up the workers."""
    many = watchers(**{f"watcher{n}": 1 for n in range(1000)})
    worst = ["*" + "a*" * 90 + f"{n}" for n in range(49)] + ["*"]
    begun = time.perf_counter()
    with pytest.raises(NoSuchSelector):
        select(many, worst)
    assert time.perf_counter() - begun < 1


def test_the_slots_of_a_selection_come_in_order() -> None:
    found = [slot.name for _, slot in slots_of(select(ALL, ["worker", "db:0"]))]
    assert found == ["worker:0", "worker:1", "db:0"]


@pytest.mark.parametrize(
    ("selectors", "takes", "leaves"),
    [
        (["web"], ["web", "web:3", "web:999"], ["worker", "worker:0"]),
        (["web:3"], ["web:3", "web"], ["web:4", "db"]),
        (["w*:1"], ["web:1", "worker:1", "web"], ["web:2", "db", "db:1"]),
        (["*"], ["web", "db:0"], []),
    ],
)
def test_a_filter_knows_slots_that_are_yet_to_come(
    selectors: list[str], takes: list[str], leaves: list[str]
) -> None:
    """What is wanted of a watcher is of interest to who looks at one of its slots."""
    found = Filter(selectors)
    for _ in range(2):  # from its memory, too
        assert [name for name in (*takes, *leaves) if found.takes(name)] == takes


def test_a_filter_remembers_only_so_many_names() -> None:
    """A watcher that is scaled up and down for a year has many slots."""
    found = Filter(["web"])
    for index in range(10_000):
        assert found.takes(f"web:{index}")
    assert len(found._known) <= 4096
