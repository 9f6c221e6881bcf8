"""Bad input and bad days: a clear message where its user looks, and supervision goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pidsup.client import CallFailed, Client
from pidsup.control.protocol import LIMIT, call, encode
from tests.support import LIMIT_S, needs_root, read_some, wait_until
from tests.system.daemon import Daemon, elapsed, is_gone

Start = Callable[..., Daemon]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('command = "/nope"', "exec '/nope': No such file or directory"),
        ('command = "no-such-program-anywhere"', "exec 'no-such-program-anywhere': No such file"),
        ('command = "/etc/passwd"', "exec '/etc/passwd': Permission denied"),
        (
            'command = "sleep 1"\nworking_directory = "/nope"',
            "chdir '/nope': No such file or directory",
        ),
        ('command = "sleep 1"\nuser = "nobody-of-that-name"', "there is no such user"),
        ('command = "sleep 1"\ngroup = "nobodies-of-that-name"', "there is no such group"),
    ],
)
def test_what_cannot_start_says_why_in_status(daemon: Start, line: str, reason: str) -> None:
    it = daemon(f"[watchers.bad]\n{line}\n[watchers.good]\ncommand = 'sleep 1000'\n")
    it.await_slots(lambda slots: slots["bad:0"]["reason"])

    shown = it.ctl("status")

    assert reason in shown.stdout
    assert shown.returncode == 3
    assert it.slots()["good:0"]["state"] == "ready"


def test_a_start_that_fails_ends_the_command_with_the_reason(daemon: Start) -> None:
    it = daemon("""
        [watchers.bad]
        command = "/nope"
        autostart = false
        """)
    failed = it.ctl("start", "bad")
    assert failed.returncode == 1
    assert "bad:0: exec '/nope': No such file or directory" in failed.stderr


def test_what_was_missing_is_used_once_it_is_there(daemon: Start, tmp_path: Path) -> None:
    program = tmp_path / "program"
    it = daemon(f"""
        [watchers.late]
        command = "{program}"
        restart_delay = "10ms"
        start_limit_interval = 0
        """)
    it.await_slots(lambda slots: slots["late:0"]["restarts"] > 2)
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    it.await_slots(lambda slots: slots["late:0"]["state"] == "ready")


def test_without_descriptors_starts_fail_clearly_and_clients_are_served(daemon: Start) -> None:
    """Each worker needs five; the rest of the supervisor goes on."""
    it = daemon(
        """
        [watchers.many]
        command = "sleep 1000"
        workers = 40
        restart_delay = "50ms"
        start_limit_interval = 0
        """,
        prefix=["prlimit", "--nofile=60:60"],
    )
    it.await_slots(lambda s: any(x["state"] == "backoff" for x in s.values()))
    with_reason = [s["reason"] for s in it.slots().values() if s["state"] == "backoff"]
    assert set(with_reason) <= {f"{at}: Too many open files" for at in ("pipe", "clone")}
    assert it.ctl("scale", "many", "5").returncode == 0
    it.await_slots(lambda s: len(s) == 5 and all(x["state"] == "ready" for x in s.values()))


def test_clients_without_descriptors_wait_and_are_served_later(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'", prefix=["prlimit", "--nofile=30:30"])
    crowd = []
    try:
        for _ in range(60):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(it.socket)
        wait_until(lambda: "cannot accept a client, retrying" in it.log(), "accept refused")
    finally:
        for one in crowd:
            one.close()
    assert it.ctl("status").returncode == 0
    assert it.log().count("cannot accept a client") < 10, "it must not spin"


@needs_root
def test_without_processes_starts_fail_clearly(daemon: Start, tmp_path: Path) -> None:
    """RLIMIT_NPROC binds a user that is not root, so this supervisor is one."""
    as_other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    runs = subprocess.run([*as_other, sys.executable, "-c", "import pidsup.kernel"], check=False)
    if runs.returncode:
        pytest.skip("*** another user cannot run this Python: it is in a private directory ***")
    run = tmp_path / "run"
    run.mkdir()
    for path in (*reversed(run.parents), run):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    os.chown(run, 54321, 54321)
    it = daemon(
        """
        [watchers.many]
        command = "sleep 1000"
        workers = 12
        restart_delay = "50ms"
        start_limit_interval = 0
        """,
        environment={"XDG_RUNTIME_DIR": str(run)},
        prefix=["prlimit", "--nproc=10:10", *as_other],
        runtime=str(run / "pidsup"),
    )  # fmt: skip
    it.await_slots(lambda s: any(x["state"] == "backoff" for x in s.values()))
    reasons = {s["reason"] for s in it.slots().values() if s["state"] == "backoff"}
    assert reasons == {"clone: Resource temporarily unavailable"}
    assert sum(s["state"] == "ready" for s in it.slots().values()) >= 5


# --- clients


def answer_to(data: bytes, it: Daemon) -> Any:
    """Send bytes, and return what comes back before the supervisor hangs up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(it.socket)
        client.settimeout(LIMIT_S)
        with contextlib.suppress(BrokenPipeError):  # it hung up on what it did not want to hear
            client.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # it has not read all that was sent
            while more := read_some(client.fileno()):
                answer += more
    assert answer.endswith(b"\0")
    return json.loads(answer[:-1])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n\0", "not JSON: "),
        (b"\xff\xfe\0", "not JSON: "),
        (b"[1, 2]\0", "not a JSON object"),
        (b"[" * 100_000 + b"\0", "not JSON: "),
    ],
)
def test_garbage_is_answered_and_hung_up_on(daemon: Start, data: bytes, why: str) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    answer = answer_to(data, it)
    assert answer["error"] == "org.pidsup.Supervisor.Invalid"
    assert answer["parameters"]["why"].startswith(why)
    assert it.ctl("status").returncode == 0


