"""What is kept while somebody reads along: enough for bursts, and not more than a machine has."""

from __future__ import annotations

import pytest

from pidsup.output.ring import Ring


class Reader:
    def more(self) -> None:
        """Read nothing."""


@pytest.mark.parametrize(
    ("rings", "each"), [(1, 1 << 20), (16, 1 << 20), (1000, (1 << 24) // 1000)]
)
def test_many_that_are_followed_together_keep_less_each(rings: int, each: int) -> None:
    """Or to follow all of a thousand slots would be a gigabyte."""
    ring, reader = Ring(0, 1 << 10), Reader()
    ring.follow(reader, among=rings)
    for _ in range(600):
        ring.add(b"x" * 4000, 0.0, 1)
    assert each - 8192 < len(ring._buffer) <= each
    ring.unfollow(reader)
    assert len(ring._buffer) <= 1 << 10


def test_who_follows_many_takes_nothing_from_who_follows_one() -> None:
    ring = Ring(0, 1 << 10)
    ring.follow(Reader(), among=1)
    ring.follow(Reader(), among=1000)
    assert ring._limit == 1 << 20
