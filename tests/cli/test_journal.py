"""The journalctl that `pidsupctl logs` becomes, and what it is asked for last lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pidsup.cli.ctl import journal, last_words
from pidsup.cli.ctl.arguments import Given, parse
from pidsup.cli.ctl.endings import Complaint
from pidsup.cli.ctl.journalctl import Matches, become, command, options
from pidsup.client import Client
from tests.cli.canned import down, exit_, slot, status, watcher
from tests.support import LIMIT_S, python

BIN = Path(sys.executable).parent
SYSTEM = {"unit": "shop.service", "user": None, "namespace": None}
OF_USER = {"unit": "shop.service", "user": 1000, "namespace": None}
NOWHERE = {"unit": None, "user": None, "namespace": None}
JOURNAL = {"stdout": "journal", "stderr": "journal"}

Fake = Callable[..., Path]


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Give a function that puts a journalctl of our own first: it notes its arguments."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(script: str) -> Path:
        program, noted = tmp_path / "journalctl", tmp_path / "noted"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >> {noted}\necho >> {noted}\n{script}\n'
        )
        program.chmod(0o755)
        return noted

    return make


def given(*words: str) -> Given:
    return parse(["logs", *words])


# --- matches


def test_everything_of_a_service_is_its_unit() -> None:
    """As `journalctl -u`: with what systemd says of it."""
    assert Matches(SYSTEM, "shop").all(["web:0"]) == ["--unit=shop.service"]


def test_some_are_their_lines_and_what_is_said_of_them() -> None:
    """Both within the unit: anybody may write an entry that looks the same."""
    assert Matches(SYSTEM, "shop").some(["web:0", "web:1"], []) == [
        "_SYSTEMD_UNIT=shop.service", "SYSLOG_IDENTIFIER=web:0", "SYSLOG_IDENTIFIER=web:1",
        "+",
        "_SYSTEMD_UNIT=shop.service", "SYSLOG_IDENTIFIER=pidsup", "PIDSUP_NAME=shop",
        "PIDSUP_SLOT=web:0", "PIDSUP_SLOT=web:1",
    ]  # fmt: skip


def test_what_is_said_of_a_watcher_is_also_what_is_said_of_its_slots() -> None:
    """Nothing is named twice: a thousand slots are a long command as it is."""
    assert Matches(SYSTEM, "shop").some(["web:0", "db:1"], ["web"]) == [
        "_SYSTEMD_UNIT=shop.service", "SYSLOG_IDENTIFIER=web:0", "SYSLOG_IDENTIFIER=db:1",
        "+",
        "_SYSTEMD_UNIT=shop.service", "SYSLOG_IDENTIFIER=pidsup", "PIDSUP_NAME=shop",
        "PIDSUP_SLOT=db:1",
        "+",
        "_SYSTEMD_UNIT=shop.service", "SYSLOG_IDENTIFIER=pidsup", "PIDSUP_NAME=shop",
        "PIDSUP_WATCHER=web",
    ]  # fmt: skip


def test_output_of_a_user_is_his_whatever_unit_it_has() -> None:
    """What a process wrote just before its end has none."""
    assert Matches(OF_USER, "shop").output(["web:0"]) == ["_UID=1000", "SYSLOG_IDENTIFIER=web:0"]
    assert Matches(OF_USER, "shop").all(["web:0"]) == [
        "_UID=1000", "_SYSTEMD_USER_UNIT=shop.service",
        "+", "_UID=1000", "USER_UNIT=shop.service",
        "+", "_UID=1000", "SYSLOG_IDENTIFIER=web:0",
    ]  # fmt: skip


def test_what_others_do_in_a_terminal_is_not_shown() -> None:
    """Nor in a session: their unit is a scope."""
    scope = {"unit": "session-3.scope", "user": None, "namespace": None}
    assert Matches(scope, "shop").all(["web:0"]) == [
        "_SYSTEMD_UNIT=session-3.scope", "SYSLOG_IDENTIFIER=pidsup", "PIDSUP_NAME=shop",
        "+", "_SYSTEMD_UNIT=session-3.scope", "SYSLOG_IDENTIFIER=web:0",
    ]  # fmt: skip


def test_without_a_unit_names_have_to_do() -> None:
    """A supervisor in a terminal whose workers write to the journal."""
    assert Matches(NOWHERE, "shop").all(["web:0"]) == [
        "SYSLOG_IDENTIFIER=pidsup", "PIDSUP_NAME=shop", "+", "SYSLOG_IDENTIFIER=web:0",
    ]  # fmt: skip


def test_nothing_matches_nothing(journalctl: Fake) -> None:
    """To journalctl no match is every entry of the machine."""
    noted = journalctl("")
    assert Matches(SYSTEM, "shop").output([]) == []
    assert become(given(), Matches(SYSTEM, "shop"), []) == 0
    assert last_words.of_all(given(), status(journal=SYSTEM), [], 10) == []
    assert not noted.exists()


# --- options


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ("", ["--lines=30"]),
        ("-n 5", ["--lines=5"]),
        ("-n all -f", ["--lines=all", "--follow"]),
        ("-f", ["--lines=30", "--follow"]),
        ("-p err -x -r", ["--lines=30", "--priority=err", "--reverse", "--catalog"]),
        ("-g ^x --no-pager", ["--grep=^x", "--no-pager"]),
        ("-o json", ["--output=json", "--all", "--lines=30"]),
        ("-o plain", ["--output=cat", "--all", "--lines=30"]),
        ("-o short-iso", ["--output=short-iso", "--lines=30"]),
        ("--since 2026-03-01T14:00:00+00:00", ["--since=@1772373600.000000"]),
        ("-n 3 --until 2026-03-01T14:00:00+00:00", ["--lines=3", "--until=@1772373600.000000"]),
        ("--since tomorrow", ["--since=tomorrow"]),
        ("--since=-1month --until +1h", ["--since=-1month", "--until=+1h"]),
        ("--utc", ["--lines=30", "--utc"]),
        ("-t --abs-time", ["--lines=30"]),
        ("web -- --boot=-1 -e", ["--boot=-1", "-e"]),
        ("-n 3 web -- -e", ["--lines=3", "-e"]),
    ],
)
def test_options_are_those_of_journalctl(words: str, passed: list[str]) -> None:
    """Ours by their meaning, and what stands behind -- as it is."""
    assert options(given(*words.split())) == passed


def test_selectors_stand_before_what_is_passed_on() -> None:
    """What is behind -- is for journalctl alone."""
    found = given("web", "db:0", "--", "web", "-n", "7")
    assert (found.selectors, found.passed) == (["web", "db:0"], ["web", "-n", "7"])
    assert parse(["status", "web"]).passed == []


@pytest.mark.parametrize("words", ["-p err", "-r", "-x", "-g x", "--no-pager", "-o cat", "-- -e"])
def test_what_is_kept_in_memory_is_not_asked_what_only_a_journal_can(words: str) -> None:
    """Better than to leave it out without a word."""
    with pytest.raises(Complaint, match="is for output in the journal"):
        journal.refuse_what_only_journalctl_can(given(*words.split()))


def test_a_journal_has_no_two_streams() -> None:
    """Which --stream would need; where one of both goes elsewhere it is clear."""
    journal.refuse_one_stream([watcher(kept={"stdout": "journal", "stderr": "memory"})])
    with pytest.raises(Complaint, match="one stream in the journal"):
        journal.refuse_one_stream([watcher(kept=JOURNAL)])


# --- the program


def test_a_namespace_is_named() -> None:
    """A journal of its own, LogNamespace=."""
    assert command(given(), "shop", ["-f"]) == ["journalctl", "--namespace=shop", "-f"]


@pytest.mark.parametrize(
    ("words", "user", "is_quiet"),
    [((), "me", True), ((), "other", False), ((), None, False), (("-H", "there"), "me", False)],
)
def test_only_a_user_who_asks_for_his_own_is_not_told_what_he_may_not_see(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], user: str | None, is_quiet: bool
) -> None:
    """Journalctl's hint, each time."""
    ran: list[list[str]] = []
    uid = {"me": os.geteuid(), "other": os.geteuid() + 1, None: None}[user]
    matches = Matches({**OF_USER, "user": uid}, "shop")
    disposition = signal.getsignal(signal.SIGPIPE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "execvp", lambda _program, words: ran.append(words))
        patch.setattr(os, "dup2", lambda fd, _: os.close(fd))
        become(given(*words), matches, ["A=B"])
    signal.signal(signal.SIGPIPE, disposition)
    assert ("--quiet" in ran[0]) is is_quiet


