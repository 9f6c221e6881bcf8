"""A journald of the test's own: its two sockets, in a directory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pidsup.systemd.journal import Journal
from tests.support import LIMIT_S


class Journald:
    """Listens as journald does.  Owns its sockets, and the streams that it accepts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.journal = Journal(str(directory))
        self._streams = _bound(socket.SOCK_STREAM, f"{directory}/stdout")
        self._streams.listen()
        self._entries: socket.socket | None = None
        self._accepted: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        """Take entries, again."""
        self._entries = _bound(socket.SOCK_DGRAM, f"{self.journal.directory}/socket")

    def deafen(self) -> None:
        """Take no entries any more: nobody listens there."""
        assert self._entries is not None
        self._entries.close()
        os.unlink(f"{self.journal.directory}/socket")

    def entry(self) -> dict[str, bytes]:
        """Return the next entry."""
        assert self._entries is not None
        data, fds, _, _ = socket.recv_fds(self._entries, 1 << 24, 4)
        for fd in fds:
            with os.fdopen(fd, "rb") as file:
                file.seek(0)
                data += file.read()
        return fields(data)

    def raw(self) -> tuple[bytes, list[int]]:
        """Return the next datagram as it came; the caller owns the descriptors."""
        assert self._entries is not None
        data, fds, _, _ = socket.recv_fds(self._entries, 1 << 24, 4)
        return data, fds

    def entries(self) -> list[dict[str, bytes]]:
        """Return those that there are."""
        assert self._entries is not None
        self._entries.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.entry())
        except BlockingIOError:
            self._entries.settimeout(LIMIT_S)
            return found

    def stream(self) -> tuple[list[str], socket.socket]:
        """Accept the next stream; return the lines of its header, and the rest of it."""
        stream = self._streams.accept()[0]
        self._accepted.append(stream)
        stream.settimeout(LIMIT_S)
        header = b""
        while header.count(b"\n") < 7:
            header += stream.recv(1)
        return header.decode().splitlines(), stream

    def close(self) -> None:
        for one in (*self._accepted, self._streams, self._entries):
            if one is not None:
                one.close()


def _bound(kind: int, path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    made.settimeout(LIMIT_S)
    made.bind(path)
    return made


def fields(data: bytes) -> dict[str, bytes]:
    """Read an entry, systemd.io/JOURNAL_NATIVE_PROTOCOL; no field may come twice."""
    found: dict[str, bytes] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in found
        found[name.decode()] = value
        data = rest
    return found
