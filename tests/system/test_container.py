"""As pid 1 of a container: a pid and a mount namespace, a read-only disk, no root."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from textwrap import dedent

import pytest

from tests.support import LIMIT_S, read_some, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")

_PIDSUP = str(Path(sys.executable).parent / "pidsup")
_CTL = str(Path(sys.executable).parent / "pidsupctl")
_CONTAINER = ("unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--")
_READ_ONLY = """
for place in /run /tmp /var/tmp /dev/shm; do
    mount --bind $place $place
    mount -o remount,bind,ro $place
done
mount -o remount,bind,ro /
cd /
exec "$@"
"""


class Container:
    """Something that runs as pid 1 of a pid namespace.  Owns its process."""

    def __init__(self, command: Sequence[str], log_file: Path, stdin: int | None = None) -> None:
        """Start it."""
        self._log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*_CONTAINER, *command],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        """Return all that was written."""
        return self._log_file.read_text(errors="replace")

    def await_log(self, text: str) -> None:
        """Wait until *text* was written."""
        wait_until(lambda: text in self.log(), f"{text!r} in {self.log()}")

    def send(self, signo: int) -> None:
        """Signal pid 1; unshare has one child, which is ours to name as long as that lives."""
        os.kill(children(self.process.pid)[0], signo)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(LIMIT_S)


def children(pid: int) -> list[int]:
    """Return the direct children of a process of one thread."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextmanager
def container(command: Sequence[str], tmp_path: Path) -> Iterator[Container]:
    """Run a command as pid 1; in the end it is gone."""
    one = Container(command, tmp_path / "container.log")
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()  # and with it pid 1
        one.process.wait()


def run(document: str, tmp_path: Path) -> list[str]:
    """Return the command that supervises by this configuration."""
    file = tmp_path / f"box-{os.getpid()}.toml"
    file.write_text(dedent(document))
    return [_PIDSUP, "run", "-c", str(file)]


@pytest.mark.parametrize(
    ("command", "code"),
    [("sh -c 'exit 7'", 7), ("sh -c 'kill -KILL $$'", 137), ("true", 0), ("no-such-program", 127)],
)
def test_the_code_of_a_critical_watcher_is_the_containers(
    tmp_path: Path, command: str, code: int
) -> None:
    document = f"""
        [watchers.side]
        command = "sleep 1000"
        [watchers.app]
        command = "{command}"
        critical = true
        restart = "no"
        """
    with container(run(document, tmp_path), tmp_path) as box:
        assert box.wait() == code, box.log()


def test_a_critical_watcher_that_is_restarted_goes_on(tmp_path: Path) -> None:
    """Two failures are forgiven; the third end counts."""
    document = """
        [watchers.app]
        command = ["sh", "-c", "echo run; exit 9"]
        critical = true
        start_limit_burst = 2
        restart_delay = "10ms"
        """
    with container(run(document, tmp_path), tmp_path) as box:
        assert box.wait() == 9
        assert [line.endswith("run") for line in box.log().splitlines()].count(True) == 3


def test_a_critical_watcher_that_stops_when_it_gives_up_has_ended(tmp_path: Path) -> None:
    document = """
        [watchers.app]
        command = ["sh", "-c", "exit 9"]
        workers = 2
        critical = true
        start_limit_burst = 0
        on_give_up = "stop"
        """
    with container(run(document, tmp_path), tmp_path) as box:
        assert box.wait() == 9, box.log()


def test_an_ordered_end_is_zero_and_waits_for_every_orphan(tmp_path: Path) -> None:
    """What has daemonized itself is asked to end, and has the time to."""
    done = tmp_path / "done"
    orphan = f"trap 'sleep 0.3; echo > {done}; exit' TERM; echo set; while :; do sleep 0.02; done"
    document = f"""
        [watchers.app]
        command = ["sh", "-c", '''(setsid sh -c "{orphan}" &); exec sleep 1000''']
        """
    with container(run(document, tmp_path), tmp_path) as box:
        box.await_log("set")
        box.send(signal.SIGTERM)
        assert box.wait() == 0
        assert done.exists(), box.log()


