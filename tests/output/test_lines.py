"""Cutting a stream into lines: whatever the pieces, the same bytes, and the same lines."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pidsup.output.formats import Json, Raw, TimePrefixed
from pidsup.output.lines import MOST_HELD, Lines, lines_of

#: Few letters, so that newlines and NULs are everywhere.
texts = st.lists(st.sampled_from([b"a", b"\n", b"\0", b"\xff", b"\r", b"bc" * 50])).map(b"".join)
cuts = st.lists(st.integers(0, 2000))


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    """Cut *text* at some of its positions."""
    at = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(at)]


def fed(parts: list[bytes]) -> list[bytes]:
    lines = Lines()
    return [*(block for part in parts for block in lines.feed(part)), lines.end()]


@given(texts, cuts)
def test_the_bytes_are_the_same_wherever_they_are_cut(text: bytes, cuts: list[int]) -> None:
    """Nothing lost, altered, doubled or moved."""
    assert b"".join(fed(pieces(text, cuts))) == text


@given(texts, cuts)
def test_the_lines_are_the_same_wherever_they_are_cut(text: bytes, cuts: list[int]) -> None:
    """A block is whole lines, but for the last, which has no end."""
    *blocks, rest = fed(pieces(text, cuts))
    found = [line for block in blocks for line in lines_of(block)]
    whole, _, end = text.rpartition(b"\n")
    assert rest == end
    assert found == ([(line, False) for line in whole.split(b"\n")] if b"\n" in text else [])


@given(texts, cuts)
def test_a_reader_of_json_gets_back_every_byte(text: bytes, cuts: list[int]) -> None:
    """By the text, or by base64, and by what it is told of newlines."""
    json_lines = Json("web:0", "stdout")
    *blocks, rest = fed(pieces(text, cuts))
    out = b"".join(json_lines.block(block, 0.0, 7) for block in blocks)
    out += json_lines.end(rest, 0.0, 7)
    back = b""
    for line in out.splitlines():
        found = json.loads(line)
        back += found["text"].encode() if "text" in found else b64decode(found["base64"])
        back += b"" if found.get("partial") else b"\n"
    assert back == text


@given(st.integers(1, 3 * MOST_HELD), st.integers(1, 70_000))
def test_no_more_is_held_than_a_bound(size: int, step: int) -> None:
    """A line of 100 MB never sits in memory: it goes out in pieces."""
    lines = Lines()
    out = b""
    text = b"x" * size + b"\nend\n"
    for start in range(0, len(text), step):
        for block in lines.feed(text[start : start + step]):
            out += block
        assert len(lines._held) < MOST_HELD
    assert out == text


def test_a_prefix_stands_in_front_of_each_line_and_a_piece_is_marked() -> None:
    """Time, slot and stream."""
    form = TimePrefixed("web:3", "stderr")
    assert form.block(b"one\n\ntwo\n", 1_700_000_000.25, 1).splitlines() == [
        b"2023-11-14T22:13:20.250Z web:3 stderr | one",
        b"2023-11-14T22:13:20.250Z web:3 stderr | ",
        b"2023-11-14T22:13:20.250Z web:3 stderr | two",
    ]
    assert form.block(b"piece", 0.0, 1) == b"1970-01-01T00:00:00.000Z web:3 stderr | piece\\\n"
    assert form.dropped(7, 0.0, 1).endswith(b" web:3 stderr | [7 bytes dropped]\n")


def test_raw_lines_are_as_they_were() -> None:
    """But that the last of a worker is ended where others follow."""
    form = Raw()
    assert form.block(b"a\0\n", 0.0, 1) == b"a\0\n"
    assert form.end(b"a", 0.0, 1) == b"a\n"
    assert form.dropped(7, 0.0, 1) == b""
