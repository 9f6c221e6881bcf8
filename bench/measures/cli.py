"""How long does it take to print the status of 100 workers?"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

from bench.inbox import WrongResult
from bench.peers import Peer, Pidsup, Supervisord
from bench.setting import Setting, interleaved

COUNT = 100
CASE = f"N={COUNT}"


def measure(setting: Setting) -> None:
    """Run each peer's status command and the bare interpreter in turn."""
    peers = [peer for peer in setting.peers if isinstance(peer, Pidsup | Supervisord)]
    commands: dict[str, list[str]] = {}
    with ExitStack() as stack:
        for peer in peers:
            fleet = stack.enter_context(setting.fleet(peer, COUNT))
            fleet.start()
            commands[f"{peer.name} status"] = _checked(peer, peer.status_command(fleet.job))
            commands[f"{peer.name} python"] = [str(peer.bin / "python"), "-c", "pass"]
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for name in interleaved(list(commands), 20 if setting.quick else 60):
            samples[name].append(_wall_s(commands[name]) * 1000)
    for name, values in samples.items():
        setting.sheet.add("cli", CASE, name, "ms", values)
    status = setting.sheet.find("cli", CASE, "pidsup status")
    python = setting.sheet.find("cli", CASE, "pidsup python")
    if status and python:
        ratio = status.median / python.median
        setting.sheet.mark("cli: pidsupctl status / python -c pass", ratio, at_most=3)


def _checked(peer: Peer, command: list[str]) -> list[str]:
    """Return *command* if it succeeds and prints a line per worker."""
    time.sleep(1.5)  # supervisord calls a worker running at its next turn, a second later
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0 or len(done.stdout.splitlines()) < COUNT:
        raise WrongResult(
            f"{peer.name}: {command} exited with {done.returncode}: "
            f"{done.stdout[-1000:]}{done.stderr[-1000:]}"
        )
    return command


def _wall_s(command: list[str]) -> float:
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    status = process.wait()
    took_s = time.monotonic() - began
    if status != 0:
        raise WrongResult(f"{command} exited with {status}")
    return took_s