def test_an_orphan_that_does_not_end_is_killed_after_orphan_timeout(tmp_path: Path) -> None:
    orphan = "trap : TERM; echo set; while :; do sleep 1; done"
    document = f"""
        supervisor.orphan_timeout = "100ms"
        [watchers.app]
        command = ["sh", "-c", "(setsid sh -c '{orphan}' &); exec sleep 1000"]
        """
    with container(run(document, tmp_path), tmp_path) as box:
        box.await_log("set")
        box.send(signal.SIGTERM)
        assert box.wait() == 0
        assert "KILL sent" in box.log()


def test_signals_reach_the_workers_that_want_them(tmp_path: Path) -> None:
    document = """
        [watchers.app]
        command = ["sh", "-c", "trap 'echo heard' USR1; echo set; while :; do sleep 0.02; done"]
        forward_signals = ["USR1"]
        """
    with container(run(document, tmp_path), tmp_path) as box:
        box.await_log("set")
        box.send(signal.SIGUSR1)
        box.await_log("heard")
        box.send(signal.SIGRTMIN + 3)  # how a container manager halts
        assert box.wait() == 0


def test_neither_a_writable_disk_nor_root_is_needed(tmp_path: Path) -> None:
    document = """
        [watchers.app]
        command = "sleep 1000"
        """
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, sys.executable, "-c", ""], stderr=PIPE, check=False).returncode:
        pytest.skip("*** another user cannot run this Python: it is in a private directory ***")
    tmp_path.chmod(0o755)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    document_file = [_PIDSUP, "run", "-c", "-"]
    text = f'supervisor.name = "sealed-{os.getpid()}"\n' + dedent(document)
    out, into = os.pipe()
    os.write(into, text.encode())
    os.close(into)
    command = [*_CONTAINER, "sh", "-euc", _READ_ONLY, "sh", *nobody, *document_file]
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdin=out, stdout=log, stderr=log)
    os.close(out)
    try:
        wait_until(lambda: "worker started" in log_file.read_text(), "a worker")
        (inside,) = children(process.pid)
        enter = ["nsenter", "-t", str(inside), "--pid", "--mount"]
        ctl = [*enter, *nobody, _CTL, "-n", f"sealed-{os.getpid()}"]
        environment = {**os.environ, "TMPDIR": "/tmp"}
        environment.pop("XDG_RUNTIME_DIR", None)
        status = subprocess.run(
            [*ctl, "status"], capture_output=True, text=True, check=False, env=environment
        )
        assert status.returncode == 0, status
        assert "ready" in status.stdout
        # Which ends the namespace that it is in, often before it could say so.
        subprocess.run([*ctl, "shutdown"], check=False, capture_output=True, env=environment)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()