def test_on_another_machine_its_journalctl_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose shell gets each word as it is."""
    monkeypatch.setenv("PIDSUP_SSH", "myssh -v")
    words = command(given("-H", "me@there:22"), None, ["--grep=a b", "+"])
    assert words == [
        "myssh",
        "-v",
        "-T",
        "-p",
        "22",
        "--",
        "me@there",
        "journalctl",
        "'--grep=a b'",
        "+",
    ]


@pytest.mark.parametrize(
    ("selectors", "found"),
    [
        (["web"], ["web:0", "web:2", "web:10"]),
        (["web:1?"], ["web:10"]),
        (["w*", "db:*"], ["db:0", "web:0", "web:2", "web:10"]),
        (["web:1"], []),
    ],
)
def test_slots_are_found_that_wrote_long_ago(
    journalctl: Fake, selectors: list[str], found: list[str]
) -> None:
    """By the names that the journal knows; most are not of pidsup."""
    journalctl('printf "%s\\n" sshd web:10 web:2 db:0 web:0 web:x :3 "CRON"')
    slots = journal.slots_in_journal(given(), Matches(SYSTEM, "shop"))
    assert journal.selected(slots, selectors) == found


def test_names_that_no_slot_has_are_no_slots(journalctl: Fake) -> None:
    """Anybody can write an entry, with any identifier."""
    digits = "9" * 5000
    journalctl(f"printf '%s\\n' web:{digits} web:100000 web:01 web:٣ 'a b:1' -x:1 web:3 a:b:1")
    assert journal.slots_in_journal(given(), Matches(SYSTEM, "shop")) == ["web:3"]
    journalctl(r"printf 'we\0b:1\nweb\302\205x:2\nweb:4\n'")
    assert journal.slots_in_journal(given(), Matches(SYSTEM, "shop")) == ["web:4"]


def test_a_flood_of_names_is_no_command_line(
    journalctl: Fake, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that run are shown, and of the others the lowest; what is left out is said."""
    journalctl("seq -f 'web:%.0f' 0 9999")
    monkeypatch.setattr(journal, "become", lambda _given, _matches, words: len(words))
    answer = status(watcher("web", slot("web:7000"), kept=JOURNAL), journal=SYSTEM)
    client = Client(socket.socket())
    # Two times the unit, the slots, the supervisor's two names, the watcher and a plus.
    assert journal.show(given("web"), client, answer, whole=False) == 2 + 1001 + 2 + 1 + 1
    said = "pidsupctl: 8999 more slots that are gone are left out: select fewer\n"
    assert capfd.readouterr().err == said


