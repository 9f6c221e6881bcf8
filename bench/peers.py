"""The supervisors that are compared: how each is told to keep N workers running."""

from __future__ import annotations

import json
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.inbox import WrongResult
from pidsup.control import paths


@dataclass(frozen=True, slots=True)
class Job:
    """What every peer is asked to do: keep *count* copies of *command* running."""

    directory: Path  #: scratch, the peer's own
    command: list[str]
    count: int
    flapping: bool = False  #: the command exits at once and is restarted without limit
    output: Path | None = None  #: a file for the output; else there is none
    flood: tuple[str, ...] = ()  #: a command beside them that floods a file; pidsup only


class Connection(Protocol):
    """An open control connection."""

    def fileno(self) -> int:
        """Return the descriptor, for polling."""

    def ask(self) -> None:
        """Send a request for the status of all workers."""

    def answered(self) -> bool:
        """Read what is there; return whether the answer is complete."""

    def check(self) -> int:
        """Check the answers since the last check; return how many.

        Apart from `answered`, because reading them takes time from the peer.
        """

    def close(self) -> None:
        """Close the connection."""


class Peer(Protocol):
    """One supervisor."""

    @property
    def name(self) -> str:
        """What it is called in the results."""

    @property
    def slow(self) -> bool:
        """Whether it takes a second per restart or more, so that few samples must do."""

    def prepare(self, job: Job) -> list[str]:
        """Write the configuration; return the command of the daemon, in the foreground."""

    def status_command(self, job: Job) -> list[str]:
        """Return the command that prints the status of all workers."""

    def connect(self, job: Job) -> Connection | None:
        """Open a control connection, where the peer has a measured one."""

    def clean(self, job: Job) -> None:
        """Remove what the daemon may have left outside the job's directory."""


@dataclass(frozen=True, slots=True)
class Floor:
    """floor.c: vfork, pidfd and epoll in C, and nothing else."""

    program: Path
    name: str = "floor"
    slow: bool = False

    def prepare(self, job: Job) -> list[str]:
        """Return the command; there is no configuration."""
        return [str(self.program), str(job.count), *job.command]

    def status_command(self, job: Job) -> list[str]:
        """Refuse: it has none."""
        raise NotImplementedError(f"{self.name} has no status command")

    def connect(self, job: Job) -> None:
        """Return None: nobody can connect to it."""

    def clean(self, job: Job) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Supervisord:
    """supervisord in its fastest legitimate configuration."""

    bin: Path
    name: str = "supervisord"
    slow: bool = True

    def prepare(self, job: Job) -> list[str]:
        """Write supervisord.conf; each worker holds a pipe, hence minfds."""
        (job.directory / "supervisord.conf").write_text(f"""\
[supervisord]
nodaemon=true
user=root
logfile={job.directory}/supervisord.log
pidfile={job.directory}/supervisord.pid
childlogdir={job.directory}
minfds={1024 if job.count <= 200 else 4096}

[unix_http_server]
file={job.directory}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{job.directory}/supervisor.sock

[program:w]
command={" ".join(job.command)}
process_name=w%(process_num)d
numprocs={job.count}
startsecs=0
autorestart=true
redirect_stderr=true
stdout_logfile={job.output or "NONE"}
stdout_logfile_maxbytes=0
""")
        return [str(self.bin / "supervisord"), "-c", f"{job.directory}/supervisord.conf"]

    def status_command(self, job: Job) -> list[str]:
        """Return supervisorctl status."""
        configuration = f"{job.directory}/supervisord.conf"
        return [str(self.bin / "supervisorctl"), "-c", configuration, "status"]

    def connect(self, job: Job) -> None:
        """Return None: its control connections are not measured."""

    def clean(self, job: Job) -> None:
        """Do nothing: all it makes is in the job's directory."""


@dataclass(frozen=True, slots=True)
class Pidsup:
    """pidsup, as installed for its users."""

    bin: Path
    name: str = "pidsup"
    slow: bool = False

    def prepare(self, job: Job) -> list[str]:
        """Write pidsup.toml, with defaults but for what a flapping worker needs."""
        (job.directory / "pidsup.toml").write_text(f"""\
[supervisor]
name = "{job.directory.name}"

[watchers.w]
command = {json.dumps(job.command)}
workers = {job.count}
min_uptime = "{0 if job.flapping else 1}s"
stdout = "{job.output or "null"}"
stderr = "null"
log_max_size = 0
{_flood(job) if job.flood else ""}""")
        return [str(self.bin / "pidsup"), "run", "-c", f"{job.directory}/pidsup.toml"]

    def status_command(self, job: Job) -> list[str]:
        """Return pidsupctl status."""
        return [str(self.bin / "pidsupctl"), "-n", job.directory.name, "status", "--all"]

    def connect(self, job: Job) -> VarlinkConnection:
        """Connect to the control socket."""
        return VarlinkConnection(paths.socket_path(job.directory.name))

    def clean(self, job: Job) -> None:
        """Remove the runtime directory, which bears a name of ours alone."""
        shutil.rmtree(_runtime_directory(job), ignore_errors=True)


class VarlinkConnection:
    """Owns a connection to pidsup's control socket; one request at a time."""

    REQUEST = b'{"method":"org.pidsup.Supervisor.Status","parameters":{}}\0'

    def __init__(self, path: str) -> None:
        """Connect to *path*; wait for at most 5 s until somebody listens there."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = bytearray()
        deadline = time.monotonic() + 5
        while self._socket.connect_ex(path) != 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"cannot connect to {path}: nobody listens")
            time.sleep(0.01)

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return self._socket.fileno()

    def ask(self) -> None:
        """Send a Status request."""
        self._socket.sendall(self.REQUEST)

    def answered(self) -> bool:
        """Read what is there; return whether the answer is complete."""
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("cannot read the answer to Status: connection closed")
        self._received += data
        return data.endswith(b"\0")

    def check(self) -> int:
        """Check that each answer since the last check is a status; return how many."""
        answers = bytes(self._received).split(b"\0")[:-1]
        self._received.clear()
        for answer in map(json.loads, answers):
            if "error" in answer or not answer["parameters"]:
                raise WrongResult(f"Status was answered with {answer}")
        return len(answers)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _flood(job: Job) -> str:
    return f"""
[watchers.flood]
command = {json.dumps(job.flood)}
stdout = "{job.directory}/flood"
log_keep = 1
"""


def _runtime_directory(job: Job) -> Path:
    return Path(paths.base(), job.directory.name)