# --- pidsup exec


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 5"], 5),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
        (["echo", "{slot} {env.HOME} {{slot}} --"], 0),
    ],
)
def test_exec_ends_as_its_command_does(tmp_path: Path, command: list[str], code: int) -> None:
    with container([_PIDSUP, "exec", "--", *command], tmp_path) as box:
        assert box.wait() == code
        if command[0] == "echo":
            assert box.log() == f"{command[1]}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-program"], "no-such-program: No such file or directory"),
        (["/etc/passwd"], "/etc/passwd: Permission denied"),
        (["a {slot} 'b'"], "a {slot} 'b': No such file or directory"),
        (["--directory", "/nope", "true"], "chdir '/nope': No such file or directory"),
        (["--user", "nope", "true"], "user 'nope': there is no such user"),
    ],
)
def test_exec_says_why_there_is_no_command_as_a_shell_does(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    with container([_PIDSUP, "exec", *arguments], tmp_path) as box:
        assert box.wait() in (126, 127)
        assert box.log() == f"pidsup exec: {said}\n"


def test_what_follows_the_first_word_is_the_commands(tmp_path: Path) -> None:
    with container(
        [_PIDSUP, "exec", "--directory", "/", "sh", "-c", 'echo "$@"', "sh", "--", "-x"], tmp_path
    ) as box:
        assert (box.wait(), box.log()) == (0, "-- -x\n")


def test_exec_without_a_command_says_so(tmp_path: Path) -> None:
    with container([_PIDSUP, "exec", "--"], tmp_path) as box:
        assert box.wait() == 2
        assert "name a command" in box.log()


def test_proc_is_not_needed(tmp_path: Path) -> None:
    document = "[watchers.app]\ncommand = ['sh', '-c', 'exit 5']\nrestart = 'no'\ncritical = true\n"
    hide = ["sh", "-euc", 'mount -t tmpfs none /proc; exec "$@"', "sh"]
    with container([*hide, *run(document, tmp_path)], tmp_path) as box:
        assert box.wait() == 5, box.log()
        assert "Traceback" not in box.log()


def test_signals_hurry_what_a_command_has_left_behind(tmp_path: Path) -> None:
    """The command has ended: there is nobody to pass a signal on to."""
    orphan = "trap : TERM; echo set; while :; do sleep 0.02; done"
    script = f"setsid sh -c '{orphan}' & sleep 0.2"
    command = [_PIDSUP, "exec", "--orphan-timeout", "1h", "--", "sh", "-c", script]
    with container(command, tmp_path) as box:
        box.await_log("set")
        (one,) = children(box.process.pid)
        (main,) = children(one)
        wait_until(lambda: main not in children(one), "the command has ended, the other has not")

        def ended_by_signals() -> bool:
            with suppress(IndexError, ProcessLookupError):  # it has
                box.send(signal.SIGTERM)
            return box.process.poll() is not None

        wait_until(ended_by_signals, "the end", every_s=0.02)
        assert box.wait() == 0


def test_a_directory_that_is_missing_is_not_taken_for_the_program(tmp_path: Path) -> None:
    with container([_PIDSUP, "exec", "--directory", "/nowhere", "--", "true"], tmp_path) as box:
        assert box.wait() == 126
        assert box.log() == "pidsup exec: chdir '/nowhere': No such file or directory\n"


def test_exec_passes_signals_on(tmp_path: Path) -> None:
    """Also those that would end a supervisor: the command decides."""
    traps = "".join(f"trap 'echo {name}' {name}; " for name in ("HUP", "USR1", "TERM", "INT"))
    script = f"{traps} trap 'exit 3' QUIT; echo set; while :; do sleep 0.02; done"
    with container([_PIDSUP, "exec", "--", "sh", "-c", script], tmp_path) as box:
        box.await_log("set")
        for signo in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            box.send(signo)
            box.await_log(signo.name.removeprefix("SIG"))
        box.send(signal.SIGQUIT)
        assert box.wait() == 3


def test_exec_reaps_the_orphans_of_its_command(tmp_path: Path) -> None:
    script = "for i in 1 2 3; do sh -c 'true & exit'; done; sleep 0.1; ps -A -o stat= | grep -c Z"
    with container([_PIDSUP, "exec", "--", "sh", "-c", script], tmp_path) as box:
        assert box.wait() == 1, box.log()  # grep has counted none
        assert box.log() == "0\n"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Yield our end and the other end of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_exec_gives_its_command_the_terminal(terminal: tuple[int, int]) -> None:
    """A shell that runs jobs works in it, and Ctrl-C is the command's, not the supervisor's."""
    ours, theirs = terminal
    script = "trap 'echo caught' INT; echo set; read line; echo got $line; exit 4"
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", _PIDSUP, "exec", "--", "bash", "-c", script],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    seen = b""
    try:
        for send, expected in ((b"", b"set"), (b"\x03", b"caught"), (b"word\n", b"got word")):
            os.write(ours, send)
            while expected not in seen:
                seen += read_some(ours)
        assert process.wait(LIMIT_S) == 4
    finally:
        process.kill()
        process.wait()
