"""What this machine lacks for a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pidsup.cli.checks import machine
from pidsup.cli.checks.rights import Rights, lacking, rights
from pidsup.config.load import read
from pidsup.config.process_kinds import CAPABILITIES, RLIMITS
from tests.support import needs_root

Check = Callable[[str], list[str]]

NOBODY = Rights(
    uid=65534,
    gids=frozenset({65534}),
    capabilities=0,
    nice=0,
    oom_score_adjust=0,
    hard_limits=dict.fromkeys(RLIMITS.values(), 1000),
)
ROOT = NOBODY._replace(uid=0, capabilities=(1 << len(CAPABILITIES)) - 1)


@pytest.fixture
def lacks(tmp_path: Path) -> Check:
    """Return a function that says what the machine lacks for a watcher and what follows it."""

    def check(more: str) -> list[str]:
        file = tmp_path / "shop.toml"
        file.write_text(f'[watchers.web]\ncommand = "true"\n{more}\n')
        expanded, findings = read(file)
        assert findings.in_order() == ()
        assert expanded is not None
        machine.check(expanded, findings, ROOT)
        found = findings.in_order()
        return [
            f"{'warning: ' * one.is_warning}{one.key}: {one.text}".replace(f"{tmp_path}", "")
            for one in found
        ]

    return check


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('user = "no-such-user"', "user: there is no user 'no-such-user': create it or correct"),
        ('group = "no-such-group"', "group: there is no group 'no-such-group': create it or "),
        ('supplementary_groups = ["root", "nope"]', "supplementary_groups[1]: there is no group"),
        (
            "cpu_affinity = '0,9000-9098,9100'",
            "cpu_affinity: names processors that this machine does not have: 9000-9098,9100",
        ),
        ('working_directory = "nope"', "working_directory: '/nope' does not exist: create it or"),
        ('working_directory = "shop.toml"', "working_directory: '/shop.toml' is not a directory"),
        ('stdout = "nope/log"', "stdout: '/nope' does not exist: create it or correct the path"),
        ('stderr = "shop.toml/log"', "stderr: '/shop.toml' is not a directory: create it or"),
        ('stderr = "./"', "stderr: '' is a directory: name a file in it"),
        ("environment = { PATH = '/nope' }", "command: 'true' is in no directory of PATH: ins"),
    ],
)
def test_what_is_missing_here_is_said(lacks: Check, more: str, said: str) -> None:
    (text,) = lacks(more)
    assert text.startswith(f"watchers.web.{said}")


def test_numbers_of_users_need_no_entry(lacks: Check) -> None:
    assert lacks("user = 4242\ngroup = 4242\n[control]\nread = ['@4242', 4242]") == []


def test_those_who_may_control_exist(lacks: Check) -> None:
    assert lacks('[control]\nread = ["root", "@nope"]\nadmin = "nope"') == [
        "control.read[1]: there is no group 'nope': create it or correct the name",
        "control.admin[0]: there is no user 'nope': create it or correct the name",
    ]


def test_programs_and_directories_are_those_of_each_slot(lacks: Check, tmp_path: Path) -> None:
    for slot in (0, 2):
        (tmp_path / f"dir{slot}").mkdir()
    more = 'workers = 4\nworking_directory = "dir{slot}"\n[watchers.b]\ncommand = "/bin/{watcher}"'
    assert [text.partition(":")[2].partition(":")[0] for text in lacks(more)] == [
        " '/dir1' does not exist",
        " '/dir3' does not exist",
        " '/bin/b' does not exist",
    ]


def test_a_program_is_executable_and_no_directory(lacks: Check, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("")
    more = f'working_directory = "."\n[watchers.b]\ncommand = "{tmp_path}/text"\n[watchers.c]\n'
    assert lacks(more + 'working_directory = "."\ncommand = "./."') == [
        "watchers.b.command: '/text' is not executable: chmod +x it",
        "watchers.c.command: './.' is a directory",
    ]


def test_the_path_without_an_inherited_environment_is_that_of_the_start(lacks: Check) -> None:
    assert lacks("inherit_environment = false") == []


def test_a_journal_needs_a_journald(
    lacks: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may be there by the time it is needed."""
    monkeypatch.setattr(machine, "_JOURNALD", str(tmp_path / "stdout"))
    said = "there is no journald here: what workers write is lost until they find one"
    assert lacks('stdout = "journal"') == [f"warning: watchers.web.stdout: {said}"]
    (tmp_path / "stdout").touch()
    assert lacks('stdout = "journal"') == []