def test_without_journalctl_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert journal.slots_in_journal(given(), Matches(SYSTEM, "shop")) == []
    with pytest.raises(Complaint, match="cannot run journalctl: No such file"):
        become(given(), Matches(SYSTEM, "shop"), ["--unit=shop.service"])
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN  # as before
    assert last_words.of_all(given(), status(journal=SYSTEM), ["web:0"], 10) == []


# --- where no supervisor runs


def ctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "pidsupctl", "-n", "no-such-shop", "logs", *words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


PAST = """
case "$*" in
*--field=PIDSUP_NAME*) echo no-such-shop;;
*--field=SYSLOG_IDENTIFIER*) echo web:0;;
*--lines=1000*) echo '{"_SYSTEMD_UNIT": "shop.service", "_UID": "0"}';;
*) echo shown "$@";;
esac
"""


def test_the_past_is_that_of_the_unit_that_the_supervisor_was(journalctl: Fake) -> None:
    """And it is said that nobody runs."""
    journalctl(PAST)
    done = ctl()
    assert done.stdout == "shown --lines=30 --unit=shop.service\n"
    assert (
        done.stderr
        == "pidsupctl: no-such-shop does not run; this is of the journal of shop.service\n"
    )
    assert "SYSLOG_IDENTIFIER=web:0" in ctl("web").stdout
    assert ctl("nope").returncode == 5


def test_only_entries_of_our_own_user_or_root_count(journalctl: Fake) -> None:
    """Others may write that they were a supervisor."""
    noted = journalctl(PAST)
    ctl()
    asked = noted.read_text()
    assert "_UID=0\n" in asked
    assert f"_UID={os.geteuid()}\n" in asked


