"""Workers that say how they are, sd_notify(3): to a real supervisor, by all means there are."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support import needs_root, wait_until
from tests.system.daemon import Daemon, is_gone

Start = Callable[..., Daemon]

needs_systemd_notify = pytest.mark.skipif(
    not shutil.which("systemd-notify"), reason="*** needs systemd-notify ***"
)

#: What can be said from Python without any library.
SAY = """
import array, os, socket, sys, time
def say(text, *fds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
        socket.send_fds(to, [text.encode()], fds)
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)
"""


@pytest.fixture
def runs(daemon: Start, tmp_path: Path) -> Start:
    """Give a function that runs Python code, which can `say`, as a worker of type notify."""

    def start(code: str, *options: str, more: str = "") -> Daemon:
        file = tmp_path / "worker.py"
        file.write_text(SAY + dedent(code))
        command = f'command = ["{sys.executable}", "{file}"]'
        directory = f'working_directory = "{tmp_path}"'
        lines = (more, "[watchers.web]", command, directory, 'type = "notify"', *options)
        return daemon("\n".join(lines))

    return start


def told(it: Daemon, name: str = "web:0") -> Any:
    """Return what is told of a slot."""
    return it.slots()[name]


def await_state(it: Daemon, state: str, name: str = "web:0") -> Any:
    """Wait until a slot is in this state; return what is told of it."""
    it.await_slots(lambda slots: slots[name]["state"] == state, f"{name} {state}")
    return told(it, name)


def await_pid(it: Daemon, other_than: int | None = None, name: str = "web:0") -> int:
    """Wait until a slot has a worker, another one."""
    it.await_slots(lambda slots: slots[name]["pid"] not in (None, other_than), "a worker")
    return int(told(it, name)["pid"])


def address(it: Daemon, name: str = "web:0") -> str:
    """Return where the worker of a slot can talk to us."""
    environ = Path(f"/proc/{await_pid(it, name=name)}/environ")
    wait_until(lambda: b"NOTIFY_SOCKET=" in environ.read_bytes(), "exec of the worker")
    return environ.read_bytes().partition(b"NOTIFY_SOCKET=")[2].partition(b"\0")[0].decode()


# --- ready


@pytest.mark.parametrize(
    "says",
    [
        pytest.param("systemd-notify --ready", marks=needs_systemd_notify, id="systemd-notify"),
        pytest.param(f"{sys.executable} -c '{{say}}'", id="a python that is gone"),
        pytest.param(
            f"{sys.executable} -c 'import sdnotify; "
            'sdnotify.SystemdNotifier().notify("READY=1")\'',
            id="sdnotify",
        ),
        pytest.param(
            f"(sh -c \"{sys.executable} -c 'import sdnotify, time; "
            'sdnotify.SystemdNotifier().notify(\\"READY=1\\"); time.sleep(1000)\'; :") &',
            id="a grandchild that lives",
        ),
    ],
)
def test_a_worker_is_ready_when_it_says_so(daemon: Start, tmp_path: Path, says: str) -> None:
    """Whichever of its processes says it, and whether that one still lives when it is heard."""
    (tmp_path / "say.py").write_text(f'{SAY}say("READY=1")\n')
    says = says.replace("-c '{say}'", str(tmp_path / "say.py"))
    (tmp_path / "worker").write_text(f"until [ -e go ]; do sleep 0.01; done\n{says}\nsleep 1000\n")
    it = daemon(
        f"""
        [watchers.web]
        command = ["sh", "worker"]
        working_directory = "{tmp_path}"
        type = "notify"
        """
    )
    await_pid(it)
    assert told(it)["state"] == "starting"
    assert it.status()["watchers"][0]["ready"] == 0
    (tmp_path / "go").touch()
    assert await_state(it, "ready")["strangers"] == 0


C_WORKER = r"""
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <systemd/sd-daemon.h>

