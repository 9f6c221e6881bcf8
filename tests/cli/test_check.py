"""`pidsup check` and `pidsup schema`: what is printed where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
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


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "Is a directory"),
        ("..", "Is a directory"),
        ("/", "Is a directory"),
        ("shop.d", "Is a directory"),
        ("shop.toml/", "Not a directory"),
        ("", "No such file or directory"),
    ],
)
def test_what_is_no_file_is_said(
    file: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: str,
    name: str,
    why: str,
) -> None:
    (file.parent / "shop.d").mkdir()
    monkeypatch.chdir(file.parent)
    program = Path(sys.executable).with_name("pidsup")
    done = subprocess.run([program, command, "-c", name], check=False)
    shown = name or "''"
    assert (done.returncode, capfd.readouterr()) == (
        2,
        ("", f"{shown}: cannot read the configuration: {why}\n"),
    )


@pytest.mark.parametrize("option", [[], ["-c"], ["--config"]])
def test_the_file_is_named_with_and_without_an_option(
    file: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By check and by run."""
    assert main(["check", *option, str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: good, 1 watcher\n"
    assert prepare(["run", *option, str(file)]) is not None


@pytest.mark.parametrize("arguments", [[], ["a.toml", "-c", "b.toml"]])
def test_one_file_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["check", *arguments])
    assert end.value.code == 2
    assert "-c" in capsys.readouterr().err


def test_the_files_of_a_configuration_are_found_from_anywhere(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was named from somewhere else than its directory."""
    monkeypatch.chdir(file.parent.parent)
    expanded = prepare(["run", str(file.relative_to(file.parent.parent))])
    assert expanded is not None
    assert expanded["files"] == [str(file)]
