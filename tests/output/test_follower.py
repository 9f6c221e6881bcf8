"""Memory of last output, and who reads it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.output.follower import Follower, last_lines
from pidsup.output.ring import STDERR, STDOUT, Ring
from tests.support import EpollDriver


def ring(*parts: bytes, limit: int = 1 << 16, stream: int = STDOUT) -> Ring:
    made = Ring(stream, limit)
    for n, part in enumerate(parts):
        made.add(part, float(n), 1)
    return made


@pytest.fixture
def follow(epoll_driver: EpollDriver):  # type: ignore[no-untyped-def]  # a function with many options
    def make(*slots: tuple[str, list[Ring]], **how: object) -> Follower:
        options = {"lines": None, "stream": None, "since": None, "follow": False, **how}
        return Follower(epoll_driver.loop, slots, **options)  # type: ignore[arg-type]  # as above

    return make


def everything(follower: Follower, most: int = 100) -> tuple[list[bytes], int]:
    found, missed = [], 0
    while not follower.over:
        lines, more = follower.take(most)
        found += [line.data for line in lines]
        missed += more
    return found, missed


@given(st.lists(st.binary(max_size=400)), st.integers(60, 2000))
def test_a_ring_never_holds_more_than_its_bound_and_always_the_newest(
    parts: list[bytes], limit: int
) -> None:
    """And it counts what it has forgotten."""
    made = Ring(STDOUT, limit)
    for part in parts:
        made.add(part, 0.0, 1)
        assert made.end - made.start <= limit
    held = b""
    position = made.start
    while position < made.end:
        record = made.read(position)
        assert made.read_before(record.end) == record
        held += record.data
        position = record.end
    text = b"".join(parts)
    assert text.endswith(held)
    assert len(held) + made.gone_bytes == len(text) == made.all_bytes


def test_a_memory_of_nothing_is_possible() -> None:
    """log_memory = 0."""
    made = ring(b"one\n", limit=0)
    assert made.end - made.start == 0
    assert made.gone_bytes == 4


@pytest.mark.parametrize("wanted", [0, 1, 2, 5, 6, 7, 100])
def test_the_last_lines_of_all_slots_come_in_the_order_of_writing(wanted: int, follow) -> None:  # type: ignore[no-untyped-def]
    """However they were cut."""
    one, two = Ring(STDOUT, 1 << 16), Ring(STDOUT, 1 << 16)
    one.add(b"1\n2\n3", 0.0, 1)
    two.add(b"a\nb\n", 0.0, 1)
    one.add(b"3\n", 0.0, 1)
    two.add(b"c\n", 0.0, 1)
    found, missed = everything(follow(("one", [one]), ("two", [two]), lines=wanted))
    assert found == [b"1", b"2", b"a", b"b", b"33", b"c"][max(0, 6 - wanted) :]
    assert missed == 0


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_the_last_lines_are_the_end_of_all_lines(seed: int, wanted: int) -> None:
    """Randomly cut, several rings."""
    rng = random.Random(seed)
    rings = [Ring(STDOUT, 1 << 16) for _ in range(3)]
    for number in range(30):
        made = rng.choice(rings)
        for part in (b"%d" % number, b" " * rng.randrange(3), b"\n"):
            made.add(part, 0.0, 1)
    driver = EpollDriver()
    slots = [(f"s:{n}", [made]) for n, made in enumerate(rings)]
    follower = Follower(driver.loop, slots, lines=wanted, stream=None, since=None, follow=False)
    found, _ = everything(follower)
    driver.close()
    assert [int(line) for line in found] == list(range(30))[max(0, 30 - wanted) :]


def test_a_line_whose_beginning_is_forgotten_is_left_out(follow) -> None:  # type: ignore[no-untyped-def]
    """Unless it is all there is."""
    made = ring(b"x" * 300, b"rest\nnext\n", limit=200)
    assert everything(follow(("one", [made])))[0] == [b"next"]
    made = ring(b"x" * 1000, limit=200)
    assert everything(follow(("one", [made])))[0] == [b"x" * (200 - 33)]


def test_lines_can_be_chosen_by_stream_and_time(follow) -> None:  # type: ignore[no-untyped-def]
    """Filters of `logs`."""
    rings = [ring(b"one\n", b"two\n"), ring(b"bad\n", b"worse\n", stream=STDERR)]
    assert everything(follow(("w", rings), stream="stderr"))[0] == [b"bad", b"worse"]
    assert everything(follow(("w", rings), since=0.5))[0] == [b"two", b"worse"]
    assert everything(follow(("w", rings), since=0.5, lines=1))[0] == [b"worse"]


def test_who_reads_too_slowly_is_told_how_much_it_missed(follow) -> None:  # type: ignore[no-untyped-def]
    """Every byte is either shown or counted, but for newlines."""
    made = Ring(STDOUT, 4096)
    follower = follow(("w", [made]), follow=True)
    rng = random.Random(1)
    written = shown = missed = 0
    for turn in range(3000):
        line = b"%d %s\n" % (turn, b"x" * rng.randrange(3000))
        made.add(line, 0.0, 1)
        written += len(line)
        if rng.random() < 0.0007:
            lines, more = follower.take(1 << 16)
            shown += sum(len(x.data) + 1 for x in lines)
            missed += more
            assert all(x.data.split()[0].isdigit() and not x.partial for x in lines)
    for _ in range(200):
        lines, more = follower.take(1 << 16)
        shown += sum(len(x.data) + 1 for x in lines)
        missed += more
    assert missed > 0
    assert shown + missed == written
    follower.close()
    assert made.end - made.start <= 4096


def test_the_oldest_line_that_is_cut_is_left_out_and_nobody_was_too_slow_for_it(follow) -> None:  # type: ignore[no-untyped-def]
    """It lost its beginning long before anybody wanted to read it."""
    made = Ring(STDOUT, 130)
    for part in (b"first, of which ", b"the end is left\n", b"two\n", b"three\n"):
        made.add(part, 0.0, 1)
    assert made.read(made.start).data == b"the end is left\n"
    assert everything(follow(("w", [made]), lines=3)) == ([b"two", b"three"], 0)
    assert everything(follow(("w", [made]))) == ([b"two", b"three"], 0)


def test_a_ring_grows_for_its_readers_and_shrinks_again(follow) -> None:  # type: ignore[no-untyped-def]
    """Bursts are not lost, and the bound is one megabyte."""
    made = Ring(STDOUT, 4096)
    follower = follow(("w", [made]), follow=True)
    for _ in range(100):
        made.add(b"x" * 99_999 + b"\n", 0.0, 1)
    assert 1_000_000 < made.end - made.start <= 1 << 20
    follower.close()
    follower.close()
    assert made.end - made.start <= 4096


def test_a_take_does_a_bounded_piece_of_work(follow) -> None:  # type: ignore[no-untyped-def]
    """A megabyte for `logs` does not hold up the loop."""
    made = ring(*[b"x" * 999 + b"\n"] * 1000, limit=1 << 21)
    follower = follow(("w", [made]))
    lines, _ = follower.take(10_000)
    assert 5 < len(lines) < 15
    assert len(everything(follower)[0]) == 1000 - len(lines)


def test_a_line_without_end_is_shown_in_pieces(follow) -> None:  # type: ignore[no-untyped-def]
    """Marked: the rest comes."""
    made = ring(b"x" * 200_000 + b"end\n", limit=1 << 20)
    follower = follow(("w", [made]))
    lines, _ = follower.take(1 << 20)
    assert [line.partial for line in lines] == [True] * (len(lines) - 1) + [False]
    assert b"".join(line.data for line in lines) == b"x" * 200_000 + b"end"
    assert max(len(line.data) for line in lines) <= 68 << 10


def test_the_last_words_are_made_printable_and_not_endless() -> None:
    """For a person, on one line of a log."""
    made = ring(b"a\n" + b"y" * 5000 + b"\n\xff\n")
    assert last_lines(made, 2, 1) == ["y" * 1000, "\\xff"]
    assert last_lines(made, 2, 2) == []