int main(void)
{
        uint64_t usec = 0;
        char **names = NULL, content[16] = "";
        int n = sd_listen_fds_with_names(0, &names), fds[2];

        assert(sd_watchdog_enabled(0, &usec) == 1 && usec == 60000000);
        if (n == 0) {
                assert(pipe(fds) == 0);
                assert(write(fds[1], "kept", 4) == 4);
                assert(sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=letter\nFDPOLL=0",
                                              fds, 1) == 1);
        } else {
                assert(n == 1 && strcmp(names[0], "letter") == 0);
                assert(read(SD_LISTEN_FDS_START, content, sizeof content - 1) == 4);
        }
        assert(sd_notifyf(0, "READY=1\nSTATUS=%d kept: %s", n, content) == 1);
        assert(sd_notify(0, "WATCHDOG=1") == 1);
        assert(sd_notify_barrier(0, 20000000) == 1);
        puts("barrier passed");
        fflush(stdout);
        pause();
}
"""


def test_libsystemd_is_understood_from_c(daemon: Start, tmp_path: Path) -> None:
    """Readiness, watchdog, descriptors and their names, and the barrier."""
    (tmp_path / "worker.c").write_text(C_WORKER)
    compiled = subprocess.run(
        ["cc", "-o", tmp_path / "worker", tmp_path / "worker.c", "-lsystemd"],
        capture_output=True,
        check=False,
    )
    if compiled.returncode:
        pytest.skip("*** needs libsystemd-dev: .ci/setup tools ***")
    it = daemon(
        f"""
        [watchers.web]
        command = ["{tmp_path}/worker"]
        type = "notify"
        watchdog = "60s"
        file_descriptor_store_max = 1
        """
    )
    first = await_state(it, "ready")
    wait_until(lambda: "barrier passed" in it.log(), "the barrier")
    assert (told(it)["status"], told(it)["stored"]) == ("0 kept:", 1)
    os.kill(first["pid"], 9)
    await_pid(it, other_than=first["pid"])
    await_state(it, "ready")
    assert told(it)["status"] == "1 kept: kept"


def test_a_status_is_shown_and_steers_no_terminal(runs: Start) -> None:
    """In any language's letters; a new worker begins without one."""
    it = runs(
        """
            say("READY=1\\nSTATUS=4 Kunden \\u2713 \\x1b[2J")
            time.sleep(1000)
        """,
    )
    await_state(it, "ready")
    assert told(it)["status"] == "4 Kunden ✓ \\x1b[2J"
    assert "4 Kunden ✓" in it.ctl("explain", "web:0").stdout


def test_a_reload_is_shown_while_it_lasts(runs: Start, tmp_path: Path) -> None:
    """RELOADING=1 until the next READY=1; one that is still to begin is none."""
    it = runs(
        """
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            say("READY=1")
            say(f"RELOADING=1\\nMONOTONIC_USEC={now + 10**12}\\nSTATUS=no")
            wait_for("one")
            say(f"RELOADING=1\\nMONOTONIC_USEC={now}\\nSTATUS=yes")
            wait_for("two")
            say("READY=1\\nSTATUS=done")
            time.sleep(1000)
        """,
    )
    it.await_slots(lambda slots: slots["web:0"]["status"] == "no")
    assert not told(it)["reloading"]
    (tmp_path / "one").touch()
    it.await_slots(lambda slots: slots["web:0"]["reloading"])
    (tmp_path / "two").touch()
    it.await_slots(lambda slots: slots["web:0"]["status"] == "done")
    assert not told(it)["reloading"]


# --- who may speak