@pytest.mark.parametrize("script", ["exit 0", 'case "$*" in *--field=*) echo other;; esac'])
def test_a_supervisor_that_has_left_nothing_is_just_not_there(
    journalctl: Fake, script: str
) -> None:
    """As with every other command."""
    journalctl(script)
    done = ctl()
    assert (done.returncode, done.stdout) == (7, "")
    assert "no-such-shop" in done.stderr


OTHERS = [
    {"_SYSTEMD_UNIT": "session-3.scope", "UNIT": "session-3.scope", "_SYSTEMD_OWNER_UID": "1001"},
    {"_SYSTEMD_UNIT": "user@7.service", "UNIT": "user@7.service", "_SYSTEMD_USER_UNIT": "x"},
    {"_SYSTEMD_UNIT": "other.service", "UNIT": "shop.service"},
    {"UNIT": "shop.service"},
    {"_SYSTEMD_UNIT": "shop.service", "UNIT": "shop.service"},
    {"_SYSTEMD_UNIT": "older.service", "UNIT": "older.service"},
]


def test_a_service_of_the_system_may_have_a_user_of_its_own(journalctl: Fake) -> None:
    """What users write from their sessions is not believed."""
    entries = "\n".join(json.dumps({**entry, "_UID": "1001"}) for entry in OTHERS)
    journalctl(
        f"""case "$*" in
*_UID=[0-9]*) ;;
*--field=*) echo web:0;;
*--lines=1000*) cat <<'EOF'
{entries}
EOF
;;
*) echo shown "$@";;
esac"""
    )
    assert ctl().stdout == "shown --lines=30 --unit=shop.service\n"


def test_of_several_one_has_to_be_chosen(journalctl: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those of our own user, or root's: anybody may write that he were one."""
    noted = journalctl(
        """echo '{"PIDSUP_NAME": "shop"}'; echo '{"PIDSUP_NAME": ["a", "b"]}'; echo '{}'"""
    )
    with pytest.raises(Complaint, match="nobody; the journal knows, choose by -n: a, b, shop"):
        journal.of_the_past(given(), Complaint("nobody", 7))
    assert "_UID=0\n" in noted.read_text()


def test_what_stands_in_stdin_is_not_for_ssh(tmp_path: Path) -> None:
    """`while read host; do pidsupctl -H $host logs; done`."""
    (tmp_path / "ssh").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "ssh").chmod(0o755)
    script = (
        "from pidsup.cli.ctl.arguments import parse\n"
        "from pidsup.cli.ctl.journalctl import Matches, become, fields\n"
        "matches = Matches({'unit': None, 'user': None, 'namespace': None}, 'shop')\n"
        "given = parse(['logs', '-H', 'there'])\n"
        "assert fields(given, 'X', None) == []\n"
        "become(given, matches, ['A=B'])\n"
    )
    done = subprocess.run(
        python(script),
        input="other\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PIDSUP_SSH": str(tmp_path / "ssh")},
        timeout=LIMIT_S,
        check=True,
    )
    assert done.stdout == ""


# --- last lines


def lines(*pairs: tuple[str, object]) -> str:
    return said({"SYSLOG_IDENTIFIER": name, "MESSAGE": text} for name, text in pairs)


def said(entries: Iterable[Mapping[str, object]], ago_s: float = 0.0) -> str:
    stamp = {"__REALTIME_TIMESTAMP": str(int((time.time() - ago_s) * 1e6))}
    return "cat <<'EOF'\n" + "\n".join(json.dumps({**stamp, **one}) for one in entries) + "\nEOF"


def failed(name: str, **facts: Any) -> dict[str, Any]:
    return down(name, state="failed", last_exit=exit_(), **facts)


def test_last_lines_are_fetched_for_what_has_failed_alone(journalctl: Fake) -> None:
    """One call for all of it, no older than the oldest run."""
    noted = journalctl(lines(("web:1", "two"), ("web:2", "x"), ("web:1", "one")))
    answer = status(
        watcher("web", slot("web:0"), failed("web:1"), failed("web:2"), kept=JOURNAL),
        watcher("db", failed("db:0")),
        journal=SYSTEM,
    )
    assert last_words.add(given(), answer) == {"web:1": ["one", "two"], "web:2": ["x"]}
    slots = answer["watchers"][0]["slots"]
    assert slots[1]["last_exit"]["last_lines"] == ["one", "two"]
    asked = noted.read_text().splitlines()
    assert asked.count("") == 1
    assert [one for one in asked if "IDENTIFIER=" in one] == [
        "SYSLOG_IDENTIFIER=web:1",
        "SYSLOG_IDENTIFIER=web:2",
    ]
    assert any(one.startswith("--since=-") for one in asked)
    assert "--lines=500" in asked


