"""How much later is the first request answered than by a worker that is started by hand?"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bench import build
from bench.inbox import WrongResult
from bench.setting import Setting, interleaved

CASE = "first request"
#: No more than twenty activations in two seconds: beyond, the watcher rests.
PACE_S = 0.15
WITHIN_S = 10.0
_PID = struct.Struct("=I")
_CONFIGURATION = """
[sockets.one]
listen = "{listen}"
[watchers.one]
command = ["{program}"]
sockets = ["one"]
on_demand = true
stdout = "null"
stderr = "null"
"""


def measure(setting: Setting) -> None:
    """Connect in turn to a watcher on demand and to a listener with a worker by hand."""
    peer = setting.pidsup
    if peer is None:
        return
    program = build.program("once")
    directory = setting.directory()
    with _supervisor(peer.bin, program, directory) as path, _Hand(program, directory) as hand:
        samples: dict[str, list[float]] = {"pidsup": [], "by hand": []}
        for who in interleaved([*samples], 20 if setting.quick else 100):
            time.sleep(PACE_S)
            samples[who].append(_ask(path) if who == "pidsup" else hand.ask())
    for who, values in samples.items():
        setting.sheet.add("activation", CASE, who, "ms", [value * 1000 for value in values])
    ours = setting.sheet.find("activation", CASE, "pidsup")
    floor = setting.sheet.find("activation", CASE, "by hand")
    if ours and floor:
        more_ms = ours.median - floor.median
        setting.sheet.mark("activation: ms more than by hand", more_ms, at_most=2)


def _ask(path: Path) -> float:
    """Connect and wait for the answer; return the seconds."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WITHIN_S)
        client.connect(str(path))
        pid = client.recv(_PID.size)
    took_s = time.monotonic() - began
    if len(pid) != _PID.size:
        raise WrongResult("no answer")
    return took_s


@contextmanager
def _supervisor(bin_: Path, program: Path, directory: Path) -> Iterator[Path]:
    """Run pidsup with one watcher on demand; give the path of its socket."""
    path, file = directory / "one.sock", directory / f"{directory.name}.toml"
    file.write_text(_CONFIGURATION.format(listen=path, program=program))
    with (directory / "output").open("wb") as output:
        daemon = subprocess.Popen(
            [bin_ / "pidsup", "run", "-c", str(file)], stdin=subprocess.DEVNULL, stderr=output
        )
    try:
        deadline = time.monotonic() + WITHIN_S
        while not path.exists():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise WrongResult(f"it does not listen: {(directory / 'output').read_text()}")
            time.sleep(0.01)
        yield path
    finally:
        daemon.terminate()
        daemon.wait(WITHIN_S)


class _Hand:
    """A listener of our own, and a worker for each connection.  Owns the listener."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program = str(program)
        self._path = directory / "hand.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def ask(self) -> float:
        """Start the worker, connect and wait for the answer; return the seconds."""
        began = time.monotonic()
        fd = self._listener.fileno()
        actions = [(os.POSIX_SPAWN_DUP2, fd, 3)]
        pid = os.posix_spawn(self._program, [self._program], {}, file_actions=actions)
        answered_s = _ask(self._path)
        took_s = time.monotonic() - began
        if os.waitpid(pid, 0)[1] != 0 or answered_s > took_s:
            raise WrongResult("the worker by hand has failed")
        return took_s
