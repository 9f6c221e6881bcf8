"""What a real systemd makes of what it is told."""

from __future__ import annotations

import time
from textwrap import dedent

import pytest

from tests.support import wait_until
from tests.system.box import Box

# It says that it is ready after so many seconds, and takes as many to stop.
_SLOW = """
import os, signal, socket, sys, time
def stop(*_):
    time.sleep(float(sys.argv[2]))
    sys.exit()
signal.signal(signal.SIGTERM, stop)
time.sleep(float(sys.argv[1]))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
    to.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    signal.pause()
"""


class Service:
    """A supervisor as a service."""

    def __init__(self, box: Box) -> None:
        self.box = box
        box.put("/opt/slow.py", _SLOW)

    def configure(self, document: str) -> None:
        """Write the configuration; SLOW in it stands for the command of a slow worker."""
        text = dedent(document).replace("SLOW", f'"{self.box.python}", "/opt/slow.py"')
        self.box.put("/etc/pidsup/it.toml", text)

    def unit(self, *lines: str, python: str = "") -> None:
        """Write the unit, with these lines; *python* code is run first."""
        start = f"{self.box.pidsup} run -c /etc/pidsup/it.toml"
        if python:
            code = f"import sys\nsys.argv[0] = 'pidsup'\n{python}\n"
            code += "from pidsup.cli.pidsup import main\nsys.exit(main())\n"
            self.box.put("/opt/changed.py", code)
            start = f"{self.box.python} /opt/changed.py run -c /etc/pidsup/it.toml"
        text = "[Service]\nType=notify\nExecStart={}\n{}\n"
        self.box.put("/etc/systemd/system/it.service", text.format(start, "\n".join(lines)))
        self.box.systemctl("daemon-reload")

    def start(self) -> int:
        """Start it, and return the exit code of systemctl."""
        return self.box.systemctl("start", "it", check=False).returncode

    def get(self, name: str) -> str:
        """Return a property."""
        return self.box.show("it", name)[name]


@pytest.fixture
def it(box: Box) -> Service:
    return Service(box)


def test_start_returns_when_all_are_ready_and_the_status_says_so(it: Service) -> None:
    it.configure("""
        [watchers.web]
        command = [SLOW, "0.5", "0"]
        type = "notify"
        workers = 2
        """)
    it.unit()
    began_at = time.monotonic()
    assert it.start() == 0
    assert time.monotonic() - began_at >= 0.5
    assert 'Status: "2 workers ready"' in it.box.status("it")
    it.box.systemctl("stop", "it")
    assert it.get("Result") == "success"


def test_a_slow_start_and_a_slow_stop_get_the_time_that_their_workers_have(it: Service) -> None:
    """The unit would allow a second each."""
    it.configure("""
        [watchers.web]
        command = [SLOW, "2.5", "2.5"]
        type = "notify"
        """)
    it.unit("TimeoutSec=1s")
    assert it.start() == 0
    it.box.systemctl("stop", "it")
    assert it.get("Result") == "success"


def test_a_start_that_cannot_succeed_fails_long_before_the_timeout(it: Service) -> None:
    """What is missing is told in its own letters."""
    it.configure("""
        [watchers.web]
        command = ["/opt/größe"]
        restart_delay = "10ms"
        """)
    it.unit("TimeoutStartSec=1h")
    assert it.start() != 0
    assert it.get("Result") == "exit-code"
    assert it.get("StatusText").startswith("cannot start: web:0: ")
    assert "/opt/größe" in it.get("StatusText")
    assert 'Status: "cannot start: web:0: ' in it.box.status("it")


def test_a_crash_loop_gets_no_more_time(it: Service) -> None:
    it.configure("""
        [watchers.web]
        command = ["sleep", "0.2"]
        type = "notify"
        restart_delay = "0.1s"
        restart_factor = 1
        start_limit_burst = 10000
        [watchers.ready]
        command = ["sleep", "1000"]
        """)
    it.unit("TimeoutStartSec=7s")  # the beginning itself is progress for as long
    assert it.start() != 0
    assert it.get("Result") == "timeout"


