"""What the real daemon says to whoever has set NOTIFY_SOCKET."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from errno import EADDRINUSE
from pathlib import Path

import pytest

from tests.support import LIMIT_S, wait_until
from tests.system.daemon import Daemon
from tests.system.manager import Manager

Start = Callable[..., Daemon]
_PIDSUP = str(Path(sys.executable).with_name("pidsup"))

#: A worker that says that it is ready once a file is there.
NOTIFIES = """
import os, socket, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.005)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
time.sleep(1000)
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(tmp_path / "notify")
    yield one
    one.close()


def notifying(tmp_path: Path, name: str, **options: str) -> str:
    """Configure a watcher whose workers say that they are ready once a file has its name."""
    script = tmp_path / "notifies.py"
    script.write_text(NOTIFIES)
    lines = "".join(f"{key} = {value}\n" for key, value in options.items())
    return f"""
[watchers.{name}]
command = ["{sys.executable}", "{script}", "{tmp_path / name}"]
type = "notify"
{lines}"""


def test_it_is_ready_when_each_watcher_is(daemon: Start, manager: Manager, tmp_path: Path) -> None:
    document = notifying(tmp_path, "db", workers="2") + notifying(tmp_path, "web", after='["db"]')
    it = daemon(document, environment=manager.environment())
    manager.wait_for("STATUS", "starting: 0 of 3 workers ready; web waits for db")
    assert not it.status()["ready"]
    for name in ("db", "web"):
        assert not manager.said("READY")
        (tmp_path / name).touch()
    assert manager.wait_for("READY") == {"READY": "1", "STATUS": "3 workers ready"}
    assert it.status()["ready"]


def test_a_minimum_is_enough(daemon: Start, manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "web").touch()
    document = notifying(tmp_path, "web") + notifying(tmp_path, "late", min_ready="0")
    daemon(document, environment=manager.environment())
    assert manager.wait_for("READY")["STATUS"] == "1 of 2 workers ready"


def test_an_abstract_address_will_do(daemon: Start, tmp_path: Path) -> None:
    name = f"pidsup-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(LIMIT_S)
        daemon(SLEEPER, environment={"NOTIFY_SOCKET": f"@{name}"})
        while not sock.recv(4096).startswith(b"READY=1\n"):
            pass


def test_workers_are_not_told_whom_we_tell(daemon: Start, manager: Manager, tmp_path: Path) -> None:
    it = daemon(SLEEPER, environment=manager.environment(WATCHDOG_USEC="9000000"))
    manager.wait_for("READY")
    (pid,) = it.pids().values()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in environment
    assert b"WATCHDOG_USEC" not in environment


