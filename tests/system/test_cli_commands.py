"""What the commands of pidsupctl do to, and find out about, a real supervisor."""

from __future__ import annotations

import getpass
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidsup.client.sync import live_names
from pidsup.control.paths import abstract_address
from tests.support import LIMIT_S, needs_root, read_line, wait_until
from tests.system.daemon import Daemon
from tests.system.test_cli import BIN, run

Start = Callable[..., Daemon]
Follow = Callable[..., "subprocess.Popen[bytes]"]

TALKING = """
    [watchers.web]
    command = ["sh", "-c", "echo out {slot}; echo err {slot} >&2; exec sleep 1000"]
    workers = 2
    [watchers.bad]
    command = ["sh", "-c", "echo ImportError: no foo >&2; exit 3"]
    start_limit_burst = 0
    """


@pytest.fixture
def shop(daemon: Start) -> Daemon:
    """Start two that talk and one that fails."""
    it = daemon(TALKING)
    it.await_slots(
        lambda slots: (slots["web:1"]["state"], slots["bad:0"]["state"]) == ("ready", "failed")
    )
    wait_until(lambda: it.ctl("logs", "web").stdout.count("\n") == 4, "their output is there")
    return it


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Start a pidsupctl that goes on; it is ended at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(it: Daemon, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(BIN / "pidsupctl"), "-n", it.name, *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for one in started:
        with one:
            one.kill()


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return read_line(process.stdout.fileno()).decode().rstrip("\n")


def complaint_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return read_line(process.stderr.fileno()).decode().rstrip("\n")


# --- status


def test_status_says_what_is_wrong_and_what_was_written_last(shop: Daemon) -> None:
    shown = shop.ctl("status")
    assert shown.returncode == 3
    lines = shown.stdout.splitlines()
    assert lines[0] == "web      ready 2/2"
    assert lines[3].startswith("bad      failed     exited with 3; given up")
    assert lines[3].endswith("last line: ImportError: no foo")


def test_status_of_one_shows_its_last_output(shop: Daemon) -> None:
    shown = shop.ctl("status", "web:1").stdout.splitlines()
    assert shown[0] == "web:1  ready"
    assert set(shown[-2:]) == {"web:1 | out 1", "web:1 | err 1"}
    assert shop.ctl("status", "bad").stdout.splitlines()[-1] == "bad:0 | ImportError: no foo"


def test_status_wide_shows_what_is_used(shop: Daemon) -> None:
    shown = shop.ctl("status", "-o", "wide").stdout.splitlines()
    assert shown[0].startswith(f"{shop.name}  pid {shop.pid}  up ")
    assert "mem " in shown[2]
    assert "#1" in shown[2]


def test_quiet_status_is_its_exit_code(shop: Daemon) -> None:
    assert (shop.ctl("status", "-q").returncode, shop.ctl("status", "-q").stdout) == (3, "")
    assert shop.ctl("ls", "-q", "web").returncode == 0
    assert shop.ctl("status", "nope").returncode == 4


def test_a_thousand_slots_fit_on_a_screen(daemon: Start) -> None:
    it = daemon("[watchers.many]\ncommand = 'sleep 1000'\nworkers = 200\n", quiet=True)
    it.await_slots(lambda slots: all(slot["state"] == "ready" for slot in slots.values()))
    it.ctl("stop", "many:7")
    shown = it.ctl("status").stdout.splitlines()
    assert len(shown) == 3
    assert shown[1].startswith("  many:0-6,8-199  ready      199 slots  up ")
    assert shown[2].startswith("  many:7")
    assert len(it.ctl("status", "--all").stdout.splitlines()) == 201


def test_status_imports_only_what_it_needs(shop: Daemon) -> None:
    """Start-up time is a feature."""
    code = (
        f"import sys; sys.argv = ['pidsupctl', '-n', '{shop.name}', 'status']; "
        "from pidsup.cli.pidsupctl import main; main(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "pidsup.cli.ctl.status" in loaded
    unwanted = "argparse asyncio typing shutil textwrap tempfile subprocess pidsup.config.options"
    assert not loaded & set(unwanted.split())


# --- logs


def test_logs_are_told_by_slot_and_stream(shop: Daemon) -> None:
    both = shop.ctl("logs", "web:0").stdout.splitlines()
    assert sorted(both) == ["web:0 | err 0", "web:0 | out 0"]
    assert shop.ctl("logs", "--stream", "stderr", "web:1").stdout == "web:1 | err 1\n"
    assert shop.ctl("logs", "-o", "plain", "--stream", "stdout", "web:1").stdout == "out 1\n"
    assert len(shop.ctl("logs", "-n", "1").stdout.splitlines()) == 1
    assert shop.ctl("logs", "--since", "2001-01-01", "-o", "json").stdout.count("\n") >= 5
    assert shop.ctl("logs", "--since", "1us", "web").stdout == ""
    assert shop.ctl("logs", "nope").returncode == 5


def test_logs_keep_bytes_that_are_no_text(daemon: Start) -> None:
    write = r"printf '\\377\\000\\n'; exec sleep 1000"
    it = daemon(f"""watchers.raw.command = ["sh", "-c", "{write}"]""")
    command = [str(BIN / "pidsupctl"), "-n", it.name, "logs", "-o", "plain"]

    def plain() -> bytes:
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout

    wait_until(lambda: plain() == b"\xff\0\n", "the bytes")


def test_following_logs_survives_the_supervisor(shop: Daemon, follow: Follow) -> None:
    logs = follow(shop, "logs", "-f", "-n", "1", "-o", "plain", "--stream", "stdout", "web:0")
    assert line_of(logs) == "out 0"
    shop.ctl("restart", "web:0")
    assert line_of(logs) == "out 0"

    shop.ctl("shutdown")
    shop.wait()
    assert complaint_of(logs) == ("pidsupctl: the supervisor has gone; waiting for it to come back")
    shop.begin()
    assert complaint_of(logs) == "pidsupctl: the supervisor is back"
    assert line_of(logs) == "out 0"
    logs.send_signal(signal.SIGINT)
    assert logs.wait(LIMIT_S) == 130
    assert complaint_of(logs) == ""


def test_a_reader_that_has_enough_is_no_error(shop: Daemon) -> None:
    command = f"{BIN}/pidsupctl -n {shop.name} logs -f | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=LIMIT_S, check=True)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


# --- events, changes, explain, tree, stats


def test_events_come_as_they_happen(shop: Daemon, follow: Follow) -> None:
    people, programs = follow(shop, "events", "web"), follow(shop, "events", "-o", "json", "web")
    assert line_of(people).startswith(f"{shop.name}: 1 watcher, 2 of 2 workers ready; cursor ")
    first = json.loads(line_of(programs))
    assert first["kind"] == "snapshot"
    shop.ctl("stop", "web:1")
    while "stopped" not in (line := line_of(people)):
        assert line
    assert "web:1" in line
    events = json.loads(line_of(programs))["events"]
    resumed = follow(shop, "events", "-o", "json", "--cursor", first["cursor"], "web")
    assert json.loads(line_of(resumed))["events"][0] == events[0]


def test_events_end_with_the_supervisor_and_say_so(daemon: Start, follow: Follow) -> None:
    it = daemon("""
        [watchers.bad]
        command = "false"
        restart_delay = "1h"
        restart_max_delay = "1h"
        restart_jitter = 0
        """)
    it.await_slots(lambda slots: slots["bad:0"]["state"] == "backoff")
    events = follow(it, "events", "--cursor", f"{cursor_of(it).rpartition(':')[0]}:0")
    while "backoff" not in (line := line_of(events)):
        assert line
    assert "  bad:0           backoff     exited with 1" in line
    assert "  retry in 1h00m" in line
    it.ctl("shutdown")
    assert events.wait(LIMIT_S) == 7
    assert complaint_of(events) == "pidsupctl: the supervisor has ended"


def cursor_of(it: Daemon) -> str:
    cursor: str = it.client.call("Events")["cursor"]
    return cursor


def test_changes_are_remembered_with_who_asked(shop: Daemon) -> None:
    shop.ctl("restart", "web")
    shop.ctl("scale", "web", "+1")
    heads, first, second = shop.ctl("changes").stdout.splitlines()
    assert heads.split() == ["ID", "STATE", "WHAT", "BY", "WHEN", "TOOK", "SLOTS"]
    assert first.split()[:4] == ["1", "done", "restart", "web"]
    assert f"{getpass.getuser()} (pidsupctl)" in second
    assert shop.ctl("changes", "-l", "1").stdout.count("\n") == 2
    assert "change 1: restart web  done" in shop.ctl("changes", "1").stdout
    unknown = shop.ctl("changes", "99")
    assert (unknown.returncode, "no change '99'" in unknown.stderr) == (5, True)


def test_explanations_are_sentences(shop: Daemon) -> None:
    said = shop.ctl("why", "bad:0").stdout
    assert said.startswith("bad:0  failed\n  ")
    assert "ImportError: no foo" in said
    assert json.loads(shop.ctl("explain", "-o", "json").stdout)["schema"] == 1


def test_tree_and_stats_show_the_processes(shop: Daemon) -> None:
    pid = shop.pids()["web:0"]
    assert f"└─ {pid} sleep 1000" in shop.ctl("tree", "web").stdout
    assert "└─" not in run("pidsupctl", "-n", shop.name, "tree", LC_ALL="POSIX", PYTHONUTF8="0",
                           PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii").stdout  # fmt: skip
    rows = [line.split() for line in shop.ctl("stats", "web").stdout.splitlines()]
    assert rows[1][:3] == ["web:0", "ready", str(pid)]
    assert rows[-1][0] == "total"


# --- changing


def test_where_there_is_nothing_to_do_it_is_said_why(daemon: Start) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000', workers = 0 }")
    nothing = "nothing to do, web is scaled to 0 (pidsupctl scale web 1 is more)\n"
    for command in ("start", "restart", "stop"):
        done = it.ctl(command, "web")
        assert (done.returncode, done.stdout) == (0, f"{command}: {nothing}")
    assert it.ctl("start", "web", "-q").stdout == ""
    assert json.loads(it.ctl("start", "web", "-o", "json").stdout)["change"]["total"] == 0
    assert it.ctl("scale", "web", "0").stdout == f"scale: {nothing}"
    assert it.ctl("scale", "web", "1").stdout == "scale: done, 1 slot\n"
    it.ctl("scale", "web", "0")
    done = it.ctl("signal", "HUP", "web")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pidsupctl: signal HUP failed: no worker runs in web\n"


# --- wait


def test_wait_ends_when_it_is_there(daemon: Start, follow: Follow) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000', autostart = false }")
    assert it.ctl("wait", "web").stderr == "pidsupctl: none of it is wanted: start it first\n"
    it.ctl("start", "web")
    assert it.ctl("wait", "web").stdout == "web: ready\n"
    waiting = follow(it, "wait", "web", "--for", "down")
    it.ctl("stop", "web")
    assert line_of(waiting) == "web: down"
    assert waiting.wait(LIMIT_S) == 0


def test_wait_has_a_timeout_and_knows_the_hopeless(shop: Daemon) -> None:
    late = shop.ctl("wait", "web", "--for", "down", "--timeout", "100ms")
    assert (late.returncode, "timed out" in late.stderr) == (8, True)
    failed = shop.ctl("wait", "bad")
    assert (failed.returncode, "bad:0 has failed: exited with 3" in failed.stderr) == (1, True)


def test_wait_for_a_one_shot_says_that_it_has_completed_or_why_not(daemon: Start) -> None:
    it = daemon("""
        [watchers.once]
        command = "true"
        restart = "no"
        [watchers.bad]
        command = "false"
        restart = "no"
        """)
    done = it.ctl("wait", "once", "--for", "ready")
    assert (done.returncode, done.stdout) == (0, "once: completed\n")
    failed = it.ctl("wait", "*", "--timeout", "1min")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("pidsupctl: bad:0 has failed: exited with 1")


# --- run


def test_run_is_like_a_worker_but_ours(daemon: Start, tmp_path: Path) -> None:
    it = daemon(f"""
        [sockets.http]
        listen = "127.0.0.1:0"
        [watchers.web]
        command = "sleep 1000"
        sockets = ["http"]
        working_directory = "{tmp_path}"
        umask = "0027"
        environment = {{ COLOUR = "green-{{slot}}", SECRET = "x" }}
        """)
    show = 'pwd; umask; echo "$COLOUR $EXTRA ${LISTEN_FDS-none}"; exit 7'
    done = it.ctl("run", "-e", "EXTRA=yes", "web", "sh", "-c", show)
    assert done.stdout == f"{tmp_path}\n0027\ngreen-0 yes none\n"
    assert done.returncode == 7
    assert it.ctl("run", "web", "--", "sh", "-c", "kill -9 $$").returncode == 137
    missing = it.ctl("run", "web", "/nope")
    assert (missing.returncode, "cannot start '/nope'" in missing.stderr) == (127, True)
    assert it.ctl("run", "w*", "true").returncode == 0
    assert it.ctl("run", "nope", "true").returncode == 5


@needs_root
def test_run_becomes_the_user_of_the_worker(daemon: Start) -> None:
    it = daemon("watchers.web = { command = 'sleep 1000', user = 'nobody' }")
    assert it.ctl("run", "web", "id", "-un").stdout == "nobody\n"


@needs_root
def test_run_can_do_no_more_than_the_worker(daemon: Start) -> None:
    """Nor less: it has the same capabilities."""
    it = daemon("""
        [watchers.web]
        command = "sleep 1000"
        user = "nobody"
        capability_bounding_set = ["CAP_NET_BIND_SERVICE"]
        ambient_capabilities = ["CAP_NET_BIND_SERVICE"]
        environment = { LISTEN_ADDRESS = "::1" }
        """)
    worker = Path(f"/proc/{it.pids()['web:0']}/status").read_text()
    ours = it.ctl("run", "web", "cat", "/proc/self/status").stdout
    of_both = [[line for line in text.splitlines() if "Cap" in line] for text in (worker, ours)]
    assert of_both[0] == of_both[1]
    assert it.ctl("run", "web", "printenv", "LISTEN_ADDRESS").stdout == "::1\n"


def test_run_passes_signals_on(daemon: Start, follow: Follow) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    script = "trap 'exit 5' TERM; echo on; while :; do sleep 0.02; done"
    running = follow(it, "run", "web", "sh", "-c", script)
    assert line_of(running) == "on"
    running.terminate()
    assert running.wait(LIMIT_S) == 5


# --- which supervisor, and who may ask


def test_several_supervisors_must_be_told_apart(daemon: Start, tmp_path: Path) -> None:
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one, other = daemon("watchers.a.command = 'true'"), daemon("watchers.a.command = 'true'")
    done = run("pidsupctl", "status", PIDSUP_NAME="", **runtime)
    assert done.returncode == 7
    assert "several supervisors are running, choose one by -n: " in done.stderr
    assert one.name in done.stderr
    assert other.name in done.stderr
    assert run("pidsupctl", "--socket", one.socket, "status", PIDSUP_NAME="").returncode != 7
    assert run("pidsupctl", "--socket", "/nope", "status").returncode == 7


@needs_root
def test_root_finds_the_supervisor_of_a_user(daemon: Start, tmp_path: Path) -> None:
    """And does not run what that one makes up: its environments can name code."""
    as_other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    runs = subprocess.run([*as_other, sys.executable, "-c", "import pidsup.kernel"], check=False)
    if runs.returncode:
        pytest.skip("*** another user cannot run this Python: it is in a private directory ***")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    runtime = Path("/tmp/pidsup-54321")
    it = daemon(
        "watchers.web.command = 'sleep 1000'",
        prefix=as_other,
        environment={"XDG_RUNTIME_DIR": "", "TMPDIR": "/tmp"},
        runtime=str(runtime),
    )
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    done = run("pidsupctl", "-n", it.name, "status")
    refused = run("pidsupctl", "-n", it.name, "run", "web", "id")
    it.end()
    runtime.rmdir()
    assert (done.returncode, done.stdout.split()[0]) == (0, "web")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "the supervisor is uid 54321's" in refused.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Daemon]:
    """Start a supervisor of another user that can write nowhere, as in a read-only container."""
    as_other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    runs = subprocess.run([*as_other, sys.executable, "-c", "import pidsup.kernel"], check=False)
    if runs.returncode:
        pytest.skip("*** another user cannot run this Python: it is in a private directory ***")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    document = "watchers.web.command = 'sleep 1000'"
    it = Daemon(tmp_path, document, prefix=as_other, environment={"XDG_RUNTIME_DIR": "/proc/no"})
    it.socket = f"@pidsup-54321-{Path('/proc/self/ns/pid').stat().st_ino}/{it.name}"
    try:
        it.begin()
        yield it
    finally:
        it.end()


@needs_root
def test_an_abstract_socket_is_found_by_its_address_and_by_root(read_only: Daemon) -> None:
    read_only.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    assert f"socket={read_only.socket}\n" in read_only.log()
    by_address = run("pidsupctl", "--socket", read_only.socket, "status")
    by_name = run("pidsupctl", "-n", read_only.name, "status")
    assert by_address.stdout.startswith("web  ready ")
    assert (by_name.returncode, by_name.stdout.split()[:2]) == (0, ["web", "ready"])
    if not live_names():  # else that of root comes first
        without = run("pidsupctl", "status", PIDSUP_NAME="").stderr
        assert f"choose by -n: {read_only.name} (uid 54321)" in without
    there = f"ok       supervisor         '{read_only.name}' of uid 54321 listens at "
    assert f"{there}{read_only.socket}" in run("pidsupctl", "doctor").stdout


@needs_root
def test_nobody_passes_for_a_supervisor_of_another_user(tmp_path: Path) -> None:
    """Any user can bind any abstract name."""
    name = f"false-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX) as false:
        false.bind(abstract_address(name, 54321))
        false.listen()
        done = run("pidsupctl", "-n", name, "status")
    assert (done.returncode, f"no supervisor '{name}' is running" in done.stderr) == (7, True)


# --- doctor


def test_doctor_knows_a_running_supervisor(shop: Daemon) -> None:
    done = shop.ctl("doctor")
    assert done.returncode == 1, "a slot has failed"
    assert "bad:0 has failed: exited with 3" in done.stdout
    assert "to do: pidsupctl logs bad:0" in done.stdout
    text = shop.file.read_text()
    shop.file.write_text(text + "[watchers.more]\ncommand = 'sleep 1000'\n")
    assert "to do: pidsupctl diff, and then pidsupctl apply" in shop.ctl("doctor", "-q").stdout
    shop.ctl("apply")
    assert "configuration" not in shop.ctl("doctor", "-q").stdout
    shop.file.write_text("x")
    said = shop.ctl("doctor", "-q").stdout
    assert f"cannot be used: {shop.file}:1: not valid TOML" in said
    assert f"to do: pidsup check {shop.file};" in said


def test_why_output_cannot_be_written_is_said_everywhere(daemon: Start, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "web.log"
    it = daemon(f"""
        [watchers.web]
        command = ["sh", "-c", "while :; do echo line; sleep 0.01; done"]
        stdout = "{path}"
        """)
    it.await_slots(lambda slots: slots["web:0"]["output_trouble"], "the trouble")
    why = f"cannot write {path}: No such file or directory, for "
    status, said, doctor = (
        it.ctl(command).stdout.splitlines() for command in ("status", "explain", "doctor")
    )
    assert status[1].startswith(f"  output: {why}")
    assert any(
        line.startswith(f"  C{why[1:]}")
        and line.endswith(". What it writes goes there again once that is mended.")
        for line in said
    )
    assert any(line.startswith("problem  output") and f"web:0: {why}" in line for line in doctor)
    to_do = "to do: make the directory, or correct the path; it goes on by itself then"
    assert any(line.endswith(to_do) for line in doctor)


def test_doctor_works_without_a_supervisor() -> None:
    done = run("pidsupctl", "-n", "no-such-supervisor", "doctor")
    assert done.returncode == 1
    assert "no supervisor 'no-such-supervisor' is running" in done.stdout


def test_status_says_that_it_still_waits_for_one_that_hangs(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    it.send(signal.SIGSTOP)
    began_at = time.monotonic()
    try:
        asking = subprocess.Popen(
            [BIN / "pidsupctl", "-n", it.name, "status"], stderr=subprocess.PIPE
        )
        assert asking.stderr is not None
        with asking:
            first = read_line(asking.stderr.fileno())
            early = time.monotonic() - began_at
            rest = asking.stderr.read()
    finally:
        it.send(signal.SIGCONT)
    assert first == b"the supervisor does not answer yet, waiting\n"
    assert early < 4.5
    assert (asking.returncode, b"does not answer; is it stopped?" in rest) == (8, True)


def test_doctor_knows_one_that_hangs(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    it.send(signal.SIGSTOP)
    try:
        done = it.ctl("doctor", "-q")
    finally:
        it.send(signal.SIGCONT)
    assert (done.returncode, "does not answer: it is stopped" in done.stdout) == (1, True)
