"""Cut a stream of bytes into whole lines; pure.

Bytes come in pieces of any size, and go out unchanged and in order, as blocks: each
is either a number of whole lines, or a piece of one line that is too long to be held.
No line is looked at by itself: that is for those who want lines, and 100 times slower.
"""

from __future__ import annotations

from collections.abc import Iterator

#: What is held of a line without its end; a longer one goes out in pieces.
MOST_HELD = 1 << 16


class Lines:
    """Blocks of lines from pieces of any size."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Hold nothing."""
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what is complete by now: whole lines, or a piece without a newline."""
        held = self._held
        cut = data.rfind(b"\n") + 1
        if cut:
            block = bytes(held) + data[:cut] if held else data[:cut]
            held.clear()
            yield block
        held += data[cut:] if cut else data
        if len(held) >= MOST_HELD:
            yield self.end()

    def end(self) -> bytes:
        """Return the line that is not complete, and hold nothing."""
        piece = bytes(self._held)
        self._held.clear()
        return piece


def lines_of(block: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines of a block without their newlines; True for a piece of one."""
    start = 0
    while (end := block.find(b"\n", start)) >= 0:
        yield block[start:end], False
        start = end + 1
    if start < len(block):
        yield block[start:], True
