"""Run the benchmarks: python -m bench [NAME ...] [--quick]."""

from __future__ import annotations

import argparse
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import build, proc
from bench.inbox import WrongResult
from bench.measures import activation, cli, events, idle, log, mass, memory, restart, soak, start
from bench.peers import Floor, Peer, Pidsup, Supervisord
from bench.report import Sheet
from bench.setting import Setting

MEASURES: dict[str, Callable[[Setting], None]] = {
    "restart": restart.measure,
    "mass": mass.measure,
    "start": start.measure,
    "idle": idle.measure,
    "memory": memory.measure,
    "cli": cli.measure,
    "log": log.measure,
    "events": events.measure,
    "activation": activation.measure,
    "soak": soak.measure,
}
DEFAULT = [name for name in MEASURES if name != "soak"]
PEERS: dict[str, Callable[[], Peer]] = {
    "floor": lambda: Floor(build.program("floor")),
    "pidsup": lambda: Pidsup(build.pidsup_environment()),
    "supervisord": lambda: Supervisord(build.supervisor_environment()),
}
DESCRIPTORS = 8192  #: a pidfd per worker, 1,001 workers, three peers


def main() -> int:
    """Return 0 if everything ran as it should, 1 if not, 3 with --strict if a mark was missed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    proc.become_subreaper()
    _raise_descriptor_limit()
    gc.disable()  # a collection in the middle of a sample would be in the sample
    sheet = Sheet()
    wrong = False
    try:
        with tempfile.TemporaryDirectory(prefix="pidsup-bench-") as scratch:
            setting = Setting(
                peers=[PEERS[name]() for name in PEERS if name in arguments.peers.split(",")],
                worker=build.program("worker"),
                scratch=Path(scratch),
                sheet=sheet,
                quick=arguments.quick,
                restarts=arguments.restarts,
            )
            for name in arguments.names or DEFAULT:
                wrong |= not _measured(name, setting)
    except KeyboardInterrupt:
        wrong = True
    finally:
        if swept := proc.sweep():
            print(f"bench: {swept} processes were left and have been killed", file=sys.stderr)
    print(sheet.render())
    if arguments.json:
        sheet.save(arguments.json)
    missed = arguments.strict and not all(mark.met for mark in sheet.marks)
    return 1 if wrong else 3 if missed else 0


def _measured(name: str, setting: Setting) -> bool:
    """Run one measure; say so and return False if a peer did not do what was timed."""
    print(f"bench: {name}", file=sys.stderr, flush=True)
    began, before_s = time.monotonic(), proc.others_cpu_s()
    try:
        MEASURES[name](setting)
    except (WrongResult, OSError) as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        print(f"bench: {name} does not count: {error}\n{notes}", file=sys.stderr)
        return False
    setting.sheet.others[name] = (proc.others_cpu_s() - before_s) / (time.monotonic() - began)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of pidsup.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="fewer samples, no slow peers")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--restarts", type=int, default=1_000_000, help="of a soak")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 3 if a mark is missed")
    arguments = parser.parse_args()
    for given, known in ((arguments.names, MEASURES), (arguments.peers.split(","), PEERS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return arguments


def _raise_descriptor_limit() -> None:
    """Make room for the pidfds here; the peers inherit the limit, all the same one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.chdir(build.CHECKOUT)
    sys.exit(main())
