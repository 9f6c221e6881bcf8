"""The command line: the table, global options on either side, values."""

from __future__ import annotations

import importlib
import re
import shlex
import time
from datetime import datetime, timedelta

import pytest

from pidsup.cli.ctl.arguments import parse, parse_quickly
from pidsup.cli.ctl.commands import COMMANDS, find
from pidsup.cli.ctl.endings import Complaint
from pidsup.cli.ctl.usage import parse_slowly
from pidsup.cli.ctl.values import ALL, instant

_NAMES = [name for name, command in COMMANDS.items() if not command.hidden]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_done_somewhere(name: str) -> None:
    module, _, function = COMMANDS[name].how.partition(":")
    assert callable(getattr(importlib.import_module(f"pidsup.cli.ctl.{module}"), function))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse([name, "--help"])
    assert end.value.code == 0
    assert COMMANDS[name].text[1:] in capsys.readouterr().out


def _lines() -> list[str]:
    lines = [line for command in COMMANDS.values() for line, _ in command.examples]
    return [part.strip() for line in lines for part in re.split(r"\||&&|>", line)]


@pytest.mark.parametrize("line", [line for line in _lines() if line.startswith("pidsupctl")])
def test_every_example_can_be_typed(line: str) -> None:
    given = parse(shlex.split(line)[1:])
    assert given.does.name in line


@pytest.mark.parametrize(
    "line",
    [
        *(line.split(maxsplit=1)[1] for line in _lines() if line.startswith("pidsupctl ")),
        "-n shop --color=never --socket /x status -a",
        "-o json -n shop status web",
        "scale web db -1",
        "kill -9 web",
        "logs -n10 -f web",
        "run -e A=1 -e B=2 web ls -l -n x",
        "run web -- ls",
        "changes",
        "help",
        "top -d 1min -s mem -n 3 -b",
        "stop web --timeout=5s --no-wait -q -o json",
    ],
)
def test_argparse_would_understand_the_same(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)  # what --since counts from
    quick, slow = parse_quickly(shlex.split(line)), parse_slowly(shlex.split(line))
    assert {k: v for k, v in vars(quick).items() if v} == {k: v for k, v in vars(slow).items() if v}


def test_no_two_commands_share_a_name() -> None:
    every = [name for c in COMMANDS.values() for name in (c.name, *c.aliases)]
    assert len(every) == len(set(every))
    assert find("ls") is COMMANDS["status"]
    assert find("nope") is None


@pytest.mark.parametrize(
    "line",
    ["-n shop status", "-nshop status", "--name shop status", "--name=shop status",
     "status -n shop", "status --name=shop"],
)  # fmt: skip
def test_global_options_stand_on_either_side(line: str) -> None:
    assert parse(line.split()).name == "shop"


@pytest.mark.parametrize(
    "line", ["-o json status", "-ojson status", "--output=json status", "status -o json"]
)
def test_how_it_is_printed_may_stand_before_the_command_too(line: str) -> None:
    assert parse(line.split()).output == "json"
    assert parse(["-o", "json", "status", "--output", "wide"]).output == "wide"


def test_n_is_the_number_of_lines_behind_logs_and_the_supervisor_before_it() -> None:
    given = parse("-n shop logs -n 100 --name cart web".split())
    assert (given.name, given.lines, given.selectors) == ("cart", 100, ["web"])
    assert parse("-n shop logs -n all".split()).lines == ALL


def test_the_name_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDSUP_NAME", "cart")
    assert parse(["status"]).name == "cart"
    assert parse(["-n", "shop", "status"]).name == "shop"


@pytest.mark.parametrize("option", ["--host", "--name", "--socket"])
def test_an_empty_variable_does_not_mean_another_supervisor(option: str) -> None:
    """`-H "$HOST" stop '*'` must not stop what runs here."""
    with pytest.raises(Complaint, match=f"{option} must not be empty") as caught:
        parse([option, "", "stop", "*"])
    assert caught.value.code == 2


def test_everything_behind_the_watcher_of_run_is_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PIDSUP_NAME", raising=False)
    given = parse(["run", "web", "ls", "-l", "-n", "x"])
    assert (given.watcher, given.command, given.name) == ("web", ["ls", "-l", "-n", "x"], None)


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), ("5s", 5.0), ("1min 30s", 90.0)])
def test_durations_are_written_as_in_the_configuration(text: str, seconds: float) -> None:
    assert parse(["stop", "web", "--timeout", text]).timeout == seconds


def test_since_is_how_long_ago_or_a_date_or_a_time_of_today() -> None:
    for text in ("10min", "-10min", "10min ago"):
        assert abs(instant(text) - (time.time() - 600)) < 60
    assert instant("2026-03-01 14:00") == datetime(2026, 3, 1, 14).astimezone().timestamp()
    assert instant("2026-03-01T14:00:00+00:00") == 1772373600
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    assert instant("today") == midnight.timestamp()
    assert instant("yesterday") == (midnight - timedelta(days=1)).timestamp()
    assert instant("00:01") == midnight.timestamp() + 60
    for text in ("soon", "2026-13-01", "--5"):
        with pytest.raises(ValueError, match=f"'{text}' must be like 10min, 14:00, today, or "):
            instant(text)


@pytest.mark.parametrize("words", [["--since", "-1h"], ["--since=-1h"]])
def test_a_time_may_begin_as_an_option_does(words: list[str]) -> None:
    """As journalctl takes it; also where argparse looks for what is wrong."""
    assert parse(["logs", *words, "-r"]).since == "-1h"
    assert parse_slowly(["logs", *words, "-r"]).since == "-1h"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "pidsupctl: error: name a command; pidsupctl -h lists them\n"),
        ("-n shop", "pidsupctl: error: name a command; pidsupctl -h lists them\n"),
        ("restrat", "did you mean 'restart'?"),
        ("statsu", "did you mean 'status'?"),
        ("stas", "did you mean 'stats'?"),
        ("xyz", "there is no command 'xyz'; pidsupctl -h lists them"),
        ("-o", "argument -o/--output: expected one argument"),
        ("-o yaml status", "invalid choice: 'yaml' (choose from 'table', 'wide', 'json')"),
        ("-o json top", "unrecognized arguments: --output=json"),
        ("--nope status", "--nope"),
        ("scale web", "COUNT"),
        ("scale web many", "'many' must be a number, or +N, or -N"),
        ("scale web +-1", "must be a number"),
        ("stop", "SELECTOR"),
        ("stop web --timeout soon", "argument --timeout: must be a duration such as"),
        ("stop web --timeout 5x", "argument --timeout: has no known unit in '5x'"),
        ("stop web --timeo 5s", "--timeo"),
        ("logs -n few", "'few' must be a whole number"),
        ("logs --since -f", "argument --since: expected one argument"),
        ("status -o yaml", "invalid choice: 'yaml'"),
        ("run -e =5 web", "'=5' must be NAME=VALUE"),
        ("completion tcsh", "invalid choice: 'tcsh'"),
    ],
)
def test_what_is_wrong_is_said(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(line.split())
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("count", ["5", "+2", "-1"])
def test_counts_may_look_like_options(count: str) -> None:
    assert parse(["scale", "web", "db", count]).count == count


def test_a_signal_may_look_as_kill_has_it() -> None:
    given = parse(["kill", "-9", "web"])
    assert (given.does.name, given.signal, given.selectors) == ("signal", "9", ["web"])