def test_no_more_than_a_few_lines_are_told_of_each(journalctl: Fake) -> None:
    """As where the supervisor reads them itself; a flood is not read to its end."""
    journalctl(f"while :; do {lines(('web:1', 'x'))}\ndone")
    answer = status(watcher("web", failed("web:1"), kept=JOURNAL), journal=SYSTEM)
    assert last_words.add(given(), answer) == {"web:1": ["x"] * 5}


def test_what_was_written_before_the_worker_that_failed_is_anothers(journalctl: Fake) -> None:
    """Of an earlier one, or of another run of the supervisor: of each slot by itself."""
    old = (
        {"SYSLOG_IDENTIFIER": "web:0", "MESSAGE": "old"},
        {"SYSLOG_IDENTIFIER": "web:1", "MESSAGE": "mine"},
    )
    new = {"SYSLOG_IDENTIFIER": "web:0", "MESSAGE": "new"}
    noted = journalctl(f"{said([new])}\n{said(old, ago_s=60)}")
    short, long = failed("web:0", for_s=2.0), failed("web:1", for_s=70.0)
    answer = status(watcher("web", short, long, kept=JOURNAL), journal=SYSTEM)
    assert last_words.add(given(), answer) == {"web:0": ["new"], "web:1": ["mine"]}
    assert "--since=-78.500s" in noted.read_text()
    of_all = last_words.of_all(given(), status(journal=SYSTEM, up_s=10.0), ["web:0", "web:1"], 10)
    assert [line["text"] for line in of_all] == ["new"]


def test_another_machine_may_have_another_clock(journalctl: Fake, monkeypatch: Any) -> None:
    """Then journalctl alone says what is old."""
    monkeypatch.setattr(
        last_words, "command", lambda _given, _namespace, words: ["journalctl", *words]
    )
    journalctl(said([{"SYSLOG_IDENTIFIER": "web:0", "MESSAGE": "one"}], ago_s=9999))
    answer = status(watcher("web", failed("web:0"), kept=JOURNAL), journal=SYSTEM)
    assert last_words.add(given("-H", "there"), answer) == {"web:0": ["one"]}


def test_where_nothing_has_failed_nobody_is_asked(journalctl: Fake) -> None:
    """Status is to be quick."""
    noted = journalctl("")
    last_words.add(given(), status(watcher("web", slot(), kept=JOURNAL), journal=SYSTEM))
    last_words.add(given(), status(watcher("web", failed("web:0"), kept=JOURNAL)))
    assert not noted.exists()


def test_what_is_no_text_is_told_as_far_as_it_can_be(journalctl: Fake) -> None:
    """A field is numbers where it is not UTF-8."""
    journalctl(lines(("web:0", [255, 65]), ("web:1", None)))
    found = last_words.of_all(given(), status(journal=SYSTEM), ["web:0", "web:1"], 10)
    assert [(line["slot"], line["text"]) for line in found] == [("web:1", ""), ("web:0", "\\xffA")]


def test_an_entry_may_have_any_fields(journalctl: Fake) -> None:
    """One several times, or no text: whoever speaks to the journal himself chooses them."""
    entries: list[Mapping[str, object]] = [
        {"SYSLOG_IDENTIFIER": ["other", "web:0"], "MESSAGE": ["c", [100]]},
        {"SYSLOG_IDENTIFIER": "web:0"},
        {"SYSLOG_IDENTIFIER": [[119, 101, 98, 58, 48], "x"], "MESSAGE": "a\nb"},
    ]
    journalctl(said(entries))
    found = last_words.of_all(given(), status(journal=SYSTEM), ["web:0"], 10)
    assert [line["text"] for line in found] == ["a", "b", "d", "c"]


def test_a_journal_that_is_too_slow_is_not_waited_for(
    journalctl: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come by then is told."""
    monkeypatch.setattr(last_words, "_PATIENCE_S", 0.3)
    journalctl(lines(("web:0", "one")) + "\nexec sleep 60")
    found = last_words.of_all(given(), status(journal=SYSTEM), ["web:0"], 10)
    assert [line["text"] for line in found] == ["one"]