def test_a_start_that_systemd_times_out_says_what_failed(it: Service) -> None:
    it.configure("""
        [watchers.slow]
        command = ["sleep", "1000"]
        type = "notify"
        start_timeout = "2s"
        start_limit_interval = "1s"
        """)
    it.unit("TimeoutStartSec=6s")
    assert it.start() != 0
    assert it.get("Result") == "timeout"
    assert it.get("StatusText").startswith("cannot start: slow:0: it was not ready within 2 s")
    said = it.box.journal("-u", "it", "-g", "stopped before it was ready", "-o", "cat")
    assert said.count("it was not ready within 2 s") == 1


def test_why_it_does_not_run_is_told_with_the_kernels_number(it: Service) -> None:
    it.configure(
        """
        [sockets.http]
        listen = "127.0.0.1:{port}"
        [watchers.web]
        command = ["sleep", "1000"]
        sockets = ["http"]
        """.replace("{port}", "18080")
    )
    it.box.put("/etc/systemd/system/other.socket", "[Socket]\nListenStream=127.0.0.1:18080\n")
    it.box.put("/etc/systemd/system/other.service", "[Service]\nExecStart=/bin/true\n")
    it.unit()
    it.box.systemctl("start", "other.socket")
    assert it.start() != 0
    assert "cannot listen on 127.0.0.1:18080" in it.get("StatusText")
    assert it.get("StatusErrno") == "98"


def test_a_bad_configuration_is_what_the_status_shows(it: Service) -> None:
    it.configure("[watchers.web]\ncomand = 'sleep'")
    it.unit()
    assert it.start() != 0
    assert it.get("ExecMainStatus") == "2"
    assert it.get("StatusText").startswith("/etc/pidsup/it.toml:1: watchers.web: has no command")


def test_a_reload_is_seen_while_it_goes_on(it: Service) -> None:
    document = """
        [watchers.web]
        command = [SLOW, "{}", "0"]
        type = "notify"
        """
    it.configure(document.replace("{}", "0"))
    it.unit("ExecReload=/bin/kill -HUP $MAINPID")
    assert it.start() == 0
    it.configure(document.replace("{}", "1.5"))
    it.box.systemctl("kill", "--kill-who=main", "--signal=HUP", "it")
    it.box.wait_for("it", "reloading")
    assert it.get("StatusText").startswith("reloading: ")
    it.box.wait_for("it", "active")
    wait_until(lambda: it.get("StatusText") == "1 worker ready", "status", every_s=0.05)
    it.configure("x")
    it.box.systemctl("kill", "--kill-who=main", "--signal=HUP", "it")
    wait_until(lambda: "not valid TOML" in it.get("StatusText"), "told", every_s=0.05)
    assert it.get("StatusText").startswith("1 worker ready; ")
    assert it.get("ActiveState") == "active"


def test_the_watchdog_ends_a_supervisor_that_does_not_supervise(it: Service) -> None:
    """And leaves one alone that does."""
    it.configure('[watchers.web]\ncommand = ["sleep", "1000"]\n')
    it.unit(
        "WatchdogSec=600ms",
        "TimeoutAbortSec=1s",
        python="import os, pidsup.process.child, pidsup.supervisor.vitals as vitals\n"
        "vitals.LATE_S = 0.2\n"
        "real = pidsup.process.child.Child.reap\n"
        "broken = lambda: os.path.exists('/run/broken')\n"
        "pidsup.process.child.Child.reap = lambda self: None if broken() else real(self)\n",
    )
    assert it.start() == 0
    time.sleep(1.5)
    assert it.get("ActiveState") == "active"
    it.box.put("/run/broken", "")
    try:
        it.box.run("sh", "-c", "kill -9 $(pgrep -P $(systemctl show -P MainPID it) sleep)")
        it.box.wait_for("it", "failed")
    finally:
        it.box.path("/run/broken").unlink()
    assert it.get("Result") == "watchdog"
    assert "has been dead for 0 s, and not reaped" in it.get("StatusText")


def test_a_stopped_supervisor_is_ended_by_the_watchdog(it: Service) -> None:
    it.configure('[watchers.web]\ncommand = ["sleep", "1000"]\n')
    it.unit("WatchdogSec=500ms", "TimeoutAbortSec=500ms")
    assert it.start() == 0
    it.box.systemctl("kill", "--kill-who=main", "--signal=STOP", "it")
    it.box.wait_for("it", "failed")
    assert it.get("Result") == "watchdog"
