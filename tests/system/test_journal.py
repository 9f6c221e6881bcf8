"""The journal of a real systemd: what workers write, what the supervisor says, and who reads it."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pidsup.log.messages import MESSAGES
from tests.support import LIMIT_S, wait_until
from tests.system.box import Box, User

LINE_MAX = 48 << 10  #: of journald.conf(5): no more is read at once
_NUMBERS = itertools.count(1)
CATALOG = Path(__file__).parent.parent.parent / "units" / "pidsup.catalog"


class Shop:
    """A supervisor that is a service in a box."""

    def __init__(self, box: Box, document: str, extra: str = "", user: User | None = None) -> None:
        self.box = box
        self.user = user
        self.name = f"shop{next(_NUMBERS)}"  # the journal remembers earlier ones
        self.unit = f"{self.name}.service"
        home = f"/home/{user.name}/.config" if user else "/etc"
        folder = f"{home}/systemd/{'user' if user else 'system'}"
        box.put(f"{home}/pidsup/{self.name}.toml", dedent(document))
        command = f"{box.pidsup} run -c {home}/pidsup/{self.name}.toml"
        lines = ["[Service]", f"ExecStart={command}", "LogRateLimitIntervalSec=0", extra, ""]
        box.put(f"{folder}/{self.unit}", "\n".join(lines))
        if user:
            box.run("chown", "-R", user.name, home)
        box.systemctl("daemon-reload", user=user)
        box.systemctl("start", self.unit, user=user)
        wait_until(lambda: self.ctl("status", check=False).returncode in (0, 3), "up", every_s=0.05)

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [self.box.pidsupctl, f"--name={self.name}", *arguments]
        return self.box.run(*command, check=check, user=self.user)

    def logs(self, *arguments: str, check: bool = True) -> str:
        """Return what `pidsupctl logs` prints, when all that was written before is there."""
        self.box.run("journalctl", "--sync", check=False)
        return self.ctl("logs", *arguments, check=check).stdout

    def texts(self, *arguments: str) -> list[str]:
        return self.logs("-o", "plain", "-n", "all", *arguments).splitlines()

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Return entries of the journal."""
        lines = self.box.journal("--output=json", "--all", *matches).splitlines()
        return [json.loads(line) for line in lines]

    def await_text(self, text: str, *arguments: str) -> None:
        wait_until(lambda: text in self.texts(*arguments), f"{text!r} in the journal", every_s=0.05)

    def stop(self) -> None:
        self.box.systemctl("stop", self.unit, user=self.user)


Open = Callable[..., Shop]


@pytest.fixture
def shop(box: Box) -> Iterator[Open]:
    """Give a function that starts a supervisor as a service."""
    started: list[Shop] = []

    def start(document: str, extra: str = "", user: User | None = None) -> Shop:
        started.append(Shop(box, document, extra, user))
        return started[-1]

    yield start
    for one in started:
        one.stop()


TWO = """
[watchers.web]
command = ["sh", "-c", "echo out {slot}; echo '<3>err {slot}' >&2; exec sleep 1000"]
workers = 2

[watchers.db]
command = ["sh", "-c", "echo db; exec sleep 1000"]
"""


# --- what workers write


