"""The last output of one stream of a slot, in memory, as it came.

One bytearray of records: no object per line, none per read, and the bound is exact.
A record has its length at both ends, so that one can go through them from either.
Positions count bytes since the ring began: they stay true when old records go.
"""

from __future__ import annotations

from itertools import count
from struct import Struct
from typing import NamedTuple, Protocol

STDOUT, STDERR = 0, 1  #: streams
NAMES = ("stdout", "stderr")

#: Bits of `Record.flags`.
BEGINS = 1  #: the data begins with the beginning of a line
ENDS = 2  #: the worker has ended: what there is of a line is all of it

_HEAD = Struct("<IQdQB")  # length of the whole, seq, at, serial, flags
_TAIL = Struct("<I")  # the length again
_EXTRA = _HEAD.size + _TAIL.size
_MOST = 1 << 12  # data of one record: readers take them one by one
_FOLLOWED = 1 << 20  # while somebody reads along, so that bursts are not lost ...
_FOLLOWED_IN_ALL = 1 << 24  # ... of a few; all the slots of a large machine keep little more

next_seq = count(1).__next__  # of all rings: by it they can be merged


class Record(NamedTuple):
    """A piece of output."""

    seq: int  #: of all rings of this process, rising
    at: float  #: when it was read, seconds since 1970
    serial: int  #: of the worker that wrote it
    flags: int
    data: bytes
    start: int  #: its position
    end: int  #: that of the next


class Reader(Protocol):
    """Who is told when there is more."""

    def more(self) -> None:
        """Hear that a record was added."""


class Ring:
    """A bounded number of bytes, records and what they need counted; oldest go first."""

    __slots__ = (
        "_buffer",
        "_is_mid_line",
        "_limit",
        "_readers",
        "_usual",
        "all_bytes",
        "gone_bytes",
        "start",
        "stream",
    )

    def __init__(self, stream: int, limit: int) -> None:
        """Take up to *limit* bytes."""
        self.stream = stream
        self._buffer = bytearray()
        self._limit = self._usual = limit
        self._is_mid_line = False
        self._readers: tuple[Reader, ...] = ()
        self.start = 0  #: the position of the oldest record
        self.all_bytes = 0  #: of output, ever
        self.gone_bytes = 0  #: of these, what had to make room

    @property
    def end(self) -> int:
        """The position behind the newest record."""
        return self.start + len(self._buffer)

    def add(self, data: bytes, at: float, serial: int) -> None:
        """Add output of a worker."""
        self.all_bytes += len(data)
        most = self._limit - _EXTRA
        if len(data) > most:
            data = self._tail(data, max(most, 0))
        for start in range(0, len(data), _MOST):
            self._add(data[start : start + _MOST], at, serial, 0)
        self._added()

    def finish_line(self, at: float, serial: int) -> None:
        """Note that what there is of a line is all of it."""
        if self._is_mid_line:
            self._add(b"", at, serial, ENDS)
            self._is_mid_line = False
            self._added()

    def _added(self) -> None:
        self._forget(len(self._buffer) - self._limit)
        for reader in self._readers:
            reader.more()

    def _add(self, data: bytes, at: float, serial: int, flags: int) -> None:
        if not self._is_mid_line:
            flags |= BEGINS
        self._is_mid_line = not data.endswith(b"\n")
        length = len(data) + _EXTRA
        buffer = self._buffer
        buffer += _HEAD.pack(length, next_seq(), at, serial, flags)
        buffer += data
        buffer += _TAIL.pack(length)

    def _tail(self, data: bytes, most: int) -> bytes:
        """Return the end of what is too long, from the beginning of a line if there is one."""
        cut = len(data) - most
        line = data.find(b"\n", cut - 1) + 1
        if 0 < line < len(data):
            cut = line
        self._is_mid_line = cut != line
        self.gone_bytes += cut
        return data[cut:]

    def _forget(self, excess: int) -> None:
        """Drop records from the oldest on, until *excess* bytes are free."""
        done = 0
        while done < excess:
            length = _HEAD.unpack_from(self._buffer, done)[0]
            self.gone_bytes += length - _EXTRA
            done += length
        if done:
            del self._buffer[:done]
            self.start += done

    # --- reading

    def follow(self, reader: Reader, *, among: int = 1) -> None:
        """Tell *reader* what comes, and keep more for it: less, if it reads *among* many."""
        self._readers = (*self._readers, reader)
        self._limit = max(self._limit, min(_FOLLOWED, _FOLLOWED_IN_ALL // among))

    def unfollow(self, reader: Reader) -> None:
        """Do no longer."""
        self._readers = tuple(it for it in self._readers if it is not reader)
        if not self._readers:
            self._limit = self._usual
            self._forget(len(self._buffer) - self._limit)

    def read(self, position: int) -> Record:
        """Return the record at *position*, which is before `end` and not before `start`."""
        at = position - self.start
        length, seq, when, serial, flags = _HEAD.unpack_from(self._buffer, at)
        data = bytes(self._buffer[at + _HEAD.size : at + length - _TAIL.size])
        return Record(seq, when, serial, flags, data, position, position + length)

    def read_before(self, position: int) -> Record:
        """Return the record that ends at *position*, which is behind `start`."""
        length = _TAIL.unpack_from(self._buffer, position - self.start - _TAIL.size)[0]
        return self.read(position - length)
