"""What all measures share: the peers, the worker, a place for files, the sheet."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.fleet import Fleet
from bench.inbox import Inbox
from bench.peers import Job, Peer, Pidsup
from bench.report import Sheet

T = TypeVar("T")


@dataclass(slots=True)
class Setting:
    """One run of the benchmarks."""

    peers: list[Peer]
    worker: Path
    scratch: Path
    sheet: Sheet
    quick: bool
    restarts: int  #: how many a soak makes
    _fleets: Iterator[int] = field(default_factory=itertools.count)

    def groups(self, *, full: int, quick: int, slow: int) -> list[tuple[list[Peer], int]]:
        """Return which peers to measure side by side, and in how many rounds.

        Those that take a second per restart come apart, and not at all in a quick run.
        """
        fast_peers = [peer for peer in self.peers if not peer.slow]
        slow_peers = [peer for peer in self.peers if peer.slow and not self.quick]
        groups = [(fast_peers, quick if self.quick else full), (slow_peers, slow)]
        return [(peers, rounds) for peers, rounds in groups if peers]

    @property
    def pidsup(self) -> Pidsup | None:
        """pidsup, if it is among the peers."""
        return next((peer for peer in self.peers if isinstance(peer, Pidsup)), None)

    def directory(self) -> Path:
        """Return a new directory, with a name that no other supervisor has."""
        directory = self.scratch / f"bench-{os.getpid()}-{next(self._fleets)}"
        directory.mkdir()
        return directory

    def fleet(
        self, peer: Peer, count: int, *, flapping: bool = False, flood: tuple[str, ...] = ()
    ) -> Fleet:
        """Return a fleet of *count* workers under *peer*, not started yet."""
        directory = self.directory()
        reports = directory / "inbox"
        command = [str(self.worker), str(reports), "0", "exit" if flapping else "pause"]
        return Fleet(peer, Job(directory, command, count, flapping, flood=flood), Inbox(reports))


def interleaved(items: list[T], rounds: int) -> Iterator[T]:
    """Go through *items* *rounds* times, forth and back, so that none is always first."""
    for turn in range(rounds):
        yield from items[:: 1 if turn % 2 == 0 else -1]
