"""Run a peer with its workers, kill them and see them come back."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench import proc
from bench.inbox import Inbox, Report, WrongResult
from bench.peers import Job, Peer

OLD_ENOUGH_NS = 1_250_000_000  #: past min_uptime: such a worker is restarted at once
START_WITHIN_S = 60.0
RESTART_WITHIN_S = 60.0
STOP_WITHIN_S = 40.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker.  Owns the pidfd."""

    pid: int
    pidfd: int
    began_at_ns: int


class Fleet:
    """A peer that keeps N workers.  Owns the daemon, the inbox and the workers' pidfds."""

    def __init__(self, peer: Peer, job: Job, inbox: Inbox) -> None:
        """Take *inbox*, which the command of *job* reports to; start nothing yet."""
        self.peer = peer
        self.job = job
        self.inbox = inbox
        self._daemon: subprocess.Popen[bytes] | None = None
        self._workers: list[Worker] = []  # oldest first

    def __enter__(self) -> Self:
        """Return the fleet; nothing runs yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the daemon and the workers; say what the daemon said if something failed."""
        self.close()
        output = self.job.directory / "output"
        if isinstance(error, Exception) and output.exists():
            said = output.read_text(errors="replace")[-2000:]
            error.add_note(f"{self.peer.name}, {self.job.count} workers, said last:\n{said}")

    @property
    def pid(self) -> int:
        """The pid of the daemon."""
        assert self._daemon is not None, "the fleet has not been launched"
        return self._daemon.pid

    def daemon_pids(self) -> set[int]:
        """Return the pids of all processes that make up the daemon."""
        return {self.pid, proc.parent(self._workers[0].pid)}

    def launch(self) -> int:
        """Start the daemon; return the instant just before, in ns."""
        command = self.peer.prepare(self.job)
        with (self.job.directory / "output").open("wb") as output:
            launched_at_ns = time.monotonic_ns()
            self._daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return launched_at_ns

    def start(self) -> float:
        """Start the daemon and wait for N workers; return the seconds from exec to the last."""
        launched_at_ns = self.launch()
        self._adopt(self._first_reports())
        self.check()
        return (self._workers[-1].began_at_ns - launched_at_ns) / 1e9

    def restart_one(self) -> float:
        """Kill the oldest worker, return the seconds until its successor began."""
        victim = self._workers[0]
        self._wait_until_old(victim)
        killed_at_ns = time.monotonic_ns()
        signal.pidfd_send_signal(victim.pidfd, signal.SIGKILL)
        reports = self.inbox.receive(1, RESTART_WITHIN_S)
        self._replace([victim], reports)
        return (reports[0].began_at_ns - killed_at_ns) / 1e9

    def restart_all(self, receive: Callable[[int, float], list[Report]] | None = None) -> float:
        """Kill all workers at once, return the seconds until the last successor began.

        *receive* stands in for the inbox's, to do something else meanwhile.
        """
        victims = self._workers[:]
        self._wait_until_old(victims[-1])
        killed_at_ns = time.monotonic_ns()
        for victim in victims:
            signal.pidfd_send_signal(victim.pidfd, signal.SIGKILL)
        reports = (receive or self.inbox.receive)(len(victims), RESTART_WITHIN_S)
        self._replace(victims, reports)
        self.check()
        return (self._workers[-1].began_at_ns - killed_at_ns) / 1e9

    def check(self) -> None:
        """Raise WrongResult unless exactly the N workers we know run under the daemon."""
        time.sleep(0.05)  # one too many would have been started by now
        if extra := self.inbox.drain():
            raise WrongResult(f"{len(extra)} more workers than {self.job.count}")
        known = {worker.pid for worker in self._workers}
        running = proc.children(proc.parent(self._workers[0].pid))
        beside = 1 if self.job.flood else 0
        if len(known) != self.job.count or len(running - known) != beside or known - running:
            raise WrongResult(f"{len(running)} workers run instead of {self.job.count}")
        if any(_is_dead(worker) for worker in self._workers):
            raise WrongResult("a worker has died unasked")

    def close(self) -> None:
        """Stop the daemon by SIGTERM, in time or by SIGKILL, then what it left."""
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
            self._daemon = None
        for worker in self._workers:
            if not _is_dead(worker):
                signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
            os.close(worker.pidfd)
        self._workers.clear()
        self.inbox.close()
        self.peer.clean(self.job)

    def _first_reports(self) -> list[Report]:
        """Wait for N workers, but not for a daemon that has given up."""
        assert self._daemon is not None, "the fleet has not been launched"
        deadline = time.monotonic() + START_WITHIN_S
        reports: list[Report] = []
        while len(reports) < self.job.count:
            came = self.inbox.wait(0.5)
            reports += came
            if not came and self._daemon.poll() is not None:
                raise WrongResult(f"the daemon has exited with {self._daemon.returncode}")
            if time.monotonic() > deadline:
                raise WrongResult(f"{len(reports)} workers within {START_WITHIN_S:g} s")
        return reports

    def _adopt(self, reports: list[Report]) -> None:
        """Take in workers that have begun; they pause, so their pids are still theirs."""
        self._workers += [
            Worker(report.pid, os.pidfd_open(report.pid), report.began_at_ns)
            for report in sorted(reports, key=lambda report: report.began_at_ns)
        ]

    def _replace(self, victims: list[Worker], reports: list[Report]) -> None:
        """Put those who have begun in the place of the killed, if they are as many and new."""
        dead = {victim.pid for victim in victims}
        born = {report.pid for report in reports}
        if len(born) != len(dead) or born & dead:
            raise WrongResult(f"{len(born - dead)} new workers for {len(dead)} killed")
        if not all(_is_dead(victim) for victim in victims):
            raise WrongResult("a killed worker is still alive")
        for victim in victims:
            os.close(victim.pidfd)
        self._workers = [worker for worker in self._workers if worker.pid not in dead]
        self._adopt(reports)

    def _wait_until_old(self, worker: Worker) -> None:
        left_ns = worker.began_at_ns + OLD_ENOUGH_NS - time.monotonic_ns()
        time.sleep(max(left_ns, 0) / 1e9)


def _is_dead(worker: Worker) -> bool:
    """Return whether *worker* has exited: then its pidfd is readable, pidfd_open(2)."""
    poll = select.poll()
    poll.register(worker.pidfd, select.POLLIN)
    return bool(poll.poll(0))
