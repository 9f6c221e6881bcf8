"""What this machine lacks for a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pidsup.config import machine
from pidsup.config.load import read
from pidsup.config.machine_rights import Rights, lacking, rights
from pidsup.config.process_kinds import CAPABILITIES, RLIMITS
from pidsup.linux.spawn import DEFAULT_PATH

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
        ("cpu_affinity = [0, 9999]", "cpu_affinity: names processors that this machine does not "),
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
    assert machine.DEFAULT_PATH == DEFAULT_PATH
    assert lacks("inherit_environment = false") == []


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
