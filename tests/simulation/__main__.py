"""Run seeds again: `python -m tests.simulation [--trace] SEED...`."""

from __future__ import annotations

import sys

from tests.simulation.world import Failure, run

arguments = sys.argv[1:]
whole = "--trace" in arguments
status = 0
for seed in (int(argument) for argument in arguments if argument != "--trace"):
    try:
        world = run(seed)
    except Failure as failure:
        status = 1
        world = failure.world
        sys.stdout.write((world.trace.tell(whole=True) if whole else "") + f"{failure}\n")
    else:
        sys.stdout.write(world.trace.tell(whole=True) if whole else "")
        sys.stdout.write(f"seed {seed}: {world.events} events, trace {world.trace.digest:08x}\n")
sys.exit(status)
