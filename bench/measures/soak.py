"""Does a daemon grow with the number of restarts, and how many can it make?

By name only: a million restarts take five minutes and more.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass

from bench import proc
from bench.fleet import START_WITHIN_S, Fleet
from bench.inbox import WrongResult
from bench.setting import Setting

COUNT = 4  #: enough to keep two CPUs busy
CASE = f"N={COUNT}, exits at once"
WARM_UP = 10_000
LOOKS = 20


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a daemon, over a few looks: descriptors come and go with the workers."""

    resident_kb: float
    descriptors: float


def measure(setting: Setting) -> None:
    """Restart a worker that exits at once, again and again; compare before and after."""
    for peer in setting.peers:
        if peer.slow:
            continue
        restarts = setting.restarts if peer is setting.pidsup else 3 * WARM_UP
        with setting.fleet(peer, COUNT, flapping=True) as fleet:
            fleet.launch()
            _restart(fleet, WARM_UP)
            before = _size(fleet)
            took_s = _restart(fleet, restarts, show=True)
            after = _size(fleet)
        add = setting.sheet.add
        add("soak rate", CASE, peer.name, "restarts/s", [restarts / took_s])
        for when, size in (("before", before), ("after", after)):
            add(f"soak RSS {when}", CASE, peer.name, "kB", [size.resident_kb])
            add(f"soak descriptors {when}", CASE, peer.name, "fds", [size.descriptors])
        if peer is setting.pidsup:
            mark = setting.sheet.mark
            mark("soak: growth of RSS, kB", after.resident_kb - before.resident_kb, at_most=256)
            mark("soak: more descriptors", after.descriptors - before.descriptors, at_most=0)


def _restart(fleet: Fleet, count: int, *, show: bool = False) -> float:
    """Take in reports until *count* workers have begun; return the seconds it took."""
    began = seen_at = shown_at = time.monotonic()
    seen = 0
    while seen < count:
        reports = len(fleet.inbox.wait(1.0))
        seen += reports
        now = time.monotonic()
        if reports:
            seen_at = now
        elif now - seen_at > START_WITHIN_S:
            raise WrongResult(f"no restart for {START_WITHIN_S:g} s after {seen} of {count}")
        if show and now - shown_at > 10:
            shown_at = now
            resident_kb = proc.resident_kb(fleet.pid)
            print(f"{fleet.peer.name}: {seen} of {count}, {resident_kb} kB", file=sys.stderr)
    return time.monotonic() - began


def _size(fleet: Fleet) -> Size:
    """Look a few times, taking in reports meanwhile: a full inbox would stop the workers."""
    looks: list[Size] = []
    for _ in range(LOOKS):
        fleet.inbox.wait(0.1)
        looks.append(Size(proc.resident_kb(fleet.pid), proc.descriptors(fleet.pid)))
    return Size(
        statistics.median(look.resident_kb for look in looks),
        statistics.median(look.descriptors for look in looks),
    )
