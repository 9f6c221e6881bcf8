"""Loading: what is accepted, and what is said about what is not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pidsup.config.load import load, parse
from pidsup.config.model import config
from pidsup.config.problem import ConfigError
from pidsup.policy.restart import GiveUpAction, Restart, RestartPolicy
from pidsup.policy.stopping import StopStep


def read(document: str) -> Any:
    """Load a document that is called shop.toml."""
    return parse(dedent(document), file="shop.toml", default_name="shop")


def complaints(document: str) -> list[str]:
    """Return all that is said about a document."""
    with pytest.raises(ConfigError) as caught:
        read(document)
    return [str(problem) for problem in caught.value.problems]


def test_a_command_is_all_that_a_watcher_needs() -> None:
    spec = config(read('watchers.web.command = ["web", "--port", "80"]')).watchers[0]
    assert (spec.name, spec.command, spec.workers) == ("web", ("web", "--port", "80"), 1)
    assert spec.restart.restart is Restart.ALWAYS
    assert spec.stop_plan == (StopStep(15, 10.0),)


def test_every_option_reaches_the_model() -> None:
    spec = config(
        read("""
        [watchers.db]
        command = "db"
        [watchers.web]
        command = "web --name 'a b'"
        workers = 3
        type = "exec"
        autostart = false
        after = ["db"]
        warmup_delay = "250ms"
        restart = "on-failure"
        min_uptime = 2
        restart_delay = "1s"
        restart_factor = 3
        restart_max_delay = "1min 30s"
        restart_jitter = 0
        start_limit_burst = 7
        start_limit_interval = "1h"
        on_give_up = "exit"
        give_up_exit_code = 70
        stop_plan = [{ signal = "QUIT", timeout = "5s" }, { timeout = 1.5, to = "all" }]
        working_directory = "/srv"
        environment = { A = "1", B = 2, C = true }
        user = "nobody"
        group = 12
        stdout = "null"
        stderr = "inherit"
        """)
    ).watchers[1]
    assert spec.command == ("web", "--name", "a b")
    assert (spec.workers, spec.after, spec.warmup_delay_s) == (3, ("db",), 0.25)
    assert not spec.autostart
    assert spec.restart == RestartPolicy(Restart.ON_FAILURE, 2, 1, 3, 90, 0, 7, 3600)
    assert (spec.on_give_up, spec.give_up_exit_code) == (GiveUpAction.EXIT, 70)
    assert spec.stop_plan == (StopStep(3, 5, False), StopStep(15, 1.5, True))
    assert spec.environment == {"A": "1", "B": "2", "C": "true"}
    assert (spec.user, spec.group, spec.stdout, spec.stderr) == ("nobody", "12", "null", "inherit")


def test_the_name_is_that_of_the_file_unless_it_is_set() -> None:
    assert config(read('watchers.a.command = "a"')).name == "shop"
    assert config(read('supervisor.name = "other"\nwatchers.a.command = "a"')).name == "other"


def test_watchers_keep_the_order_of_the_file() -> None:
    loaded = config(read('watchers.b.command = "b"\nwatchers.a.command = "a"'))
    assert [watcher.name for watcher in loaded.watchers] == ["b", "a"]


def test_all_problems_come_in_one_go_with_file_line_key_and_what_to_do() -> None:
    assert complaints("""\
        [supervisor]
        nam = "x"

        [watchers.web]
        comand = ["web"]
        workers = -1
        stop_timeout = "5 parsecs"
        after = ["dbb"]

        [watchers.db]
        command = []
        environment = { "A=B" = "1" }

        [socks]
        """) == [
        "shop.toml:2: supervisor.nam: unknown option, did you mean 'name'?",
        "shop.toml:4: watchers.web: has no command: add command = ...",
        "shop.toml:5: watchers.web.comand: unknown option, did you mean 'command'?",
        "shop.toml:6: watchers.web.workers: must be a whole number from 0 to 100000, not -1",
        (
            "shop.toml:7: watchers.web.stop_timeout: has no known unit in '5 parsecs': use us, ms, "
            "s, min, h, d, w, not '5 parsecs'"
        ),
        "shop.toml:8: watchers.web.after: there is no watcher 'dbb', did you mean 'db'?",
        "shop.toml:11: watchers.db.command: must be an array of strings, the program first, not []",
        (
            "shop.toml:12: watchers.db.environment: has the name 'A=B': names are not empty and "
            "have no '=', not {'A=B': '1'}"
        ),
        "shop.toml:14: socks: unknown section; known are supervisor, watchers",
    ]


@pytest.mark.parametrize(
    ("key", "ours"),
    [("numprocesses", "workers"), ("graceful_timeout", "stop_timeout"), ("ExecStart", "command"),
     ("RestartSec", "restart_delay"), ("restart_sec", "restart_delay"), ("uid", "user")],
)  # fmt: skip
def test_names_of_circus_and_systemd_are_understood_but_not_taken(key: str, ours: str) -> None:
    (text,) = complaints(f'[watchers.a]\ncommand = "a"\n{key} = 1\n')
    assert text == f"shop.toml:3: watchers.a.{key}: unknown option: it is called {ours!r} here"


def test_a_circle_is_named() -> None:
    (text,) = complaints("""\
        watchers.a = { command = "a", after = ["b"] }
        watchers.b = { command = "b", after = ["a"] }
        """)
    assert (
        text == "shop.toml:1: watchers.a.after: waits for itself: a -> b -> a; remove one of these"
    )


def test_stop_signal_beside_a_stop_plan_is_an_error_not_ignored() -> None:
    (text,) = complaints("""\
        [watchers.a]
        command = "a"
        stop_signal = "INT"
        stop_plan = [{ signal = "TERM" }]
        """)
    assert text == "shop.toml:3: watchers.a.stop_signal: has no effect beside stop_plan: remove one"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("command = 3", "must be an array of strings, the program first, not 3"),
        ('command = ["a", 3]', "must consist of strings, not ['a', 3]"),
        ('command = "a \'b"', 'cannot be split into words: No closing quotation, not "a \'b"'),
        ('command = ["a\\u0000b"]', "must consist of strings, not ['a\\x00b']"),
        ("workers = true", "must be a whole number from 0 to 100000, not True"),
        ("workers = 1.5", "must be a whole number from 0 to 100000, not 1.5"),
        ("min_uptime = -1", 'must be a duration such as "100ms", "5s", "2min", or seconds as a '),
        ('min_uptime = ""', 'must be a duration such as "100ms", "5s", "2min" or "1h 30min", not'),
        ("min_uptime = nan", 'must be a duration such as "100ms", "5s", "2min", or seconds as a '),
        ("restart_factor = inf", "must be a number from 1 to 100, not inf"),
        ("restart_factor = 0.5", "must be a number from 1 to 100, not 0.5"),
        (
            'stop_signal = "TREM"',
            'must be a signal such as "TERM", "SIGUSR1", "RTMIN+3", or its nu',
        ),
        ("stop_signal = 0", 'must be a signal such as "TERM", "SIGUSR1", "RTMIN+3", or its number'),
        ('restart = "sometimes"', "must be one of 'no', 'always', 'on-success', 'on-failure', "),
        ("stop_plan = []", "must be an array of tables with signal, timeout and to, not []"),
        ('stop_plan = [{ sgnal = "TERM" }]', "has the unknown key 'sgnal': known are signal, "),
        ('stop_plan = [{ to = "one" }]', "has a step whose to must be one of 'main', 'all', not"),
        ("environment = []", "must be a table of strings, not []"),
        ("user = true", "must be a name or a number, not True"),
        ("after = [1]", "must consist of strings, not [1]"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(line: str, why: str) -> None:
    other = "" if line.startswith("command") else 'command = "a"\n'
    (text,) = complaints(f"[watchers.a]\n{other}{line}\n")
    key = line.partition(" ")[0]
    assert text.startswith(f"shop.toml:{2 + bool(other)}: watchers.a.{key}: {why}")


@pytest.mark.parametrize("name", ["a:b", "a b", "-a", "a*", "x" * 64, "é"])
def test_names_that_selectors_could_not_name_are_refused(name: str) -> None:
    (text,) = complaints(f'[watchers."{name}"]\ncommand = "a"\n')
    assert "cannot use the name" in text


def test_what_is_not_toml_is_said_with_its_line() -> None:
    (text,) = complaints('[watchers.a]\ncommand = "a"\nworkers = = 3\n')
    assert text == "shop.toml:3: not valid TOML: invalid value"


def test_a_configuration_without_watchers_is_an_error() -> None:
    (text,) = complaints("")
    assert text == "shop.toml: has no watchers: add a section [watchers.NAME] with a command"


def test_a_missing_file_is_said_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration: No such file"):
        load(tmp_path / "nope.toml")


def test_bytes_that_are_no_text_are_said_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(b"[watchers.a]\ncommand = '\xff'\n")
    with pytest.raises(ConfigError, match=r"shop\.toml:2: is not UTF-8"):
        load(path)


def test_sections_of_the_wrong_kind_are_said() -> None:
    assert complaints("supervisor = 3\nwatchers = 4") == [
        "shop.toml:1: supervisor: must be a table, [supervisor]",
        "shop.toml:2: watchers: must be a table of tables, [watchers.NAME]",
    ]
    assert complaints("watchers.a = 3") == [
        "shop.toml:1: watchers.a: must be a table, [watchers.a]",
    ]
