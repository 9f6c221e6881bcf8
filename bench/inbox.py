"""Receive the reports of workers."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

REPORT = struct.Struct("=QII")  #: struct report of worker.c
CREDENTIALS = struct.Struct("=iII")  #: struct ucred, unix(7)


class WrongResult(Exception):
    """A peer did something else than what is being timed; its figures do not count."""


@dataclass(frozen=True, slots=True)
class Report:
    """A worker has begun, at an instant on CLOCK_MONOTONIC."""

    pid: int
    began_at_ns: int


class Inbox:
    """Owns the datagram socket that the workers of one peer report to."""

    def __init__(self, path: Path) -> None:
        """Bind a socket at *path*."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._socket.fileno()

    def drain(self) -> list[Report]:
        """Return the reports that are there, in the order of arrival, without waiting."""
        reports: list[Report] = []
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(64, 64)
            except BlockingIOError:
                return reports
            began_at_ns, claimed, _ = REPORT.unpack(data)
            pid, _, _ = CREDENTIALS.unpack(ancillary[0][2])
            if pid != claimed:
                raise WrongResult(f"process {pid} reported as {claimed}")
            reports.append(Report(pid, began_at_ns))

    def wait(self, within_s: float) -> list[Report]:
        """Return the reports that are there, waiting for the first one if need be."""
        self._poll.poll(within_s * 1000)
        return self.drain()

    def receive(self, count: int, within_s: float) -> list[Report]:
        """Wait for *count* reports; raise WrongResult for fewer or more."""
        deadline = time.monotonic() + within_s
        reports = self.drain()
        while len(reports) < count:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise WrongResult(f"{len(reports)} of {count} reports within {within_s:g} s")
            reports += self.wait(left_s)
        if len(reports) > count:
            raise WrongResult(f"{len(reports)} reports instead of {count}")
        return reports

    def close(self) -> None:
        """Close the socket; a worker that reports later exits."""
        self._socket.close()
