"""A supervisor on another machine: ssh runs `pidsupctl stdio` there, which is its socket."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from pidsup.cli.ctl.endings import NOT_RUNNING, USAGE, Complaint
from pidsup.client import Client, NotAnswering, NotRunning
from pidsup.control.protocol import Message

_END_S = 5.0  # for ssh, once its connection is over
_SSH_FAILED, _NO_PROGRAM = 255, 127  # ssh(1); a shell


class RemoteClient(Client):
    """A connection through ssh.  Owns the process."""

    def __init__(self, host: str, name: str | None, path: str | None) -> None:
        """Start ssh; whether the host can be reached is known with the first answer."""
        ours, its = socket.socketpair()
        self._host = host
        try:
            self._ssh = subprocess.Popen(  # noqa: S603  the user's own ssh
                command(host, name, path),
                stdin=its.fileno(),
                stdout=its.fileno(),
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            ours.close()
            raise Complaint(
                f"cannot reach {host}: cannot run {error.filename}: {error.strerror}", NOT_RUNNING
            ) from error
        finally:
            its.close()
        super().__init__(ours)

    def call(
        self,
        method: str,
        *,
        when_slow: Callable[[], object] | None = None,
        within_s: float | None = None,
        **parameters: object,
    ) -> Message:
        """Call as a Client does, but without limits: somebody may have to type a password."""
        try:
            return super().call(method, when_slow=None, within_s=None, **parameters)
        except (NotRunning, NotAnswering, OSError) as error:
            raise self._what_happened() from error

    def stream(self, method: str, **parameters: object) -> Iterator[Message]:
        """Stream as a Client does."""
        try:
            yield from super().stream(method, **parameters)
        except (NotRunning, OSError) as error:
            raise self._what_happened() from error

    def close(self) -> None:
        """Hang up, and see ssh out; it would wait for the far end, which may say nothing more."""
        super().close()
        self._ssh.terminate()
        self._finish()

    def _finish(self) -> str:
        """Wait for the end of ssh; return what it has said."""
        pipe: IO[bytes] | None = self._ssh.stderr
        said = b""
        if pipe is not None and not pipe.closed:
            try:
                said = self._ssh.communicate(timeout=_END_S)[1]
            except subprocess.TimeoutExpired:
                self._ssh.kill()
                said = self._ssh.communicate()[1]
        return said.decode(errors="replace").strip()

    def _what_happened(self) -> Complaint:
        """Tell apart: ssh failed, pidsupctl is not there, or has no supervisor to talk to."""
        super().close()
        said = self._finish()
        code = self._ssh.returncode
        last = said.rpartition("\n")[2].removeprefix("pidsupctl: ")
        if code == _NO_PROGRAM:
            return Complaint(
                f"{self._host} has no pidsupctl in its PATH: install pidsup there ({last})",
                NOT_RUNNING,
            )
        if code == 0:
            return Complaint(f"{self._host}: the supervisor has hung up", NOT_RUNNING)
        if code == _SSH_FAILED or code < 0:
            return Complaint(f"cannot reach {self._host}: {last or 'ssh has failed'}", NOT_RUNNING)
        return Complaint(f"{self._host}: {last}", code)


def command(host: str, name: str | None, path: str | None) -> list[str]:
    """Return what connects to the supervisor at *host*, "user@host:port"."""
    words = ["pidsupctl"]
    if name:
        words.append(f"--name={name}")
    if path:
        words.append(f"--socket={path}")
    return remote(host, [*words, "stdio"])


def remote(host: str, words: Iterable[str]) -> list[str]:
    """Return what runs a command at *host*, whose shell gets each word as it is."""
    own = os.environ.get("PIDSUP_SSH", "")
    try:
        ssh = shlex.split(own) or ["ssh", "-o", "ConnectTimeout=15"]
    except ValueError as error:
        raise Complaint(f"PIDSUP_SSH, {own!r}, is no command: {error}", USAGE) from error
    place, port = split(host)
    ssh += ["-T", *(["-p", port] if port else []), "--", place]
    return [*ssh, *map(shlex.quote, words)]


def split(host: str) -> tuple[str, str]:
    """Split "user@host:port", "user@[::1]:port", "::1"."""
    user, at, place = host.rpartition("@")
    if place.startswith("["):
        place, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        place, _, port = place.partition(":")
    else:
        port = ""
    if not place:
        raise Complaint(f"{host!r} must be [USER@]HOST[:PORT]", USAGE)
    return user + at + place, port