# --- as the worker's user


@pytest.fixture
def private() -> Iterator[Path]:
    """Make a directory of root and group 4242, which has a tool and another directory in it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "deep").mkdir()
        tool = folder / "tool"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        os.chown(folder, 0, 4242)
        folder.chmod(0o750)
        yield folder


@needs_root
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("working_directory = 'HERE'", "working_directory: 'HERE' cannot be entered by 'nobody'"),
        (
            "working_directory = 'HERE/deep'",
            "working_directory: 'HERE/deep' cannot be reached by 'nobody': correct the permissions",
        ),
        (
            "environment.PATH = 'HERE'",
            "command: 'true' is in no directory of PATH that 'nobody' may search: install it or",
        ),
    ],
)
def test_directories_are_entered_as_the_user(
    lacks: Check, private: Path, more: str, said: str
) -> None:
    """The kernel is asked: groups, and what is above, have a say."""
    more = f"user = 'nobody'\n{more}".replace("HERE", str(private))
    (text,) = lacks(more)
    assert text.startswith(f"watchers.web.{said}".replace("HERE", str(private)))
    if "PATH" not in more:
        assert lacks(f"{more}\nsupplementary_groups = 4242") == []
        assert lacks(f"{more}\nambient_capabilities = 'dac_override'") == []


@needs_root
def test_programs_are_run_as_the_user(lacks: Check, private: Path) -> None:
    tool = f"[watchers.b]\ncommand = '{private}/tool'\n"
    user, group = "user = 'nobody'\n", "supplementary_groups = 4242\n"
    (text,) = lacks(tool + user)
    assert text.startswith(f"watchers.b.command: '{private}/tool' cannot be reached by 'nobody': c")
    assert lacks(tool + user + group) == []
    (private / "tool").chmod(0o700)
    (text,) = lacks(tool + user + group)
    assert text.startswith(f"watchers.b.command: '{private}/tool' cannot be executed by 'nobody': ")
    assert lacks(tool) == []


@needs_root
def test_where_the_supervisor_runs_need_not_be_entered(
    lacks: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is born there."""
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    assert lacks("user = 'nobody'") == []


# --- rights


def granted(more: str, tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "shop.toml"
    file.write_text(f"[watchers.web]\ncommand = 'true'\n{more}\n")
    expanded: Any = read(file).expanded
    values: dict[str, Any] = expanded["watchers"]["web"]
    return values


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("user = 0", "user: needs root: run pidsup as root, or remove it"),
        ("group = 0", "group: needs root"),
        ("supplementary_groups = [0]", "supplementary_groups: needs root"),
        ("nice = -1", "nice: is below 0, which needs root"),
        ('io_scheduling_class = "realtime"', "io_scheduling_class: realtime needs root"),
        ("oom_score_adjust = -1", "oom_score_adjust: is below 0, which needs root"),
        ("rlimits.nofile = '10:1001'", "rlimits: nofile is above pidsup's own hard limit, 1000"),
        ("rlimits.core = 'infinity'", "rlimits: core is above pidsup's own hard limit, 1000"),
        ("capability_bounding_set = []", "capability_bounding_set: needs the capability setpcap"),
        ("ambient_capabilities = 'kill'", "ambient_capabilities: pidsup itself does not have kill"),
    ],
)
def test_what_needs_root_is_said_to_whom_is_not(more: str, said: str, tmp_path: Path) -> None:
    values = granted(more, tmp_path)
    assert list(lacking(values, ROOT)) == []
    ((key, text),) = lacking(values, NOBODY)
    assert f"{key}: {text}".startswith(said)


@pytest.mark.parametrize(
    "more",
    ["user = 65534", "nice = 1", 'io_scheduling_class = "idle"', "oom_score_adjust = 5",
     "rlimits.nofile = 1000"],
)  # fmt: skip
def test_what_anybody_may_is_not_mentioned(more: str, tmp_path: Path) -> None:
    assert list(lacking(granted(more, tmp_path), NOBODY)) == []


def test_the_rights_are_those_of_this_process() -> None:
    mine = rights()
    assert mine.uid == os.geteuid()
    assert mine.is_user(str(os.geteuid()))
    assert mine.is_root is (os.geteuid() == 0)
    assert not mine.is_user("no-such-user")
    assert mine.nice <= os.getpriority(os.PRIO_PROCESS, 0)