def test_a_hundred_megabytes_without_an_end_are_not_kept(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    it.status()
    before = it.rss_kb()
    answer = answer_to(b'{"method":"' + b"x" * 100_000_000, it)
    assert answer["parameters"]["why"] == f"a message of more than {LIMIT} bytes"
    assert not it.has_grown(before, 8192)
    assert it.ctl("status").returncode == 0


def test_half_a_message_holds_up_nobody(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(it.socket)
        half.sendall(b'{"method":"org.pidsup')
        assert it.ctl("status").returncode == 0
        half.sendall(b'.Supervisor.Status"}\0')
        half.settimeout(LIMIT_S)
        assert half.recv(100).startswith(b'{"parameters":{"schema":1,')


def test_a_client_that_never_reads_costs_a_bounded_amount(daemon: Start) -> None:
    """Its answers wait in the socket, then in one buffer; then nothing more is read from it."""
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 50 }")
    it.await_slots(lambda slots: len(it.pids()) == 50)
    before = it.rss_kb()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(it.socket)
        mute.setblocking(False)
        request = encode(call("Status", {})) * 100
        deadline = time.monotonic() + LIMIT_S
        full = 0
        while full < 20 and time.monotonic() < deadline:
            try:
                mute.send(request)
                full = 0
            except BlockingIOError:
                full += 1  # ... and stays so, while the supervisor answers others
                assert it.status()["name"] == it.name
        assert full == 20
        assert not it.has_grown(before, 8192)
    assert it.ctl("status").returncode == 0


def test_wrong_requests_are_answered_and_change_nothing(daemon: Start) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000', workers = 2 }")
    it.await_slots(lambda slots: len(it.pids()) == 2)
    before = it.pids()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("Stop", {"selectors": []}, "Invalid"),
        ("Stop", {"selectors": "web"}, "Invalid"),
        ("Stop", {"selectors": ["web", "nope"]}, "NoSuchSelector"),
        ("Stop", {"selectors": ["web"], "wiat": True}, "Invalid"),
        ("Stop", {"selectors": ["web"], "wait": 1}, "Invalid"),
        ("Stop", {"selectors": ["web"], "timeout_ms": -1}, "Invalid"),
        ("Scale", {"selectors": ["web"]}, "Invalid"),
        ("Scale", {"selectors": ["web"], "by": -3}, "Invalid"),
        ("Scale", {"selectors": ["web:0"], "workers": 3}, "Invalid"),
        ("Signal", {"selectors": ["web"], "signal": "TREM"}, "Invalid"),
        ("Signal", {"selectors": ["web"], "signal": "TERM", "whom": "others"}, "Invalid"),
        ("Fly", {}, "org.varlink.service.MethodNotFound"),
    ]
    for method, parameters, error in wrong:
        with pytest.raises(CallFailed) as caught:
            it.client.call(method, **parameters)
        assert caught.value.name == error, (method, parameters)
    assert it.pids() == before


def test_a_nearest_name_is_suggested(daemon: Start) -> None:
    it = daemon("watchers.thumbnails.command = 'sleep 1000'")
    failed = it.ctl("stop", "thumbnail")
    assert failed.returncode == 5
    assert "did you mean 'thumbnails'?" in failed.stderr


# --- waiting


STUBBORN = """
    [watchers.stubborn]
    command = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"]
    stop_timeout = "{timeout}"
    """


def stubborn(daemon: Start, timeout: str) -> Daemon:
    """Start a worker that ignores TERM, and wait until it does."""
    it = daemon(STUBBORN.format(timeout=timeout))
    wait_until(lambda: "deaf" in it.log(), "TERM ignored")
    return it


def test_a_timeout_ends_the_waiting_not_the_stop(daemon: Start) -> None:
    it = stubborn(daemon, "1500ms")
    assert it.ctl("stop", "stubborn", "--timeout", "100ms").returncode == 8
    assert it.slots()["stubborn:0"]["state"] == "stopping"
    it.await_slots(lambda slots: slots["stubborn:0"]["state"] == "stopped")


