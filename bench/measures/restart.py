"""How long after the death of one worker does its successor begin?"""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench.peers import Peer
from bench.setting import Setting, interleaved

COUNTS = (10, 100, 1000)
#: Two peers with ten workers each: every worker is old enough when its turn comes.
#: The same for all N, since a CPU that has slept longer answers later.
PACE_S = 0.065


def measure(setting: Setting) -> None:
    """Kill one worker at a time, of each peer in turn."""
    for count in COUNTS:
        for peers, rounds in setting.groups(full=250, quick=60, slow=4):
            _measure_side_by_side(setting, peers, count, rounds)
    setting.sheet.mark_ratio("restart", "N=100", at_most=1.4)
    few = setting.sheet.ratio("restart", f"N={COUNTS[0]}")
    many = setting.sheet.ratio("restart", f"N={COUNTS[-1]}")
    if few and many:
        growth = f"restart: growth of pidsup / floor from N={COUNTS[0]} to {COUNTS[-1]}"
        setting.sheet.mark(growth, many / few, at_most=1.25)


def _measure_side_by_side(setting: Setting, peers: list[Peer], count: int, rounds: int) -> None:
    with ExitStack() as stack:
        fleets = [stack.enter_context(setting.fleet(peer, count)) for peer in peers]
        for fleet in fleets:
            fleet.start()
        samples: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for fleet in interleaved(fleets, rounds):
            time.sleep(PACE_S)
            samples[fleet.peer.name].append(fleet.restart_one() * 1000)
        for fleet in fleets:
            fleet.check()
    for name, values in samples.items():
        setting.sheet.add("restart", f"N={count}", name, "ms", values)
