"""pidsupctl -H, through a real sshd on this machine."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import LIMIT_S, read_line, wait_until
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]
BIN = Path(sys.executable).parent


class Host(NamedTuple):
    """What listens for ssh."""

    port: int
    environment: dict[str, str]  #: with PIDSUP_SSH

    @property
    def name(self) -> str:
        """Return what -H takes."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pidsupctl on it."""
        return subprocess.run(
            [BIN / "pidsupctl", "-H", self.name, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=self.environment,
        )


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Run an sshd with keys of its own, on loopback, in the foreground."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None or os.geteuid() != 0:
        assert not os.environ.get("CI"), "CI must have sshd, and be root: .ci/setup tools"
        pytest.skip("*** needs root and sshd: .ci/setup tools installs it ***")
    directory = tmp_path_factory.mktemp("ssh")
    port, theirs, ours = _free_port(), _key(directory / "host"), _key(directory / "user")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates its privileges
    keys = directory / "authorized"
    keys.write_bytes(ours.with_suffix(".pub").read_bytes())
    config = directory / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {theirs}\nAuthorizedKeysFile {keys}\n"
        f"PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"PasswordAuthentication no\nSetEnv PATH={BIN}:/usr/bin:/bin\n"
    )
    process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
    ssh = (
        f"ssh -F none -i {ours} -o BatchMode=yes -o StrictHostKeyChecking=no "
        f"-o UserKnownHostsFile={directory / 'known'} -o LogLevel=ERROR"
    )
    environment = {**os.environ, "PIDSUP_SSH": ssh}
    environment.pop("PIDSUP_NAME", None)
    try:
        wait_until(lambda: _listens(port), "sshd listens")
        yield Host(port, environment)
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bridges(name: str) -> list[str]:
    """Return the far ends that run for a supervisor."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[-2:-1] == [b"stdio"] and f"--name={name}".encode() in words:
                found.append(path.parent.name)
    return found


WEB = "watchers.web = { command = ['sh', '-c', 'echo hello; exec sleep 1000'], workers = 2 }"


def test_commands_and_exit_codes_are_as_here(daemon: Start, host: Host) -> None:
    it = daemon(WEB)
    it.await_slots(lambda slots: slots["web:1"]["state"] == "ready")

    shown = host.ctl("-n", it.name, "status")
    stopped = host.ctl("-n", it.name, "stop", "web:1")
    unknown = host.ctl("-n", it.name, "stop", "nope")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("web      ready 2/2\n")
    assert (stopped.returncode, stopped.stdout) == (0, "stop: done, 1 slot\n")
    assert unknown.returncode == 5
    assert it.slots()["web:1"]["state"] == "stopped"
    there = json.loads(host.ctl("-n", it.name, "changes", "-o", "json").stdout)
    assert there["changes"][0]["actor"]["comm"] == "pidsupctl"


def test_the_only_supervisor_there_is_found(daemon: Start, host: Host) -> None:
    it = daemon(WEB)
    done = host.ctl("--socket", it.socket, "status", "-o", "json")
    assert json.loads(done.stdout)["name"] == it.name


def test_streams_work_through_it(daemon: Start, host: Host) -> None:
    it = daemon(WEB)
    start = [str(BIN / "pidsupctl"), "-H", host.name, "-n", it.name]
    command = [*start, "logs", "-f", "-o", "plain", "web:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=host.environment
    ) as logs:
        assert logs.stdout is not None
        assert read_line(logs.stdout.fileno()) == b"hello\n"
        it.ctl("restart", "web:0")
        assert read_line(logs.stdout.fileno()) == b"hello\n"
        logs.send_signal(signal.SIGINT)
        assert logs.wait(LIMIT_S) == 130
    wait_until(lambda: not bridges(it.name), "the far end is gone, too")


def test_a_supervisor_that_is_not_there_is_told_from_a_host_that_is_not(host: Host) -> None:
    nobody = host.ctl("-n", "no-such-supervisor", "status")
    assert nobody.returncode == 7
    assert f"{host.name}: no supervisor 'no-such-supervisor' is running" in nobody.stderr


def test_a_host_that_cannot_be_reached_is_said(host: Host) -> None:
    closed = host._replace(port=_free_port())
    done = closed.ctl("status")
    assert done.returncode == 7
    assert done.stderr.startswith(f"pidsupctl: cannot reach {closed.name}: ssh: connect to host")


def test_a_host_without_pidsup_is_said(host: Host, tmp_path: Path) -> None:
    ssh = host.environment["PIDSUP_SSH"]
    script = tmp_path / "ssh"
    # As on a host whose PATH does not have it: the last words are the command.
    script.write_text(f"#!/bin/sh\nexec {ssh} -p {host.port} 127.0.0.1 no-such-pidsupctl\n")
    script.chmod(0o755)
    done = host._replace(environment={**host.environment, "PIDSUP_SSH": str(script)}).ctl("status")
    assert done.returncode == 7
    assert f"{host.name} has no pidsupctl in its PATH" in done.stderr


def test_no_ssh_is_said(host: Host) -> None:
    done = host._replace(environment={**host.environment, "PIDSUP_SSH": "/nope/ssh"}).ctl("status")
    assert done.returncode == 7
    assert "cannot run /nope/ssh: No such file or directory" in done.stderr


def test_a_host_is_no_option_of_ssh(host: Host, tmp_path: Path) -> None:
    """-oProxyCommand=... as a host would run a program here."""
    done = subprocess.run(
        [BIN / "pidsupctl", "-H", f"-oProxyCommand=touch {tmp_path}/pwned", "status"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False, env=host.environment,
    )  # fmt: skip
    assert done.returncode in (2, 7)
    assert not (tmp_path / "pwned").exists()


def test_the_far_end_copies_both_ways_and_ends(daemon: Start) -> None:
    it = daemon(WEB)
    call = b'{"method":"org.pidsup.Supervisor.Status","parameters":{"selectors":["web:0"]}}\0'
    done = subprocess.run(
        [BIN / "pidsupctl", "-n", it.name, "stdio"],
        input=call, capture_output=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout.rstrip(b"\0"))["parameters"]["name"] == it.name


def test_doctor_looks_at_the_other_machine(daemon: Start, host: Host) -> None:
    it = daemon(WEB)
    done = host.ctl("-n", it.name, "doctor")
    assert done.returncode == 0
    assert f"'{it.name}' listens at" in done.stdout
