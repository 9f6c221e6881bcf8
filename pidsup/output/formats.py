"""How output looks where it ends up: raw, behind a prefix, or as JSON lines; pure.

A format gets blocks as `lines` makes them: whole lines, or a piece of a line without
its newline.  A prefix costs one replace per block.
"""

from __future__ import annotations

from binascii import b2a_base64
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Protocol

from pidsup.log import Timestamps
from pidsup.output.lines import lines_of

_GOES_ON = b"\\\n"  # behind a piece: the rest of its line follows, or its worker has ended


class Format(Protocol):
    """What is written for the output of one slot and stream."""

    def block(self, data: bytes, at: float, serial: int) -> bytes:
        """Return what is written for whole lines, or for a piece of a line."""

    def end(self, data: bytes, at: float, serial: int) -> bytes:
        """Return what is written for the incomplete line of a worker that has ended.

        *data* is b"" when all of that line has gone out, in pieces.
        """

    def dropped(self, count: int, at: float, serial: int) -> bytes:
        """Return what is written in the place of *count* bytes."""


class Raw:
    """The bytes as they are."""

    __slots__ = ()

    def block(self, data: bytes, _at: float, _serial: int) -> bytes:
        """Return the block."""
        return data

    def end(self, data: bytes, _at: float, _serial: int) -> bytes:
        """Return it with a newline: the next line may be another's."""
        return data + b"\n"

    def dropped(self, _count: int, _at: float, _serial: int) -> bytes:
        """Return nothing: it could not be told from output."""
        return b""


class Prefixed:
    """Lines behind a prefix."""

    __slots__ = ()

    def prefix(self, at: float) -> bytes:
        """Return the prefix of a line that was read at that time."""
        raise NotImplementedError

    def block(self, data: bytes, at: float, _serial: int) -> bytes:
        """Put the prefix in front of each line."""
        prefix = self.prefix(at)
        if not data.endswith(b"\n"):
            return prefix + data + _GOES_ON
        return prefix + data[:-1].replace(b"\n", b"\n" + prefix) + b"\n"

    def end(self, data: bytes, at: float, serial: int) -> bytes:
        """Mark that the line has no end."""
        return self.block(data, at, serial) if data else b""

    def dropped(self, count: int, at: float, serial: int) -> bytes:
        """Say it, as a line."""
        return self.block(b"[%d bytes dropped]\n" % count, at, serial)


class TimePrefixed(Prefixed):
    """Lines of a file, behind time, slot and stream."""

    __slots__ = ("_names", "_time")

    def __init__(self, slot: str, stream: str) -> None:
        """Prepare the prefix."""
        self._names = f" {slot} {stream} | ".encode()
        self._time = Timestamps()

    def prefix(self, at: float) -> bytes:
        """Return time, slot and stream."""
        return self._time(at).encode() + self._names


class Json:
    """A JSON object per line; base64 where it is not UTF-8."""

    __slots__ = ("_encode", "_names", "_time")

    def __init__(self, slot: str, stream: str, *, ascii_only: bool = False) -> None:
        """Prepare what all lines have; only ASCII is harmless to a terminal without a look."""
        self._encode = encode_basestring_ascii if ascii_only else encode_basestring
        self._names = f'"slot": {encode_basestring(slot)}, "stream": "{stream}"'
        self._time = Timestamps()

    def _start(self, at: float, serial: int) -> str:
        return f'{{"time": "{self._time(at)}", {self._names}, "serial": {serial}, '

    def block(self, data: bytes, at: float, serial: int) -> bytes:
        """Make an object of each line."""
        start = self._start(at, serial)
        return "".join(
            f"{start}{self._content(line)}{_PARTIAL if partial else _WHOLE}"
            for line, partial in lines_of(data)
        ).encode()

    def end(self, data: bytes, at: float, serial: int) -> bytes:
        """Mark that the line has no end."""
        return self.block(data, at, serial)

    def dropped(self, count: int, at: float, serial: int) -> bytes:
        """Say it in an object of its own."""
        return f'{self._start(at, serial)}"dropped": {count}}}\n'.encode()

    def _content(self, line: bytes) -> str:
        try:
            return f'"text": {self._encode(line.decode())}'
        except UnicodeDecodeError:
            return f'"base64": "{b2a_base64(line, newline=False).decode()}"'


_WHOLE, _PARTIAL = "}\n", ', "partial": true}\n'


def of_file(name: str, slot: str, stream: str) -> Format:
    """Return the format of a file: raw, prefixed or json."""
    if name == "json":
        return Json(slot, stream)
    return TimePrefixed(slot, stream) if name == "prefixed" else Raw()
