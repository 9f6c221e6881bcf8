"""How much memory does a daemon take, and how much more with each worker?

PSS, proc(5), as if there were no other Python (proc.alone_kb says how); RSS is what
it cannot exceed.  One daemon at a time, since two would share with each other.
"""

from __future__ import annotations

import time

from bench import proc
from bench.setting import Setting

COUNTS = (1, 101, 1001)
SETTLE_S = 10.0


def measure(setting: Setting) -> None:
    """Start each peer with each number of workers, let it settle, read its size."""
    for peer in setting.peers:
        if peer.slow and setting.quick:
            continue
        for count in COUNTS:
            with setting.fleet(peer, count) as fleet:
                fleet.start()
                time.sleep(SETTLE_S)
                pids = fleet.daemon_pids()
                pss_kb, rss_kb = sum(map(proc.alone_kb, pids)), sum(map(proc.rss_kb, pids))
                fleet.check()
            setting.sheet.add("memory PSS", f"N={count}", peer.name, "kB", [pss_kb])
            setting.sheet.add("memory RSS", f"N={count}", peer.name, "kB", [rss_kb])
    one, hundred, thousand = (
        setting.sheet.find("memory PSS", f"N={count}", "pidsup") for count in COUNTS
    )
    if one and hundred and thousand:
        mark = setting.sheet.mark
        mark("memory: PSS of pidsup with 1 worker, MB", one.median / 1024, at_most=16)
        mark("memory: kB per worker, 1 to 101", (hundred.median - one.median) / 100, at_most=4)
        mark("memory: kB per worker, 1 to 1001", (thousand.median - one.median) / 1000, at_most=4)
