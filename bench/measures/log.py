"""How fast does output get from a worker through a pipe into a file, and what does it cost?

Lines of 200 bytes.  What arrives is compared with what was written, byte by byte.
And how much later are other workers restarted meanwhile?
"""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

from bench import build, proc
from bench.inbox import WrongResult
from bench.peers import Job, Peer, Pidsup, Supervisord
from bench.setting import Setting, interleaved

LINE_BYTES = 200
PER_WRITE = (1, 300)
WITHIN_S = 60.0
COUNT = 10
PACE_S = 0.15  # ten workers: each is past min_uptime when its turn comes


def measure(setting: Setting) -> None:
    """Let a worker of each peer write, in turn."""
    peers = [peer for peer in setting.peers if isinstance(peer, Pidsup | Supervisord)]
    lines = (64 if setting.quick else 256) * (1 << 20) // LINE_BYTES
    for per_write in PER_WRITE:
        case = f"{lines * LINE_BYTES >> 20} MB, {per_write} lines per write"
        wanted = _digest(setting, lines, per_write)
        samples: dict[tuple[str, str], list[float]] = {}
        for peer in interleaved(peers, 3 if setting.quick else 7):
            run = Run(setting, peer, lines, per_write)
            for what, value in run.measure(wanted).items():
                samples.setdefault((peer.name, what), []).append(value)
        for (name, what), values in samples.items():
            unit = "s/GiB" if "CPU" in what else "MB/s"
            setting.sheet.add(f"log, {what}", case, name, unit, values)
        _mark(setting, case)
    if setting.pidsup is not None:
        _measure_restarts(setting, setting.pidsup)


def _measure_restarts(setting: Setting, peer: Peer) -> None:
    """Kill one worker at a time, in turn of a daemon with a flood and of one without."""
    gate = setting.scratch / "flood-gate"
    os.mkfifo(gate)
    samples: dict[str, list[float]] = {"quiet": [], "flood": []}
    for per_write in PER_WRITE:
        flood = (str(build.program("flood")), str(gate), os.devnull, "0", str(per_write))
        for case, beside in (("quiet", ()), ("flood", flood)):
            with setting.fleet(peer, COUNT, flood=beside) as fleet:
                fleet.start()
                if beside:
                    os.close(os.open(gate, os.O_WRONLY))
                for _ in range(20 if setting.quick else 60):
                    time.sleep(PACE_S)
                    samples[case].append(fleet.restart_one() * 1000)
    gate.unlink()
    for case, values in samples.items():
        setting.sheet.add("restart beside a log", f"N={COUNT}, {case}", peer.name, "ms", values)
    quiet, flooded = (statistics.median(values) for values in samples.values())
    setting.sheet.mark("restart: beside a flood / without", flooded / quiet, at_most=3)


def _mark(setting: Setting, case: str) -> None:
    for what, at_most in (("worker", 1.0), ("on disk", 1.0), ("CPU", 1.0)):
        ours = setting.sheet.find(f"log, {what}", case, "pidsup")
        theirs = setting.sheet.find(f"log, {what}", case, "supervisord")
        if ours and theirs:
            ratio = ours.median / theirs.median
            if what == "CPU":
                setting.sheet.mark(f"log, {case}: CPU / supervisord", ratio, at_most=at_most)
            else:
                text = f"log, {case}: supervisord / pidsup, {what}"
                setting.sheet.mark(text, 1 / ratio, at_most=at_most)


def _digest(setting: Setting, lines: int, per_write: int) -> str:
    """Return the digest of what the worker writes, taken from itself."""
    gate, result = setting.scratch / "digest-gate", setting.scratch / "digest-result"
    gate.unlink(missing_ok=True)
    os.mkfifo(gate)
    command = [str(build.program("flood")), str(gate), str(result), str(lines), str(per_write)]
    digest = hashlib.sha256()
    left = lines * LINE_BYTES
    with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
        os.close(os.open(gate, os.O_WRONLY))
        assert flood.stdout is not None
        while left:
            data = flood.stdout.read(min(left, 1 << 16))
            digest.update(data)
            left -= len(data)
        flood.kill()
    return digest.hexdigest()


class Run:
    """One daemon with one worker that writes into one file."""

    def __init__(self, setting: Setting, peer: Peer, lines: int, per_write: int) -> None:
        """Prepare the files."""
        self._peer = peer
        self._size = lines * LINE_BYTES
        directory = setting.directory()
        self._file, self._result = directory / "log", directory / "result"
        self._gate = directory / "gate"
        os.mkfifo(self._gate)
        self._job = Job(
            directory,
            [
                str(build.program("flood")),
                str(self._gate),
                str(self._result),
                str(lines),
                str(per_write),
            ],
            1,
            output=self._file,
        )

    def measure(self, wanted: str) -> dict[str, float]:
        """Return MB/s as the worker saw it and until all was written, and CPU s/GiB."""
        said = self._job.directory / "output"
        with said.open("wb") as output:
            daemon = subprocess.Popen(
                self._peer.prepare(self._job),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            figures = self._measure(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(WITHIN_S)
            self._peer.clean(self._job)
        with self._file.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                raise WrongResult(f"{self._peer.name}: what was written is not what has arrived")
        self._file.unlink()
        return figures

    def _measure(self, pid: int) -> dict[str, float]:
        gate = os.open(self._gate, os.O_WRONLY)  # when the worker is there
        time.sleep(0.3)  # what else the daemon does after a start
        cpu_s = proc.cpu_s(pid)
        began = time.monotonic()
        os.close(gate)
        while self._file_size() < self._size:
            time.sleep(0.001)
            if time.monotonic() - began > WITHIN_S:
                raise WrongResult(f"{self._peer.name}: {self._file_size()} of {self._size} bytes")
        took_s = time.monotonic() - began
        while not (text := _text(self._result)).endswith("\n"):
            time.sleep(0.001)
        return {
            "worker": self._size / 1e6 / (int(text) / 1e9),
            "on disk": self._size / 1e6 / took_s,
            "CPU": (proc.cpu_s(pid) - cpu_s) / (self._size / (1 << 30)),
        }

    def _file_size(self) -> int:
        try:
            return self._file.stat().st_size
        except FileNotFoundError:
            return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
