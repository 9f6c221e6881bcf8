"""`pidsup check` and `pidsup schema`: what is printed where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pidsup.cli.check import main, prepare
from pidsup.config.schema import as_schema


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a configuration that is good."""
    path = tmp_path / "shop.toml"
    path.write_text("watchers.a.command = 'true'\n")
    return path


def test_a_good_configuration_is_counted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: good, 1 watcher\n", "")
    file.write_text("watchers.a = { command = 'true', sockets = ['s'] }\nsockets.s.listen = 0\n")
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: good, 1 watcher, 1 socket\n"


def test_a_warning_is_printed_and_the_configuration_is_good(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watchers.a.command = 'true {slto}'\n")
    assert main(["check", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{file}: good, 1 watcher\n"
    assert err == (
        f"warning: {file}:1: watchers.a.command[1]: {{slto}} names nothing and stays as it is, "
        "did you mean {slot}?\n"
    )


def test_errors_of_file_and_machine_come_in_one_go_in_the_order_of_the_files(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[watchers.a]\ncommand = '/nope'\nworkers = -1\nlog_keep = 3\n")
    more = file.parent / "shop.d" / "more.toml"
    more.parent.mkdir()
    more.write_text("[watchers.a]\nuser = 'no-such-user'\n")
    assert main(["check", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(": watchers")[0] for line in err.splitlines()] == [
        f"{file}:2",
        f"{file}:3",
        f"warning: {file}:4",
        f"{more}:2",
    ]


def test_run_starts_in_spite_of_what_the_machine_lacks_and_says_so(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watchers.a.command = '/nope'\n")
    expanded = prepare(["run", "-c", str(file)])
    assert expanded is not None
    assert expanded["name"] == "shop"
    assert capsys.readouterr().err.startswith(f"warning: {file}:1: watchers.a.command: '/nope' d")


def test_run_does_not_start_with_what_is_wrong_everywhere(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watchers.a.command = 3\n")
    assert prepare(["run", "-c", str(file)]) is None
    assert capsys.readouterr().err.startswith(f"{file}:1: watchers.a.command: must be")


def test_a_file_that_cannot_be_read_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{tmp_path}/nope.toml"]) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path}/nope.toml: cannot read the configuration: No such file or directory\n"
    )


def test_schema_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == as_schema()