def test_a_contrary_wish_tells_the_one_that_waits(daemon: Start) -> None:
    it = stubborn(daemon, "2s")
    with Client(it.socket) as other:
        other._socket.sendall(encode(call("Stop", {"selectors": ["stubborn"]})))
        it.await_slots(lambda slots: slots["stubborn:0"]["state"] == "stopping")
        it.client.call("Start", selectors=["stubborn"], wait=False)
        told = other._receive()
    assert told["error"] == "org.pidsup.Supervisor.Superseded"
    assert told["parameters"]["by"].startswith("start (change ")
    it.await_slots(lambda slots: slots["stubborn:0"]["state"] == "ready")


def test_equal_wishes_join(daemon: Start) -> None:
    it = stubborn(daemon, "500ms")
    with Client(it.socket) as other:
        other._socket.sendall(encode(call("Stop", {"selectors": ["stubborn"]})))
        assert it.ctl("stop", "stubborn").returncode == 0
        assert other._receive()["parameters"]["change"]["state"] == "done"


def test_who_blocks_a_stop_is_said_while_one_waits(daemon: Start) -> None:
    it = stubborn(daemon, "4s")
    pid = it.pids()["stubborn:0"]
    done = it.ctl("stop", "stubborn")
    assert done.returncode == 0
    assert "waiting for stubborn:0: stopping; TERM sent, KILL after 4 s" in done.stderr
    assert re.search(rf"pid {pid} is in state [RS]\b", done.stderr)


def test_a_suspended_worker_hears_its_stop_signal(daemon: Start) -> None:
    """As under systemd: CONT follows, or it would sit out its whole timeout."""
    it = daemon("watchers.a = { command = 'sleep 1000', stop_timeout = '1h' }")
    it.await_slots(lambda slots: slots["a:0"]["state"] == "ready")
    os.kill(it.pids()["a:0"], signal.SIGSTOP)
    assert it.ctl("stop", "a").returncode == 0
    assert it.slots()["a:0"]["last_exit"]["signal"] == "TERM"


# --- the end


def test_a_second_term_hurries(daemon: Start) -> None:
    it = stubborn(daemon, "1h")
    pid = it.pids()["stubborn:0"]
    it.send(signal.SIGTERM)
    it.await_slots(lambda slots: slots["stubborn:0"]["state"] == "stopping")
    it.send(signal.SIGINT)
    assert it.wait() == 0
    assert is_gone(pid)


def test_while_it_shuts_down_wishes_are_refused_and_status_answers(daemon: Start) -> None:
    it = stubborn(daemon, "1s")
    it.send(signal.SIGTERM)
    wait_until(lambda: it.status()["state"] == "stopping", "shutting down")
    with pytest.raises(CallFailed) as caught:
        it.client.call("Start", selectors=["stubborn"])
    assert caught.value.name == "ShuttingDown"
    assert it.wait() == 0


def test_a_second_supervisor_of_that_name_is_refused(daemon: Start, tmp_path: Path) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    second = Daemon(tmp_path / "..", "watchers.a.command = 'sleep 1000'")
    second.file.write_text(f"supervisor.name = '{it.name}'\nwatchers.a.command = 'sleep 1000'\n")
    with pytest.raises(AssertionError, match="the daemon ended with 1"):
        second.begin()
    assert f"process {it.pid} runs it already" in second.log()
    assert it.ctl("status").returncode == 0
    second.end()


def terms_at_random(daemon: Start, rng: random.Random, times: int) -> None:
    """Send TERM at random moments to supervisors of 50 workers that ignore it."""
    for _ in range(times):
        it = daemon(
            """
            [watchers.deaf]
            command = ["sh", "-c", "trap '' TERM; exec sleep 1000"]
            workers = 50
            stop_timeout = "100ms"
            """
        )
        begun = time.monotonic()
        moment = rng.uniform(0, 0.15)
        # Not luck: any moment has to do, and this one is drawn from the seed.
        time.sleep(moment)
        before = it.descendants()
        it.send(signal.SIGTERM)
        code = it.wait()
        assert code == 0, f"TERM after {moment}: {it.log()}"
        assert all(is_gone(pid) for pid in before), f"TERM after {moment}"
        assert elapsed(begun) < LIMIT_S


def test_a_term_at_any_moment_ends_it_and_all_its_workers(
    daemon: Start, rng: random.Random
) -> None:
    terms_at_random(daemon, rng, 20)


@pytest.mark.long
def test_two_hundred_terms_at_random_moments(daemon: Start, rng: random.Random) -> None:
    terms_at_random(daemon, rng, 200)


def test_a_reader_of_the_configuration_that_is_killed_is_named(tmp_path: Path) -> None:
    """As when memory runs out; a FIFO holds it up until then."""
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [Path(sys.executable).parent / "pidsup", "run", "-c", fifo], stderr=subprocess.PIPE
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(children.read_text, "a reader")
    os.kill(int(children.read_text()), signal.SIGKILL)
    complaint = process.communicate(timeout=LIMIT_S)[1].decode()
    assert process.returncode == 1
    assert complaint == "pidsup: reading the configuration was killed by signal 9\n"