def test_lines_come_in_order_with_slot_priority_and_unit(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    out, err = it.entries("SYSLOG_IDENTIFIER=web:1", f"_SYSTEMD_UNIT={it.unit}")
    assert (out["MESSAGE"], out["PRIORITY"]) == ("out 1", "6")
    assert (err["MESSAGE"], err["PRIORITY"]) == ("err 1", "3")
    assert out["_PID"] == str(_pid(it, "web:1"))
    assert out["_STREAM_ID"] == err["_STREAM_ID"]


def _pid(it: Shop, slot: str) -> int:
    status = json.loads(it.ctl("status", "-o", "json", slot).stdout)
    (found,) = (s["pid"] for w in status["watchers"] for s in w["slots"] if s["name"] == slot)
    return int(found)


STREAM = """
import os, time
stat = os.fstat(2)
print(os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}", flush=True)
time.sleep(1000)
"""


def test_a_worker_knows_its_stream_and_only_if_it_has_one(shop: Open, box: Box) -> None:
    box.put("/tmp/stream.py", STREAM)
    it = shop(
        f"""
        [watchers.web]
        command = ["{box.python}", "/tmp/stream.py"]
        [watchers.quiet]
        command = ["sh", "-c", "echo stream=$JOURNAL_STREAM. >/tmp/quiet; exec sleep 1000"]
        stdout = "null"
        stderr = "null"
        """
    )
    it.await_text("True", "web")
    wait_until(lambda: box.path("/tmp/quiet").exists(), "quiet has written")
    wait_until(lambda: box.path("/tmp/quiet").read_text() == "stream=.\n", "all of it")


def test_no_last_word_of_a_crash_is_lost_to_its_unit(shop: Open) -> None:
    """The worker has ended when journald reads what it wrote."""
    it = shop(
        """
        [watchers.web]
        command = ["sh", "-c", "echo dying $$; exit 3"]
        restart_delay = 0
        restart_max_delay = 0
        start_limit_burst = 40
        """
    )
    wait_until(lambda: "failed" in it.ctl("status", check=False).stdout, "given up", every_s=0.1)
    it.box.run("journalctl", "--sync")
    words = it.entries("SYSLOG_IDENTIFIER=web:0", f"_SYSTEMD_UNIT={it.unit}")
    ends = it.entries(f"MESSAGE_ID={MESSAGES['worker ended'].id}", f"UNIT={it.unit}")
    assert [f"dying {end['PIDSUP_PID']}" for end in ends] == [word["MESSAGE"] for word in words]
    assert len(ends) == 41
    assert {(end["EXIT_CODE"], end["EXIT_STATUS"]) for end in ends} == {("exited", "3")}


@pytest.mark.parametrize("is_users", [False, True])
def test_last_words_without_a_newline_are_there_at_once(
    shop: Open, box: Box, is_users: bool
) -> None:
    """A line that is not ended would stay in the hands of journald until the next is written."""
    it = shop(
        """
        [watchers.words]
        command = ["sh", "-c", "echo one; printf 'fatal: no config'; exit 1"]
        start_limit_burst = 0
        [watchers.whole]
        command = ["sh", "-c", "echo whole; exit 1"]
        start_limit_burst = 0
        """,
        user=box.user() if is_users else None,
    )
    wait_until(
        lambda: it.ctl("status", check=False).stdout.count("failed") == 2, "both", every_s=0.1
    )
    assert it.texts("words") == ["one", "fatal: no config"]
    assert it.texts("whole") == ["whole"]
    assert "last line: fatal: no config" in it.ctl("status", check=False).stdout


COUNT = """
import sys, time
for n in range(int(sys.argv[1])):
    print("n", n, flush=True)
    if n % 50 == 0:
        time.sleep(0.01)
print("end", flush=True)
time.sleep(1000)
"""


def flood(shop: Open, box: Box, count: int, disturb: Callable[[], object]) -> Shop:
    """Have a worker write many lines, and journald disturbed three times meanwhile."""
    box.put("/tmp/count.py", COUNT)
    it = shop(f'[watchers.web]\ncommand = ["{box.python}", "/tmp/count.py", "{count}"]\n')
    for _ in range(3):
        disturb()
        it.ctl("signal", "CONT", "web")
    it.await_text("end", "web")
    signals = it.entries("SYSLOG_IDENTIFIER=pidsup", f"MESSAGE_ID={MESSAGES['signal'].id}")
    assert len([one for one in signals if one["UNIT"] == it.unit]) >= 3
    return it


def test_a_flood_over_restarts_of_journald_loses_no_line(shop: Open, box: Box) -> None:
    """It keeps its streams; and the supervisor's own entries come, too."""
    it = flood(shop, box, 10_000, lambda: box.systemctl("restart", "systemd-journald"))
    assert it.texts("web") == [*(f"n {n}" for n in range(10_000)), "end"]


def test_a_journald_that_is_killed_loses_what_it_had_in_its_hands_alone(
    shop: Open, box: Box
) -> None:
    """It may have read a piece that it has not written yet; the stream goes on behind that."""

    def kill() -> None:
        box.systemctl("kill", "--signal=KILL", "systemd-journald")
        box.systemctl("reset-failed", "systemd-journald")

    it = flood(shop, box, 10_000, kill)
    *lines, end = it.texts("web")
    numbers = [int(line.removeprefix("n ")) for line in lines]
    gaps = [b - a for a, b in pairwise(numbers) if b != a + 1]
    assert end == "end"
    assert numbers == sorted(numbers)
    assert len(gaps) <= 3
    assert sum(gaps) < 3 * LINE_MAX / len("n 1000\n")


def test_lines_outlive_the_supervisor(shop: Open, box: Box) -> None:
    """It was never in between."""
    script = "while :; do echo tick; sleep 0.05; done"
    it = shop(f'[watchers.web]\ncommand = ["sh", "-c", "{script}"]\n', extra="KillMode=process")
    it.await_text("tick", "web")
    box.systemctl("kill", "--kill-whom=main", "--signal=KILL", it.unit)
    box.wait_for(it.unit, "failed")
    before = len(it.texts("web"))
    wait_until(lambda: len(it.texts("web")) > before, "more", every_s=0.05)
    box.systemctl("kill", "--signal=KILL", it.unit)


JOURNALD = (
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
)
TICKS = 'command = ["sh", "-c", "echo up $$; while :; do echo tick; sleep 0.05; done"]'


def test_no_worker_is_given_up_while_there_is_no_journald(shop: Open, box: Box) -> None:
    """It is started without one, which is said, and mended by a restart.

    With an older systemd one that runs dies of what it writes to a journald that is stopped.
    """
    it = shop(
        f"""
        [watchers.web]
        {TICKS}
        [watchers.named]
        {TICKS}
        stdout = "journal"
        stderr = "journal"
        """
    )
    it.await_text("tick", "web")
    it.await_text("tick", "named")
    box.systemctl("stop", *JOURNALD)
    try:
        it.ctl("scale", "web", "2")
        it.ctl("scale", "named", "2")
        without = {"web:1", "named:1"} if box.is_newer else {"web:0", "web:1", "named:0", "named:1"}
        wait_until(lambda: set(_troubles(it)) == without, "all are without", every_s=0.05)
        assert [w["state"] for w in _status(it)["watchers"]] == ["ready", "ready"]
        for trouble in _troubles(it).values():
            assert trouble.startswith("the journal cannot be reached: Connection refused, for ")
            assert trouble.endswith("; what it writes is lost until it is started again")
        assert "until it is started again.\n" in it.ctl("explain", "web:1").stdout
    finally:
        box.systemctl("start", *JOURNALD)
    pid = _pid(it, "web:1")
    it.ctl("restart", "web", "named")
    it.await_text(f"up {_pid(it, 'web:1')}", "web")
    assert f"up {pid}" not in it.texts("web")
    assert _troubles(it) == {}
    match = f"MESSAGE_ID={MESSAGES['cannot write output'].id}"
    said = [entry["PIDSUP_SLOT"] for entry in it.entries(match, f"UNIT={it.unit}")]
    assert sorted(said) == sorted(without)


def _status(it: Shop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(it.ctl("status", "-o", "json", check=False).stdout)
    return found


def _troubles(it: Shop) -> dict[str, str]:
    slots = [slot for watcher in _status(it)["watchers"] for slot in watcher["slots"]]
    return {slot["name"]: slot["output_trouble"] for slot in slots if slot["output_trouble"]}


FLOOD = """
import time
for n in range(500):
    print(n, flush=True)
time.sleep(2)
while True:
    print("later", flush=True)
    time.sleep(0.1)
"""


def test_the_rate_limit_is_that_of_the_unit_for_all_workers(shop: Open, box: Box) -> None:
    """Which the documentation says; what is left out is counted by journald."""
    box.put("/tmp/flood.py", FLOOD)
    it = shop(
        f'[watchers.web]\ncommand = ["{box.python}", "/tmp/flood.py"]\nworkers = 2\n',
        extra="LogRateLimitIntervalSec=1s\nLogRateLimitBurst=100",
    )
    it.await_text("later", "web:0")
    it.await_text("later", "web:1")
    assert "Suppressed" in box.journal("_TRANSPORT=driver", "-o", "cat")
    numbers = [line for line in it.texts("web") if line.isdecimal()]
    assert len(numbers) < 500


def test_what_is_not_text_or_long_comes_out_as_it_went_in(shop: Open, box: Box) -> None:
    """A line of 100 kB is in pieces of 48 KiB; bytes are numbers in JSON."""
    box.put(
        "/tmp/odd.py",
        "import os, time\n"
        "os.write(1, b'\\xff\\x00odd\\n' + b'x' * 100_000 + b'\\nend\\n')\n"
        "time.sleep(1000)\n",
    )
    it = shop(f'[watchers.web]\ncommand = ["{box.python}", "/tmp/odd.py"]\n')
    it.await_text("end", "web")
    lines = it.logs("-o", "json", "-n", "all", "web").splitlines()
    messages = [m["MESSAGE"] for m in map(json.loads, lines) if m["SYSLOG_IDENTIFIER"] == "web:0"]
    assert bytes(messages[0]) in (b"\xff\x00odd", b"\xff")  # 252 ends a line at a zero, too
    assert sum(len(m) for m in messages if set(m) == {"x"}) == 100_000
    assert messages[-1] == "end"


# --- what the supervisor says


def test_a_start_is_an_entry_with_a_field_for_each_fact(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("db", "db")
    (entry,) = it.entries(
        f"MESSAGE_ID={MESSAGES['worker started'].id}", "PIDSUP_SLOT=db:0", f"UNIT={it.unit}"
    )
    assert entry["MESSAGE"] == f"worker started slot=db:0 pid={_pid(it, 'db:0')}"
    wanted = {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "pidsup",
        "PIDSUP_NAME": it.name,
        "PIDSUP_WATCHER": "db",
        "PIDSUP_SERIAL": "1",
        "PIDSUP_GENERATION": "1",
        "PIDSUP_PID": str(_pid(it, "db:0")),
        "UNIT": it.unit,
        "_SYSTEMD_UNIT": it.unit,
    }
    assert {name: entry.get(name) for name in wanted} == wanted


def test_the_catalog_explains_it(shop: Open, box: Box) -> None:
    box.put("/usr/lib/systemd/catalog/pidsup.catalog", CATALOG.read_text())
    box.run("journalctl", "--update-catalog")
    it = shop(TWO)
    it.await_text("db", "db")
    shown = it.logs("-x", "db:0")
    assert "Subject: Worker db:0 was started" in shown
    assert f"pidsupctl -n {it.name} logs db:0" in shown
    assert "@PIDSUP" not in shown


# --- pidsupctl logs


def test_logs_of_all_is_the_journal_of_the_unit(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    it.await_text("db", "db")
    shown = it.logs("-n", "all")
    for text in ("web:0[", "web:1[", "db:0[", "pidsup[", "systemd[1]"):
        assert text in shown


def test_logs_of_a_slot_are_its_own_and_what_was_said_of_it(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    shown = it.logs("web:1")
    assert "web:1[" in shown
    assert "worker started slot=web:1" in shown
    assert "slot=web:0" not in shown
    assert "web:0[" not in shown
    assert it.texts("web:1") == ["out 1", "err 1"]
    assert sorted(it.texts("w*")) == ["err 0", "err 1", "out 0", "out 1"]


def test_flags_mean_what_they_mean_to_journalctl(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    assert it.logs("-n", "1", "-o", "plain", "web:1") == "err 1\n"
    assert it.logs("-p", "err", "-o", "plain", "web:1") == "err 1\n"
    assert it.logs("-r", "-o", "plain", "web:1") == "err 1\nout 1\n"
    assert it.logs("--grep", "^out", "-o", "plain", "web:1") == "out 1\n"
    assert it.logs("-o", "plain", "web:1", "--", "--lines=1") == "err 1\n"
    assert it.logs("--until", "2001-01-01", "-o", "plain", "web:1").strip() in (
        "",
        "-- No entries --",
    )
    assert it.logs("--since", "1h", "-o", "plain", "web:1") == "out 1\nerr 1\n"
    for hour in (("--since", "-1h"), ("--since=-1h",), ("--since=1h ago",), ("--until", "+1h")):
        assert it.logs(*hour, "-o", "plain", "web:1") == "out 1\nerr 1\n"
    # The first since then with 252, the last with later ones.
    one = it.logs("-n", "1", "--since", "1h", "-o", "plain", "web:1")
    assert one == ("err 1\n" if it.box.is_newer else "out 1\n")
    assert it.logs("-r", "-n", "1", "--since", "1h", "-o", "plain", "web:1") == "err 1\n"
    wrong = it.ctl("logs", "--since", "soon", "web:1", check=False)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "soon" in wrong.stderr
    time.sleep(1.1)
    assert it.logs("--since", "1", "-o", "plain", "web:1").strip() in ("", "-- No entries --")
    (line,) = it.logs("-n", "1", "-o", "json", "web:1").splitlines()
    assert json.loads(line)["_SYSTEMD_UNIT"] == it.unit


def test_follow_goes_on_over_a_restart_of_the_supervisor(shop: Open, box: Box) -> None:
    """It is the journal that is followed."""
    it = shop(TWO)
    it.await_text("db", "db")
    command = box.command(box.pidsupctl, "-n", it.name, "logs", "-f", "-o", "plain", "db")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as it_:
        assert it_.stdout is not None
        assert it_.stdout.readline() == "db\n"
        box.systemctl("restart", it.unit)
        assert it_.stdout.readline() == "db\n"
        box.run("sh", "-c", "kill $(pgrep -x journalctl)")  # in its pid namespace: ours alone
        it_.wait(LIMIT_S)


def test_slots_that_are_gone_can_be_asked_for(shop: Open) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    it.ctl("scale", "web", "1")
    assert it.texts("web:1") == ["out 1", "err 1"]
    assert "err 1" in it.texts("web")
    assert "err 1" in it.texts("web:*")
    missing = it.ctl("logs", "web:7", check=False)
    assert missing.returncode == 5
    assert "no watcher or slot matches 'web:7'" in missing.stderr


def test_what_is_elsewhere_is_said(shop: Open) -> None:
    it = shop(
        TWO + '\n[watchers.own]\ncommand = ["sh", "-c", "echo own; exec sleep 1000"]\n'
        'stdout = "capture"\nstderr = "capture"\n'
    )
    it.await_text("db", "db")
    done = it.ctl("logs")
    assert "not in the journal, and shown without it: pidsupctl logs own" in done.stderr
    assert "db:0[" in done.stdout
    assert it.ctl("logs", "own").stdout == "own:0 | own\n"
    refused = it.ctl("logs", "--since", "soon", "own", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "'soon' must be like 10min" in refused.stderr
    refused = it.ctl("logs", "-r", "own", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    refused = it.ctl("logs", "--stream", "stderr", "web", check=False)
    assert refused.returncode == 2
    assert "one stream in the journal" in refused.stderr


def test_what_is_captured_is_shown_though_the_other_stream_could_be_in_the_journal(
    shop: Open,
) -> None:
    """`stdout = "capture"` alone: stderr goes to the journal, where nothing may have come."""
    it = shop(
        """
        [watchers.out]
        command = ["sh", "-c", "echo out; exec sleep 1000"]
        stdout = "capture"
        [watchers.both]
        command = ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
        stdout = "capture"
        """
    )
    it.await_text("err", "--stream", "stderr", "both")
    done = it.ctl("logs", "out")
    assert (done.stdout, done.stderr) == ("out:0 | out\n", "")
    done = it.ctl("logs", "both", "-o", "plain")
    note = "not in the journal, and shown without it: "
    which = "pidsupctl logs --stream stdout both (its stderr: journal)"
    assert (done.stdout, done.stderr) == ("err\n", f"pidsupctl: {note}{which}\n")
    assert it.ctl("logs", "--stream", "stdout", "both").stdout == "both:0 | out\n"
    done = it.ctl("logs", "-r", "out")
    assert "not in the journal" in done.stderr


def test_of_one_stream_that_goes_nowhere_nothing_is_shown(shop: Open) -> None:
    """Least of all what goes to the other one."""
    it = shop(
        """
        [watchers.half]
        command = ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
        stderr = "null"
        [watchers.other]
        command = ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]
        stdout = "null"
        """
    )
    it.await_text("out", "half")
    it.await_text("err", "other")
    done = it.ctl("logs", "--stream", "stderr", "half")
    assert (done.stdout, done.stderr) == ("", "pidsupctl: stderr is kept nowhere: half\n")
    assert it.texts("--stream", "stderr") == ["err"]
    assert it.texts("--stream", "stdout", "*") == ["out"]


def test_the_past_is_shown_where_no_supervisor_runs(shop: Open, box: Box) -> None:
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    it.stop()
    done = it.ctl("logs", "web:1", "-o", "plain")
    assert done.stdout == "out 1\nerr 1\n"
    assert f"{it.name} does not run; this is of the journal of {it.unit}" in done.stderr
    assert "supervisor ended" in it.logs("-n", "all")
    assert it.ctl("status", check=False).returncode == 7
    assert box.run(box.pidsupctl, "-n", "nope", "logs", check=False).returncode == 7


def test_the_past_of_a_service_with_a_user_is_shown_to_root(shop: Open, box: Box) -> None:
    """User= in a drop-in; what somebody claims from a service of his own is not it."""
    user = box.user()
    it = shop(TWO, extra="User=games")
    it.await_text("err 1", "web:1")
    it.stop()
    claim = f"MESSAGE=x\nSYSLOG_IDENTIFIER=pidsup\nPIDSUP_NAME={it.name}\nUNIT=x.service\n"
    box.run("logger", "--journald", unit=True, user=user, input=claim)
    assert it.texts("web:1") == ["out 1", "err 1"]
    assert f"Stopped {it.unit}" in it.logs("-n", "1")


def test_who_may_read_the_journal_needs_no_right_to_ask(shop: Open, box: Box) -> None:
    """As with journalctl; others are told what they lack."""
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    user, group = box.user(), "systemd-journal"
    box.run("gpasswd", "--delete", user.name, group, check=False)
    command = (box.pidsupctl, "-n", it.name, "logs", "-o", "plain", "web:1")
    refused = box.run(*command, user=user, check=False)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "you have no right to ask this supervisor" in refused.stderr
    box.run("gpasswd", "--add", user.name, group)
    done = box.run(*command, user=user)
    assert done.stdout == "out 1\nerr 1\n"
    assert f"{it.name} does not answer you; this is of the journal" in done.stderr
    box.run("gpasswd", "--delete", user.name, group)


def test_from_another_machine_it_is_that_machines_journal(shop: Open, box: Box) -> None:
    """By ssh: one connection for the supervisor, one for journalctl."""
    box.put(
        "/tmp/ssh",
        f"#!/bin/sh\nPATH=$PATH:{Path(box.pidsupctl).parent}\n"
        'while [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$*"\n',
        0o755,
    )
    it = shop(TWO)
    it.await_text("err 1", "web:1")
    command = [box.pidsupctl, "-H", "there", "-n", it.name, "logs", "-o", "plain", "web:1"]
    done = box.run(*command, environment={"PIDSUP_SSH": "/tmp/ssh"})
    assert done.stdout == "out 1\nerr 1\n"


def test_a_journal_of_its_own_is_found(shop: Open, box: Box) -> None:
    it = shop(TWO, extra="LogNamespace=shop")
    box.run("journalctl", "--namespace=shop", "--sync", check=False)
    wait_until(lambda: "db" in it.texts("db"), "its lines", every_s=0.05)
    assert box.journal("--quiet", f"_SYSTEMD_UNIT={it.unit}", "SYSLOG_IDENTIFIER=db:0") == ""
    assert "worker started slot=db:0" in it.logs("db")
    it.stop()
    assert "db" in it.texts("db")
    box.systemctl("stop", "systemd-journald@shop.socket", "systemd-journald@shop.service")


def test_a_users_supervisor_has_its_lines_too(shop: Open, box: Box) -> None:
    """Those that a process wrote just before its end, which have no unit, are among them."""
    it = shop(
        """
        [watchers.web]
        command = ["sh", "-c", "echo dying $$; exit 3"]
        restart_delay = 0
        restart_max_delay = 0
        start_limit_burst = 40
        """,
        user=box.user(),
    )
    wait_until(lambda: "failed" in it.ctl("status", check=False).stdout, "given up", every_s=0.1)
    it.box.run("journalctl", "--sync")
    assert len(it.texts("web")) == 41
    assert it.ctl("logs", "web").stderr == ""  # nor a hint each time at what is of others
    shown = it.logs("-n", "all")
    assert shown.count("dying ") >= 41
    assert "worker ended slot=web:0" in shown


# --- last lines


FAILING = """
[watchers.web]
command = ["sh", "-c", "echo one; echo two; echo no such table >&2; exit 3"]
start_limit_burst = 0

[watchers.db]
command = ["sh", "-c", "echo db; exec sleep 1000"]
"""


def test_the_last_lines_of_what_failed_are_in_status_and_explain(shop: Open, box: Box) -> None:
    it = shop(FAILING)
    wait_until(lambda: "failed" in it.ctl("status", check=False).stdout, "given up", every_s=0.1)
    box.run("journalctl", "--sync")
    assert "last line: no such table" in it.ctl("status", check=False).stdout
    detail = it.ctl("status", "web", check=False).stdout
    assert "web:0 | two" in detail
    assert "web:0 | no such table" in detail
    explained = it.ctl("explain", "web:0").stdout.splitlines()
    assert "    no such table" in explained
    assert "  The last that it wrote:" in explained
    assert "db:0 | db" in it.ctl("status", "db").stdout
    status = json.loads(it.ctl("status", "-o", "json", "web", check=False).stdout)
    assert status["watchers"][0]["slots"][0]["last_exit"]["last_lines"] == []  # as it is asked
