"""The other end of a client: answers that were written down before it asks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pidsup.client import Client
from pidsup.control.protocol import Decoder, Message, encode
from tests.support import read_some


class Other:
    """The supervisor's end of a connection.  Owns it."""

    def __init__(self) -> None:
        theirs, self.socket = socket.socketpair()
        self.client = Client.over(theirs)
        self._decoder = Decoder()

    def says(self, *answers: Message, hangs_up: bool = False) -> None:
        """Have answers wait for whoever asks."""
        for answer in answers:
            self.socket.sendall(encode(answer))
        if hangs_up:
            self.socket.shutdown(socket.SHUT_WR)

    def heard(self) -> Message:
        """Return the next request."""
        while (message := self._decoder.next()) is None:
            self._decoder.feed(read_some(self.socket.fileno()))
        return message

    def close(self) -> None:
        self.client.close()
        self.socket.close()


@contextmanager
def other() -> Iterator[Other]:
    """Give one end, with a client at the other."""
    one = Other()
    try:
        yield one
    finally:
        one.close()


def happened(*seqs: int, instance: str = "a") -> Message:
    """Make an answer of Events."""
    facts: dict[str, Any] = {
        "at": 1.0, "kind": "slot", "subject": "web:0", "state": "ready", "reason": "", "pid": 1,
        "exit": None, "change": None, "running": None, "workers": None, "added_later": True,
    }  # fmt: skip
    return {
        "parameters": {
            "kind": "events",
            "cursor": f"{instance}:{seqs[-1]}",
            "status": None,
            "events": [{"seq": seq, **facts} for seq in seqs],
            "missed": 0,
        },
        "continues": True,
    }


def snapshot(cursor: str) -> Message:
    """Make the first answer of Events."""
    facts = {"kind": "snapshot", "cursor": cursor, "status": {"schema": 1}}
    return {"parameters": {**facts, "events": [], "missed": 0}, "continues": True}


def gap(cursor: str, missed: int) -> Message:
    """Make an answer that says that something is missing."""
    facts: dict[str, Any] = {
        "kind": "gap",
        "cursor": cursor,
        "status": None,
        "events": [],
        "missed": missed,
    }
    return {"parameters": facts, "continues": True}
