"""Placeholders: known names are replaced, everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.config.expand import fill, literal, names_in

VALUES = {"slot": "3", "watcher": "web", "sockets.http": "4", "env.HOME": "/home/shop"}

#: Texts that are full of braces.
BRACED = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "slot", "slto", "sockets.http", "$", " ", ".", "x"])
).map("".join)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{slot}", "3"),
        ("--fd={sockets.http},{sockets.http}", "--fd=4,4"),
        ("/var/log/{watcher}-{slot}.log", "/var/log/web-3.log"),
        ("{env.HOME}/x", "/home/shop/x"),
        ("{{slot}}", "{slot}"),
        ("{{slot}", "{3"),
        ("{slot}}", "3}"),
        ("{{{slot}}}", "{{slot}}"),
        ("{slot}{{slot}}{slot}", "3{slot}3"),
        ('{"slot":{slot}}', '{"slot":3}'),
        ("{ slot }", "{ slot }"),
        ("{SLOT}{slto}{sockets.https}{env.NOPE}{}", "{SLOT}{slto}{sockets.https}{env.NOPE}{}"),
        ("{{slto}}", "{{slto}}"),
        ("awk '{print $1}'", "awk '{print $1}'"),
        ('f"{x!r:>{width}}"', 'f"{x!r:>{width}}"'),
        ("}{", "}{"),
        ("", ""),
    ],
)
def test_known_names_are_replaced_and_doubled_braces_are_literal(text: str, filled: str) -> None:
    assert fill(text, VALUES) == filled


def test_what_a_value_brings_along_is_not_expanded_again() -> None:
    values = {"env.A": "{slot}", "env.B": "{", "slot": "3"}
    assert fill("{env.A}", values) == "{slot}"
    assert fill("{env.B}slot}", values) == "{slot}"


@given(st.text() | BRACED)
def test_a_text_without_placeholders_is_unchanged(text: str) -> None:
    text = text.replace("slot", "lots").replace("sockets.", "")
    assert fill(text, VALUES) == text


@given(st.text() | BRACED)
def test_a_literal_is_filled_to_what_it_was(text: str) -> None:
    assert fill(literal(text), VALUES) == text


@given(st.recursive(st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_is_unchanged(data: object) -> None:
    text = json.dumps(data)
    assert names_in([text]) == set()
    assert fill(text, VALUES) == text


@given(BRACED)
def test_what_names_in_finds_is_what_fill_replaces(text: str) -> None:
    """A value that fill would use twice, or not at all, is a value that names_in misjudges."""
    marked = {name: f"<{name}>" for name in VALUES}
    replaced = {name for name in VALUES if marked[name] in fill(text, marked)}
    assert names_in([text]) & set(VALUES) == replaced


@given(st.text(alphabet="{}ab", max_size=12), st.text(alphabet="{}ab", max_size=12))
def test_a_placeholder_is_found_wherever_it_stands(before: str, after: str) -> None:
    filled = fill(f"{before}-{{slot}}-{after}", {"slot": "3"})
    assert filled == f"{before}-3-{after}"


def test_names_of_both_kinds_are_found_and_doubled_ones_are_not() -> None:
    texts = ["{slot} {sockets.http}", "{env.X}", "{{watcher}}", "{slto} {socket.http}"]
    assert names_in(texts) == {"slot", "sockets.http", "env.X"}
