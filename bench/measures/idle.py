"""How often does a daemon with nothing to do wake up?"""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench import proc
from bench.fleet import Fleet
from bench.setting import Setting

COUNT = 1000
SETTLE_S = 3.0


def measure(setting: Setting) -> None:
    """Count the context switches of all peers at once, one client connected to each."""
    window_s = 10 if setting.quick else 30
    case = f"N={COUNT}, {window_s} s"
    with ExitStack() as stack:
        fleets = [stack.enter_context(setting.fleet(peer, COUNT)) for peer in setting.peers]
        for fleet in fleets:
            fleet.start()
            connection = fleet.peer.connect(fleet.job)
            if connection is not None:
                stack.callback(connection.close)
        time.sleep(SETTLE_S)
        before = [_switches(fleet) for fleet in fleets]
        time.sleep(window_s)
        after = [_switches(fleet) for fleet in fleets]
        for fleet in fleets:
            fleet.check()
    for fleet, earlier, later in zip(fleets, before, after, strict=True):
        setting.sheet.add("idle", case, fleet.peer.name, "switches", [later - earlier])
    switches = setting.sheet.find("idle", case, "pidsup")
    if switches is not None:
        setting.sheet.mark("idle: context switches of pidsup", switches.median, at_most=0)


def _switches(fleet: Fleet) -> int:
    return sum(proc.context_switches(pid) for pid in fleet.daemon_pids())
