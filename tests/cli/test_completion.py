"""What is offered, and that real shells offer it; live names are in tests/system."""

from __future__ import annotations

import pytest

from pidsup.cli.ctl import completion_pidsup
from pidsup.cli.ctl.commands import COMMANDS
from pidsup.cli.ctl.completion import complete, offers


def words(*line: str) -> list[str]:
    """Return what is offered for the last word."""
    return [word for word, _ in offers(line[:-1], line[-1]) if word.startswith(line[-1])]


def test_commands_are_offered_first() -> None:
    assert words("") == [name for name, command in COMMANDS.items() if not command.hidden]
    assert words("sta") == ["status", "start", "stats"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["--col"], ["--color"]),
        (["--color", ""], ["auto", "always", "never"]),
        (["--color=n"], ["--color=never"]),
        (["--color", "never", "stop", "--t"], ["--timeout"]),
        (["stop", "web", "--timeout", ""], ["5s", "30s", "2min"]),
        (["status", "-o", ""], ["table", "wide", "json"]),
        (["-o", ""], ["table", "json"]),
        (["-o", "json", "stat"], ["status", "stats"]),
        (["events", "--output="], ["--output=table", "--output=json"]),
        (["logs", "--stream", "std"], ["stdout", "stderr"]),
        (["logs", "-n", ""], ["10", "100", "all"]),
        (["top", "-s", "m"], ["mem"]),
        (["signal", "US"], ["USR1", "USR2"]),
        (["kill", "SIGUS"], ["SIGUSR1", "SIGUSR2"]),
        (["signal", "HUP", "web", "--to", ""], ["main", "children", "all"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["help", "sig"], ["signal"]),
        (["--socket", ""], [":files"]),
        (["-H", ""], [":hosts"]),
        (["run", "web", "pyth"], [":commands"]),
        (["shutdown", ""], []),
        (["nope", ""], []),
    ],
)
def test_options_and_values_are_offered(line: list[str], offered: list[str]) -> None:
    found = [w for w, _ in offers(line[:-1], line[-1]) if w.startswith((line[-1], ":"))]
    assert found == offered


def test_options_of_a_command_stand_in_for_global_ones() -> None:
    given = words("logs", "-")
    assert given.count("-n") == 1
    assert "--lines" in given
    assert "--name" not in given or "--socket" in given


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ([""], ["run", "exec", "check", "schema", "install-units"]),
        (["--v"], ["--version"]),
        (["run", ""], [":toml"]),
        (["run", "-"], ["-h", "--help", "-c", "--config"]),
        (["run", "--con"], ["--config"]),
        (["run", "-c", ""], [":toml"]),
        (["run", "-c", "shop.toml", ""], []),
        (["check", ""], [":toml"]),
        (["check", "shop.toml", ""], []),
        (["schema", "x", ""], []),
        (["install-units", ""], [":toml"]),
        (["install-units", "--user", "shop.toml", ""], [":toml"]),
        (["install-units", "--directory", ""], [":files"]),
        (["exec", "--or"], ["--orphan-timeout"]),
        (["exec", "--directory", ""], [":files"]),
        (["exec", "--user", ""], []),
        (["exec", "--user", "www", "ngi"], [":commands"]),
        (["exec", "nginx", "-"], [":files"]),
        (["nope", ""], []),
    ],
)
def test_commands_and_files_are_offered_for_pidsup(line: list[str], offered: list[str]) -> None:
    found = [word for word, _ in completion_pidsup.offers(line[:-1], line[-1])]
    assert [word for word in found if word.startswith((line[-1], ":"))] == offered


def test_a_word_is_completed_for_the_program_that_begins_the_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complete(["bash", "/usr/bin/pidsup sch", "sch"])
    complete(["bash", "pidsupctl sch", "sch"])
    complete(["zsh", "pidsup", "sch"])
    assert capsys.readouterr().out.splitlines() == [
        "schema",
        "schema:print the JSON Schema of configurations",
    ]


@pytest.mark.parametrize(
    ("line", "word", "printed"),
    [
        ("pidsupctl sta", "sta", "status\nstart\nstats\n"),
        ("pidsupctl --color=n", "n", "never\n"),
        ("pidsupctl 'sta", "sta", "status\nstart\nstats\n"),
        ("pidsupctl logs --stream ", "", "stdout\nstderr\n"),
        ("pidsupctl kill SIGUSR", "SIGUSR", "SIGUSR1\nSIGUSR2\n"),
    ],
)
def test_bash_gets_what_is_behind_its_word_breaks(
    line: str, word: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(["bash", line, word]) == 0
    assert capsys.readouterr().out == printed


def test_zsh_and_fish_get_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    complete(["zsh", "pidsupctl", "stat"])
    complete(["fish", "pidsupctl", "stat"])
    assert capsys.readouterr().out.splitlines() == [
        "status:show how watchers and slots stand",
        "stats:show what each slot uses",
        "status\tshow how watchers and slots stand",
        "stats\tshow what each slot uses",
    ]