def send(to: str, text: str) -> None:
    """Say something from this process, which is nobody's worker."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(to.replace("@", "\0", 1))
        sender.send(text.encode())


SLEEPERS = """
    [watchers.web]
    command = ["sleep", "1000"]
    type = "notify"

    [watchers.other]
    command = ["sleep", "1001"]
    type = "notify"
    """


def test_a_process_outside_is_a_stranger(daemon: Start) -> None:
    """He is ignored, counted, and said of once in a while."""
    it = daemon(SLEEPERS)
    for _ in range(5):
        send(address(it), "READY=1\nSTATUS=ha")
    it.await_slots(lambda slots: slots["web:0"]["strangers"] == 5, "five messages")
    assert (told(it)["state"], told(it)["status"]) == ("starting", None)
    wait_until(lambda: "message ignored" in it.log(), "a word on strangers")
    assert it.log().count("message ignored") == 1
    assert "5 messages to it of processes that are not its worker's" in it.ctl("explain").stdout


def test_a_strangers_descriptors_are_closed(daemon: Start) -> None:
    """Else he could use up ours; the barrier's end is what he waits for."""
    it = daemon(SLEEPERS.replace('"notify"', '"notify"\nfile_descriptor_store_max = 9', 1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address(it))
        before = len(os.listdir(f"/proc/{it.pid}/fd"))
        ours, theirs = os.pipe()
        socket.send_fds(sender, [b"FDSTORE=1"], [theirs])
        os.close(theirs)
        assert os.read(ours, 1) == b""  # the other end is nowhere open any more
        os.close(ours)
    assert told(it)["stored"] == 0
    assert len(os.listdir(f"/proc/{it.pid}/fd")) == before


def test_the_worker_of_another_slot_is_a_stranger(runs: Start, tmp_path: Path) -> None:
    """He knows the address, but descends from another."""
    it = runs(
        """
        wait_for("address")
        os.environ["NOTIFY_SOCKET"] = open("address").read()
        say("READY=1")
        time.sleep(1000)
        """,
        more='[watchers.meant]\ncommand = ["sleep", "1000"]\ntype = "notify"',
    )
    (tmp_path / "half").write_text(address(it, "meant:0"))
    (tmp_path / "half").rename(tmp_path / "address")
    it.await_slots(lambda slots: slots["meant:0"]["strangers"] == 1, "one message")
    assert {one["state"] for one in it.slots().values()} == {"starting"}


@needs_root
def test_who_is_gone_must_have_been_of_the_right_user(daemon: Start) -> None:
    """That is what is left to be known of him."""
    it = daemon(SLEEPERS)
    to = address(it)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            send(to, "READY=1")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    it.await_slots(lambda slots: slots["web:0"]["strangers"] == 1, "one message")
    assert told(it)["state"] == "starting"


def test_whoever_floods_delays_nobody(runs: Start) -> None:
    """Each slot has its own socket, and a turn takes a few messages of each."""
    it = runs(
        """
            say("READY=1")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.connect(os.environ["NOTIFY_SOCKET"])
                while True:
                    to.send(b"STATUS=" + b"x" * 2000)
        """,
        more='[watchers.quiet]\ncommand = ["sleep", "1000"]',
    )
    await_state(it, "ready")
    it.await_slots(lambda slots: slots["web:0"]["status"])
    for _ in range(3):
        done = it.client.call("Restart", selectors=["quiet"], wait=True)
        assert done["change"]["state"] == "done"


# --- its main process


@needs_systemd_notify
def test_a_wrapper_can_name_another_main_process(daemon: Start, tmp_path: Path) -> None:
    """Signals go to that one, and its end is the worker's."""
    (tmp_path / "worker").write_text(
        "trap 'echo wrapper told' TERM\nsleep 1000 &\n"
        "systemd-notify --ready --pid=$!\nwait $!\nwait $!\nsleep 1000\n"
    )
    it = daemon(
        f"""
        [watchers.web]
        command = ["sh", "{tmp_path}/worker"]
        type = "notify"
        """
    )
    ready = await_state(it, "ready")
    main = ready["pid"]
    assert Path(f"/proc/{main}/comm").read_text() == "sleep\n"
    it.ctl("stop", "web")
    assert told(it)["last_exit"]["signal"] == "TERM"
    assert "wrapper told" not in it.log()
    assert is_gone(main)


DAEMON = """
if os.fork():
    wait_for("go")
    sys.exit(0)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(0.05)
say(f"READY=1\\nMAINPID={os.getpid()}")
wait_for("end")
os._exit(7)
"""


def test_a_daemon_lives_on_without_its_parent(runs: Start, tmp_path: Path) -> None:
    """It has left session and parents; its own end is the worker's, code and all."""
    it = runs(
        DAEMON,
        'restart = "no"',
    )
    first = await_pid(it)
    main = await_state(it, "ready")["pid"]
    assert main != first
    (tmp_path / "go").touch()
    wait_until(lambda: is_gone(first), "the end of the parent")
    assert told(it)["state"] == "ready"
    (tmp_path / "end").touch()
    assert await_state(it, "failed")["last_exit"]["code"] == 7


def test_a_stranger_cannot_be_the_main_process(runs: Start) -> None:
    """Signals would go to him: neither another's process, nor one that is gone."""
    it = runs(
        f"""
            say("MAINPID={os.getpid()}")
            say("MAINPID=1")
            say("MAINPID=4194304")
            say("READY=1")
            time.sleep(1000)
        """,
    )
    pid = await_pid(it)
    assert await_state(it, "ready")["pid"] == pid
    assert told(it)["strangers"] == 3


# --- late, silent, broken


def test_whoever_is_not_ready_in_time_is_stopped(daemon: Start) -> None:
    """And tried again; that is said, and why."""
    it = daemon(
        """
        [watchers.web]
        command = ["sleep", "1000"]
        type = "notify"
        start_timeout = "0.2s"
        restart_delay = "10s"
        """
    )
    last = await_state(it, "backoff")["last_exit"]
    assert re.match("it was not ready within [2-9][0-9][0-9] ms", last["cause"])
    assert (last["signal"], last["asked_for"]) == ("TERM", False)


def test_a_start_and_a_stop_can_be_extended(runs: Start) -> None:
    """EXTEND_TIMEOUT_USEC: as long as there is progress."""
    it = runs(
        """
            import signal
            def stop(*_):
                for _ in range(3):
                    say("EXTEND_TIMEOUT_USEC=5000000")
                    time.sleep(0.15)
                os._exit(0)
            signal.signal(signal.SIGTERM, stop)
            for _ in range(3):
                say("EXTEND_TIMEOUT_USEC=5000000")
                time.sleep(0.15)
            say("READY=1")
            while True:
                time.sleep(1000)
        """,
        'start_timeout = "0.3s"',
        'stop_timeout = "0.3s"',
    )
    await_state(it, "ready")
    it.ctl("stop", "web")
    assert told(it)["last_exit"]["code"] == 0


@pytest.mark.parametrize("ears", ["", "signal.signal(signal.SIGABRT, signal.SIG_IGN)"])
def test_whoever_is_silent_is_aborted(runs: Start, ears: str) -> None:
    """With a core where that is allowed; killed, if that does not help; and replaced."""
    it = runs(
        f"""
            import signal
            {ears or "pass"}
            say("READY=1")
            for _ in range(5):
                say("WATCHDOG=1")
                time.sleep(0.1)
            time.sleep(1000)
        """,
        'watchdog = "0.3s"',
        'stop_timeout = "0.2s"',
        'restart_delay = "20s"',
        'min_uptime = "30s"',
        "rlimits = { core = 0 }",
    )
    last = await_state(it, "backoff")["last_exit"]
    assert last["signal"] == ("KILL" if ears else "ABRT")
    assert last["cause"] == "it did not say WATCHDOG=1 for 0.3 s"
    assert last["ran_s"] > 0.6


def test_an_aborted_worker_dumps_its_core_where_it_may(runs: Start, tmp_path: Path) -> None:
    """The pattern may be a program, which is in its own right to fail."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or not pattern:
        pytest.skip("*** needs a core_pattern that is a file ***")
    it = runs(
        'say("READY=1"); say("WATCHDOG=trigger"); time.sleep(1000)',
        'restart_delay = "20s"',
        'min_uptime = "30s"',
        'rlimits = { core = "infinity" }',
    )
    last = await_state(it, "backoff")["last_exit"]
    assert (last["signal"], last["core"]) == ("ABRT", True)


def test_whoever_says_that_he_is_broken_is_aborted(runs: Start) -> None:
    """WATCHDOG=trigger; also where no watchdog is configured."""
    it = runs(
        'say("READY=1"); say("WATCHDOG=trigger"); time.sleep(1000)',
        'restart_delay = "20s"',
        'min_uptime = "30s"',
        "rlimits = { core = 0 }",
    )
    last = await_state(it, "backoff")["last_exit"]
    assert (last["signal"], last["cause"]) == ("ABRT", "it said WATCHDOG=trigger")


def test_a_worker_can_change_its_watchdog(runs: Start) -> None:
    """WATCHDOG_USEC, for one that was configured too long, or not at all."""
    it = runs(
        'say("READY=1"); say("WATCHDOG_USEC=200000"); time.sleep(1000)',
        'restart_delay = "20s"',
        'min_uptime = "30s"',
        "rlimits = { core = 0 }",
    )
    assert await_state(it, "backoff")["last_exit"]["signal"] == "ABRT"


def test_whoever_says_that_he_stops_has_to(runs: Start) -> None:
    """STOPPING=1: with the time of one who was asked to."""
    it = runs(
        'say("READY=1"); say("STOPPING=1"); time.sleep(1000)',
        'stop_timeout = "0.2s"',
        'restart_delay = "20s"',
        'min_uptime = "30s"',
    )
    last = await_state(it, "backoff")["last_exit"]
    assert last["signal"] == "KILL"
    assert "STOPPING=1" in last["cause"]


def test_what_it_says_of_its_end_is_told(runs: Start) -> None:
    """ERRNO and EXIT_STATUS: its last words are heard though it is dead by then."""
    it = runs(
        'say("STATUS=no disk"); say("ERRNO=28\\nEXIT_STATUS=3"); os._exit(3)',
        'restart = "no"',
    )
    failed = await_state(it, "failed")
    assert failed["last_exit"]["said"] == "exit status 3, ENOSPC: No space left on device"
    assert "exited with 3 (exit status 3, ENOSPC" in failed["reason"]
    assert failed["status"] == "no disk"


# --- descriptors


KEEPER = """
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
fds = {name: 3 + n for n, name in enumerate(names) if name}
assert os.environ.get("LISTEN_PID", str(os.getpid())) == str(os.getpid())
found = sorted(fds)
if "cache" in fds:
    found.append(os.pread(fds["cache"], 100, 0).decode())
else:
    cache = os.memfd_create("cache")
    os.write(cache, b"content")
    listener = socket.create_server(("127.0.0.1", 0))
    gone, end = socket.socketpair()
    kept, other_end = socket.socketpair()
    say("FDSTORE=1\\nFDNAME=cache", cache)
    say("FDSTORE=1\\nFDNAME=cache", cache)
    say("FDSTORE=1\\nFDNAME=listener", listener.fileno())
    say("FDSTORE=1\\nFDNAME=hung up", gone.fileno())
    say("FDSTORE=1\\nFDNAME=hung up, kept\\nFDPOLL=0", kept.fileno())
    say("FDSTORE=1\\nFDNAME=removed", os.open("/dev/null", os.O_RDONLY))
    say("FDSTOREREMOVE=1\\nFDNAME=removed")
    say("FDSTORE=1\\nFDNAME=a:b", os.open("/dev/zero", os.O_RDONLY))
    say("FDSTOREREMOVE=1")
    say("FDSTOREREMOVE=1\\nFDNAME=a:b")
    end.close()
    other_end.close()
say("READY=1\\nSTATUS=" + " ".join(found) + "; " + os.environ["FDSTORE"])
time.sleep(1000)
"""
KEPT = "cache hung up, kept listener stored content; 5"


def test_descriptors_are_kept_for_the_next_worker(runs: Start) -> None:
    """With content and names, over a crash and a restart; not over a stop."""
    it = runs(
        KEEPER,
        "file_descriptor_store_max = 5",
    )
    first = await_state(it, "ready")
    assert first["status"] == "; 5"
    it.await_slots(lambda slots: slots["web:0"]["stored"] == 4, "what has hung up is dropped")
    os.kill(first["pid"], 9)
    await_pid(it, other_than=first["pid"])
    second = await_state(it, "ready")
    assert (second["status"], second["stored"]) == (KEPT, 4)
    it.ctl("restart", "web")
    assert (told(it)["status"], told(it)["pid"] != second["pid"]) == (KEPT, True)
    it.ctl("stop", "web")
    assert told(it)["stored"] == 0
    it.ctl("start", "web")
    assert told(it)["status"] == "; 5"


def test_no_more_are_handed_on_than_are_configured_now(runs: Start) -> None:
    """And none that nobody has said a word about."""
    it = runs(
        """
            fds = os.environ.get("LISTEN_FDS", "none")
            if fds == "none":
                for name in "abc":
                    say(f"FDSTORE=1\\nFDNAME={name}", os.open("/dev/null", os.O_RDONLY))
            say("READY=1\\nSTATUS=" + fds + os.environ.get("LISTEN_FDNAMES", ""))
            time.sleep(1000)
        """,
        "file_descriptor_store_max = 3",
    )
    await_state(it, "ready")
    for most, fds in ((2, "2a:b"), (0, "none")):
        text = it.file.read_text()
        it.file.write_text(f"{text.rpartition('=')[0]}= {most}\n")
        it.ctl("apply")
        assert (told(it)["status"], told(it)["stored"]) == (fds, most)


LINGERS = """
    import struct
    listener = socket.create_server(("127.0.0.1", 0))
    connection = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    connection.setblocking(False)
    try:
        while True:
            connection.send(bytes(65536))
    except BlockingIOError:
        pass
    say("READY=1")
    wait_for("go")
    say("{}", connection.fileno())
    connection.close()
    say("FDSTOREREMOVE=1\\nFDNAME=a\\nSTATUS=sent")
    open("sent", "w")
    time.sleep(1000)
    """


@pytest.mark.parametrize("says", ["BARRIER=1", "FDSTORE=1\\nFDNAME=a"])
def test_a_descriptor_that_takes_long_to_close_holds_nobody_up(
    runs: Start, tmp_path: Path, says: str
) -> None:
    """The last close of a connection waits for what is to be sent, SO_LINGER of socket(7)."""
    it = runs(LINGERS.format(says), "file_descriptor_store_max = 9")
    await_state(it, "ready")
    it.send(signal.SIGSTOP)  # until we have the last copy
    (tmp_path / "go").touch()
    wait_until((tmp_path / "sent").exists)
    it.send(signal.SIGCONT)
    began = time.monotonic()
    it.await_slots(lambda slots: slots["web:0"]["status"] == "sent")
    it.ctl("stop", "web")
    assert time.monotonic() - began < 20


def test_kept_descriptors_come_behind_the_sockets(runs: Start) -> None:
    """One numbering, as under systemd; more than allowed are not kept, and that is said."""
    it = runs(
        """
            passed = int(os.environ["LISTEN_FDS"])
            for _ in range(3 - passed):
                say("FDSTORE=1\\nFDNAME=null", os.open("/dev/null", os.O_RDONLY))
            last = os.readlink(f"/proc/self/fd/{2 + passed}")
            say("READY=1\\nSTATUS=" + os.environ["LISTEN_FDNAMES"] + " " + last)
            time.sleep(1000)
        """,
        'sockets = ["http"]',
        "file_descriptor_store_max = 1",
        more='[sockets.http]\nlisten = "127.0.0.1:0"',
    )
    first = await_state(it, "ready")
    assert first["status"].startswith("http socket:")
    wait_until(lambda: "descriptors not kept" in it.log(), "a word on those not kept")
    it.ctl("restart", "web")
    assert told(it)["status"] == "http:null /dev/null"


# --- where it is


@needs_root
@needs_systemd_notify
def test_a_worker_of_another_user_can_talk_to_us(daemon: Start) -> None:
    """Through directories that are root's."""
    it = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "systemd-notify --ready --status=hello; sleep 1000"]
        type = "notify"
        user = "nobody"
        """
    )
    assert await_state(it, "ready")["status"] == "hello"
    assert Path(f"/proc/{told(it)['pid']}").owner() == "nobody"


@needs_root
@needs_systemd_notify
def test_a_worker_of_another_user_can_talk_to_who_is_not_root(
    daemon: Start, tmp_path: Path
) -> None:
    """A supervisor that may change users; its directories are its own, an abstract name is not."""
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    os.chown(run, 54321, 54321)
    # Of no interest here: a Python in root's home needs dac_override, which setpcap takes back.
    caps = ",".join(f"+{cap}" for cap in ("setuid", "setgid", "kill", "setpcap", "dac_override"))
    as_other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    it = daemon(
        """
        [watchers.web]
        command = ["sh", "-c", "systemd-notify --ready --status=hello; sleep 1000"]
        type = "notify"
        user = "nobody"
        capability_bounding_set = []
        """,
        environment={"XDG_RUNTIME_DIR": str(run)},
        prefix=[*as_other, f"--inh-caps={caps}", f"--ambient-caps={caps}"],
        runtime=str(run / "pidsup"),
    )
    assert await_state(it, "ready")["status"] == "hello"


@needs_systemd_notify
def test_without_a_directory_there_is_an_abstract_name(tmp_path: Path) -> None:
    """Nothing can be written, or nobody wants a control socket."""
    file = tmp_path / "shop.toml"
    file.write_text(
        """
        supervisor.control_socket = false
        [watchers.web]
        command = ["sh", "-c", "echo $NOTIFY_SOCKET; systemd-notify --ready; exec sleep 1000"]
        type = "notify"
        """
    )
    command = [str(Path(sys.executable).parent / "pidsup"), "run", "-c", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        seen = b""
        for line in process.stdout:
            seen += line
            if b"worker ready" in line:
                break
        process.terminate()
        process.communicate(timeout=30)
    assert b"@pidsup-%d-" % os.geteuid() in seen
    assert b"worker ready" in seen


def test_nobody_is_asked_to_talk_who_need_not(daemon: Start) -> None:
    """No socket, no variable; what systemd has given the supervisor is not passed on."""
    it = daemon(
        """
        [watchers.web]
        command = ["sleep", "1000"]
        """,
        environment={"NOTIFY_SOCKET": "/proc/nowhere", "WATCHDOG_USEC": "1000000"},
    )
    await_state(it, "ready")
    environ = Path(f"/proc/{told(it)['pid']}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in environ
    assert b"WATCHDOG_USEC" not in environ
    assert not os.path.exists(f"{os.path.dirname(it.socket)}/notify")
