"""Parameters: each is what it has to be, and none is left over."""

from __future__ import annotations

from typing import Any

import pytest

from pidsup.control.request import Parameters
from pidsup.errors import Invalid


@pytest.mark.parametrize(
    ("method", "arguments", "right", "wrong"),
    [
        ("optional_strings", (), [[], ["a"], None], ["a", [1], {}, 1]),
        ("strings", (), [["a"], ["a", "b"]], [[], None, "a"]),
        ("optional_integer", (), [0, -3, None], [True, 1.0, "1", []]),
        ("optional_count", (), [0, 3, None], [-1, False, 0.5]),
        ("optional_number", (), [0, -3, 1.5, None], [True, "1", []]),
        ("optional_text", (), ["", "a", None], [1, [], True]),
        ("one_of", ("a", "b"), ["a", "b", None], ["c", 1, ["a"], {}]),
    ],
)
def test_values_have_their_types(
    method: str, arguments: tuple[str, ...], right: list[Any], wrong: list[Any]
) -> None:
    """A boolean is no number, whatever Python thinks."""
    for value in right:
        given = Parameters({"x": value})
        assert getattr(given, method)("x", *arguments) == value
        given.done()
    for value in wrong:
        with pytest.raises(Invalid) as caught:
            getattr(Parameters({"x": value}), method)("x", *arguments)
        assert caught.value.parameters["field"] == "x"


def test_a_wrong_word_is_told_which_there_are() -> None:
    with pytest.raises(Invalid, match="x: must be stdout or stderr"):
        Parameters({"x": "both"}).one_of("x", "stdout", "stderr")


def test_null_is_as_good_as_absent() -> None:
    given = Parameters({"selectors": None, "wait": None, "unknown": None})
    assert given.selectors() == ["*"]
    assert given.patience() == (True, None)


def test_what_nobody_asked_for_is_refused() -> None:
    given = Parameters({"wait": False, "wiat": True})
    with pytest.raises(Invalid, match="wiat: unknown parameter"):
        given.patience()


@pytest.mark.parametrize("value", [-1, 10**12 + 1, 1.5, True, "1s"])
def test_a_limit_is_a_number_that_a_clock_can_add(value: object) -> None:
    with pytest.raises(Invalid, match="timeout_ms"):
        Parameters({"timeout_ms": value}).patience()


def test_a_limit_is_in_seconds() -> None:
    assert Parameters({"timeout_ms": 1500, "wait": False}).patience() == (False, 1.5)