def test_where_nobody_wants_to_know_nothing_is_loaded(daemon: Start, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    code = _AS_PIDSUP.format(
        f"""
import atexit
atexit.register(lambda: open({str(loaded)!r}, "w").write(" ".join(sys.modules)))
"""
    )
    it = daemon(SLEEPER, prefix=[sys.executable, "-c", code], environment={"NOTIFY_SOCKET": ""})
    it.end()
    modules = loaded.read_text().split()
    assert "pidsup.supervisor.supervisor" in modules
    assert not {"sdnotify", "pidsup.supervisor.upward"} & set(modules)


def test_that_nobody_is_there_to_be_told_is_said_and_no_obstacle(
    daemon: Start, tmp_path: Path
) -> None:
    it = daemon(SLEEPER, environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    said = "cannot notify systemd why='No such file or directory' next='nobody is told'"
    wait_until(lambda: said in it.log(), it.log())


def test_a_manager_that_does_not_listen_holds_nothing_up(daemon: Start, manager: Manager) -> None:
    """What it misses meanwhile it hears later, in order, and no more than it needs."""
    it = daemon(SLEEPER, environment=manager.environment(WATCHDOG_USEC="4000"))
    wait_until(lambda: it.status()["ready"], "ready")
    for _ in range(3):
        assert it.ctl("restart", "web").returncode == 0
    it.send(signal.SIGTERM)
    manager.wait_for("STATUS", "stopped")
    assert it.wait() == 0
    keys = [next(iter(m)) for m in manager.messages if not {"READY", "STOPPING"}.isdisjoint(m)]
    assert keys == ["READY", "STOPPING"]
    assert len(manager.messages) < 1000


# --- slow and vain starts

_LISTENS = """
[sockets.http]
listen = "{taken}"
[watchers.web]
command = ["true"]
sockets = ["http"]
"""


def test_more_time_is_asked_for_while_a_start_gets_on(
    daemon: Start, manager: Manager, tmp_path: Path
) -> None:
    daemon(notifying(tmp_path, "web"), environment=manager.environment())
    for _ in range(2):
        message = manager.wait(lambda m: "EXTEND_TIMEOUT_USEC" in m, "more time")
        assert 5_000_000 < int(message["EXTEND_TIMEOUT_USEC"]) <= 15_000_000
    (tmp_path / "web").touch()
    manager.wait_for("READY")
    assert [m for m in manager.hear(0.3) if "EXTEND_TIMEOUT_USEC" in m] == []


def test_a_start_that_cannot_succeed_fails_at_once_and_says_why(manager: Manager) -> None:
    document = """
        [watchers.db]
        command = ["sleep", "1000"]
        [watchers.web]
        command = ["false"]
        restart = "no"
        type = "notify"
        """
    done = run(document, manager)
    assert done.returncode == 1
    why = "cannot start: web:0 exited with 1; restart=no"
    assert manager.messages[-1] == {"STATUS": why, "EXIT_STATUS": "1"}
    assert not manager.said("READY")
    assert manager.said("STOPPING") == ["1"]
    assert "cannot become ready why='web:0 exited with 1; restart=no'" in done.stderr


def test_the_same_without_a_manager_goes_on(daemon: Start) -> None:
    it = daemon('[watchers.web]\ncommand = ["false"]\nrestart = "no"\ntype = "notify"')
    it.await_slots(lambda slots: slots["web:0"]["state"] == "failed")
    assert it.status()["state"] == "running"
    assert not it.status()["ready"]


@pytest.mark.parametrize(
    ("document", "why", "ends"),
    [
        ("x", "not valid TOML", {"EXIT_STATUS": "2"}),
        ('[watchers.a]\ncomand = ["true"]', "watchers.a: has no command", {"EXIT_STATUS": "2"}),
        (_LISTENS, "Address already in use", {"EXIT_STATUS": "1", "ERRNO": str(EADDRINUSE)}),
        (
            _LISTENS.replace("{taken}", "/größe/x"),
            "directory '/größe' does not exist",
            {"EXIT_STATUS": "1", "ERRNO": "2"},
        ),
    ],
)
def test_what_keeps_it_from_running_is_told(
    manager: Manager, document: str, why: str, ends: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ":".join(map(str, taken.getsockname()))
        done = run(document.replace("{taken}", address), manager)
    (message,) = manager.messages
    assert why in message["STATUS"]
    assert message == {"STATUS": message["STATUS"], **ends}
    assert message["STATUS"] in done.stderr
    assert done.returncode == int(ends["EXIT_STATUS"])


def test_that_it_runs_already_is_told(daemon: Start, manager: Manager) -> None:
    it = daemon(SLEEPER)
    done = run(f"supervisor.name = '{it.name}'\n{SLEEPER}", manager)
    assert done.returncode == 1
    assert f"cannot run '{it.name}'" in manager.messages[0]["STATUS"]


def test_an_address_that_cannot_be_told_is_refused() -> None:
    done = run(SLEEPER, environment={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert done.returncode == 1
    assert "NOTIFY_SOCKET is 'vsock:2:1234': only paths and abstract names (@)" in done.stderr


def test_help_is_no_failure(manager: Manager) -> None:
    done = subprocess.run(
        [_PIDSUP, "run", "--help"], env={**os.environ, **manager.environment()},
        capture_output=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"usage: ")
    assert manager.hear() == []


# --- while it runs


def test_the_status_follows_what_happens(daemon: Start, manager: Manager) -> None:
    it = daemon(
        """
        [watchers.web]
        command = ["sleep", "1000"]
        workers = 3
        restart = "no"
        """,
        environment=manager.environment(),
    )
    manager.wait_for("READY")
    os.kill(it.pids()["web:1"], signal.SIGSEGV)
    manager.wait_for("STATUS", "2 of 3 workers ready; web:1 killed by SEGV")
    assert it.ctl("start", "web:1").returncode == 0
    manager.wait_for("STATUS", "3 workers ready")


def test_a_stop_is_told_with_what_it_waits_for(daemon: Start, manager: Manager) -> None:
    it = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
        stop_timeout = "700ms"
        """,
        environment=manager.environment(),
    )
    manager.wait_for("READY")
    wait_until(lambda: it.descendants()[1:], "the trap is set")
    it.send(signal.SIGTERM)
    assert manager.wait_for("STOPPING")["STATUS"].startswith("stopping: 1 worker left; web:0: TERM")
    manager.wait(lambda m: "EXTEND_TIMEOUT_USEC" in m, "more time")
    manager.wait_for("STATUS", "stopped")
    assert it.wait() == 0


def test_the_code_that_it_ends_with_is_told(manager: Manager) -> None:
    done = run('[watchers.job]\ncommand = ["sh", "-c", "exit 7"]\nrestart = "no"\ncritical = true',
               manager)  # fmt: skip
    assert done.returncode == 7
    assert manager.messages[-1]["EXIT_STATUS"] == "7"


# --- the watchdog

#: Runs pidsup in a Python in which something was changed.
_AS_PIDSUP = """
import sys
sys.argv = sys.argv[1:]
{}
from pidsup.cli.pidsup import main
sys.exit(main())
"""

#: Methods that do nothing once they are broken, and what is found out about that.
_BREAKS = {
    "pidsup.loop.sources:Sources._ready": "an event has been on its way for 0.1 s",
    "pidsup.process.spawner:Spawner._drain": "a start waits, and none has been tried for 0 s",
    "pidsup.process.child:Child.watch": "nobody would hear of the end of web:0",
    "pidsup.process.child:Child.reap": "has been dead for 0 s, and not reaped",
    "pidsup.watcher.slot:Slot._due": "a deadline of web:0 has passed 0 s ago",
}


@pytest.mark.parametrize("what", _BREAKS)
def test_the_watchdog_is_fed_until_supervision_breaks(
    manager: Manager, tmp_path: Path, what: str
) -> None:
    """Whatever breaks, and though the loop still turns."""
    broken = tmp_path / "broken"
    module, _, name = what.partition(":")
    owner, method = name.split(".")
    change = f"""
import os
from pidsup.supervisor import vitals
vitals.LATE_S = 0.15
from {module} import {owner}
real = {owner}.{method}
broken = lambda: os.path.exists({str(broken)!r})
{owner}.{method} = lambda self, *of: None if broken() else real(self, *of)
"""
    file = tmp_path / "it.toml"
    file.write_text(
        # Killed in the end, it could not remove its runtime directory: it has none.
        "supervisor.control_socket = false\n"
        '[watchers.web]\ncommand = ["sleep", "1000"]\nrestart_delay = "10ms"\nmin_uptime = "1h"'
    )
    with (tmp_path / "log").open("w") as log:
        it = subprocess.Popen(
            [sys.executable, "-c", _AS_PIDSUP.format(change), "pidsup", "run", "-c", str(file)],
            env={**os.environ, **manager.environment(WATCHDOG_USEC="200000")},
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        manager.wait_for("READY")
        for _ in range(3):
            manager.wait_for("WATCHDOG")
        broken.touch()
        (worker,) = _children_of(it)
        os.kill(worker, signal.SIGKILL)
        manager.wait_for("STATUS", _BREAKS[what])
        assert not [m for m in manager.hear(0.5) if "WATCHDOG" in m]
        said = (tmp_path / "log").read_text()
        assert said.count("supervision does not work why=") == 1
    finally:
        it.send_signal(signal.SIGSTOP)  # so that it reaps none of them meanwhile
        for pid in _children_of(it):
            os.kill(pid, signal.SIGKILL)
        it.kill()
        it.wait(LIMIT_S)


def _children_of(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return list(map(int, children.split()))


def test_it_is_not_fed_when_it_is_another_process_that_is_meant(
    daemon: Start, manager: Manager
) -> None:
    daemon(SLEEPER, environment=manager.environment(WATCHDOG_USEC="20000", WATCHDOG_PID="1"))
    manager.wait_for("READY")
    assert not [m for m in manager.hear(0.1) if "WATCHDOG" in m]


# ---

SLEEPER = '[watchers.web]\ncommand = ["sleep", "1000"]'


def run(
    document: str, manager: Manager | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a supervisor to its end."""
    told = {} if manager is None else manager.environment()
    done = subprocess.run(
        [_PIDSUP, "run", "-c", "-"],
        input=document, env={**os.environ, **told, **(environment or {})},
        capture_output=True, text=True, timeout=LIMIT_S, check=False, start_new_session=True,
    )  # fmt: skip
    if manager is not None:
        manager.hear()  # what it has said
    return done
