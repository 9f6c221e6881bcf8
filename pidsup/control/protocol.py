"""The Varlink wire, https://varlink.org: JSON objects, each ended by a NUL byte.

Sans-IO: bytes in, messages out, and the other way round.
"""

from __future__ import annotations

import json

from pidsup.errors import ProtocolError

TYPE_CHECKING = False  # importing `typing` would cost each pidsupctl 2 ms
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]
else:
    Message = dict

INTERFACE = "org.pidsup.Supervisor"
LIMIT = 1 << 20  #: bytes of a request


class Decoder:
    """Cuts a stream of bytes into messages; holds at most one limit and a read."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Refuse messages of *limit* bytes or more."""
        self._limit = limit
        self._data = bytearray()
        self._searched = 0  # where the search for the NUL goes on

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._data += data

    def is_full(self) -> bool:
        """Tell whether more should be read only after a message was taken."""
        return len(self._data) >= self._limit

    def next(self) -> Message | None:
        """Take the next message, None while there is no whole one.

        ProtocolError ends the conversation: nothing behind it can be trusted.
        """
        end = self._data.find(0, self._searched, self._limit)
        if end < 0:
            if self.is_full():
                raise ProtocolError(f"a message of more than {self._limit} bytes")
            self._searched = len(self._data)
            return None
        data = bytes(self._data[:end])
        del self._data[: end + 1]
        self._searched = 0
        return _decode(data)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


_JSON = json.JSONDecoder(parse_constant=_refuse)  # NaN and Infinity are Python's own


def _decode(data: bytes) -> Message:
    try:
        message = _JSON.decode(data.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one, too
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one per call


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    return _ENCODER.encode(message).encode() + b"\0"


def call(method: str, parameters: Message, *, more: bool = False) -> Message:
    """Make a request of our own interface; with *more* for as many answers as there are."""
    request = {"method": f"{INTERFACE}.{method}", "parameters": parameters}
    return {**request, "more": True} if more else request


def reply(parameters: Message, *, continues: bool = False) -> Message:
    """Make an answer; one that *continues* has others behind it."""
    return (
        {"parameters": parameters, "continues": True} if continues else {"parameters": parameters}
    )


def error(name: str, parameters: Message) -> Message:
    """Make an answer that is an error; a name without dots is one of ours."""
    full = name if "." in name else f"{INTERFACE}.{name}"
    return {"error": full, "parameters": parameters}
