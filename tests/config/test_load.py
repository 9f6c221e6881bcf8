"""Loading: what is accepted, and what is said about what is not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pidsup.config.load import load, parse
from pidsup.config.model import Access, Attributes, OutputSpec, SocketSpec, config
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


def test_every_option_of_a_watcher_reaches_the_model() -> None:
    spec = config(
        read("""
        [watchers.db]
        command = "db"
        [watchers.web]
        command = "web --name 'a b'"
        workers = 3
        type = "exec"
        autostart = false
        after = "db"
        critical = true
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
        forward_signals = ["USR1", "HUP"]
        sockets = ["http"]
        stdin_socket = "inetd"
        working_directory = "/srv"
        environment = { A = "1", B = 2, C = true }
        inherit_environment = false
        user = "nobody"
        group = 12
        supplementary_groups = ["adm", 4]
        umask = "0027"
        nice = -5
        io_scheduling_class = "best-effort"
        io_scheduling_priority = 7
        cpu_affinity = "0-2,5"
        oom_score_adjust = -100
        rlimits = { nofile = 1024, core = "infinity", stack = "8M:64M", cpu = "2min" }
        no_new_privs = true
        capability_bounding_set = ["CAP_CHOWN", "net_bind_service"]
        ambient_capabilities = "chown"
        stdout = "/var/log/web.log"
        stderr = "stdout"
        log_format = "json"
        log_max_size = "1M"
        log_max_age = "1d"
        log_keep = 3
        log_compress = "gzip"
        log_policy = "drop"
        log_queue = 4096
        log_memory = 0
        [sockets.http]
        listen = 8080
        [sockets.inetd]
        listen = "@inetd"
        """)
    ).watchers[1]
    assert spec.command == ("web", "--name", "a b")
    assert (spec.workers, spec.after, spec.warmup_delay_s) == (3, ("db",), 0.25)
    assert (spec.autostart, spec.critical, spec.singleton, spec.foreground) == (
        False, True, False, False,
    )  # fmt: skip
    assert spec.restart == RestartPolicy(Restart.ON_FAILURE, 2, 1, 3, 90, 0, 7, 3600)
    assert (spec.on_give_up, spec.give_up_exit_code) == (GiveUpAction.EXIT, 70)
    assert spec.stop_plan == (StopStep(3, 5, False), StopStep(15, 1.5, True))
    assert spec.forward_signals == (10, 1)
    assert (spec.sockets, spec.stdin_socket) == (("http",), "inetd")
    assert spec.environment == {"A": "1", "B": "2", "C": "true"}
    assert spec.inherit_environment is False
    assert spec.attributes == Attributes(
        user="nobody",
        group="12",
        supplementary_groups=("adm", "4"),
        working_directory="/srv",
        umask=0o27,
        nice=-5,
        io_class=2,
        io_priority=7,
        cpus=(0, 1, 2, 5),
        oom_score_adjust=-100,
        rlimits=((7, 1024, 1024), (4, -1, -1), (3, 8 << 20, 64 << 20), (0, 120, 120)),
        no_new_privs=True,
        bounding=1 | 1 << 10,
        ambient=1,
    )
    assert spec.output == OutputSpec(
        stdout="/var/log/web.log",
        stderr="stdout",
        format="json",
        max_size_bytes=1 << 20,
        max_age_s=86400,
        keep=3,
        compress=True,
        block=False,
        queue_bytes=4096,
        memory_bytes=0,
    )


def test_every_option_of_a_socket_reaches_the_model() -> None:
    sockets = config(
        read("""
        watchers.a = { command = "a", sockets = ["http", "path"] }
        [sockets.http]
        listen = "[::1]:8080"
        backlog = 7
        blocking = true
        reuse_port = true
        keepalive = true
        nodelay = true
        ipv6_only = true
        free_bind = true
        receive_buffer = "64K"
        send_buffer = "1M"
        bind_to_device = "lo"
        [sockets.path]
        listen = "/run/a.sock"
        type = "seqpacket"
        mode = "0600"
        user = "nobody"
        group = 12
        """)
    ).sockets
    assert sockets == (
        SocketSpec(
            name="http",
            listen="[::1]:8080",
            backlog=7,
            blocking=True,
            reuse_port=True,
            keepalive=True,
            nodelay=True,
            ipv6_only=True,
            free_bind=True,
            receive_buffer=65536,
            send_buffer=1 << 20,
            bind_to_device="lo",
        ),
        SocketSpec(
            name="path",
            listen="/run/a.sock",
            type="seqpacket",
            mode=0o600,
            user="nobody",
            group="12",
        ),
    )


def test_the_other_sections_reach_the_model() -> None:
    whole = config(
        read("""
        [supervisor]
        name = "s"
        console_format = "json"
        orphan_timeout = 1
        log_level = "error"
        [control]
        read = ["@adm", 7]
        operate = "nobody"
        admin = []
        [watchers.a]
        command = "a"
        """)
    )
    assert (whole.name, whole.console_format, whole.orphan_timeout_s) == ("s", "json", 1)
    assert (whole.log_level, whole.control_socket) == ("error", True)
    assert whole.access == Access(("@adm", "7"), ("nobody",), ())


def test_the_defaults_of_the_table_are_those_of_the_model() -> None:
    """Others make specs by hand, and leave out what the table has a default for."""
    whole = config(read('watchers.a = { command = "a", sockets = ["s"] }\nsockets.s.listen = 80'))
    assert whole.sockets[0] == SocketSpec("s", "80")
    assert whole.watchers[0].attributes == Attributes()
    assert whole.watchers[0].output._replace(stdout="null", stderr="null") == OutputSpec(
        max_size_bytes=50 << 20
    )


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
            "s, min, h, d, w"
        ),
        "shop.toml:8: watchers.web.after[0]: there is no watcher 'dbb', did you mean 'db'?",
        "shop.toml:11: watchers.db.command: must be an array of strings, the program first, not []",
        (
            "shop.toml:12: watchers.db.environment.A=B: is no name of a variable: it is empty, or "
            "has '=' or NUL in it"
        ),
        "shop.toml:14: socks: unknown section, did you mean 'sockets'?",
    ]


@pytest.mark.parametrize(
    ("key", "ours"),
    [("numprocesses", "workers"), ("graceful_timeout", "stop_timeout"), ("ExecStart", "command"),
     ("RestartSec", "restart_delay"), ("restart_sec", "restart_delay"), ("uid", "user"),
     ("rlimit_nofile", "rlimits"), ("LimitNOFILE", "rlimits"), ("use_sockets", "sockets"),
     ("NoNewPrivileges", "no_new_privs"), ("stdout_stream.class", "stdout"), ("args", "command")],
)  # fmt: skip
def test_names_of_circus_and_systemd_are_understood_but_not_taken(key: str, ours: str) -> None:
    (text,) = complaints(f'[watchers.a]\ncommand = "a"\n"{key}" = 1\n')
    assert text == f"shop.toml:3: watchers.a.{key}: unknown option: it is called {ours!r} here"


def test_a_circle_is_named() -> None:
    (text,) = complaints("""\
        watchers.a = { command = "a", after = ["b"] }
        watchers.b = { command = "b", after = ["a"] }
        """)
    assert (
        text == "shop.toml:1: watchers.a.after: waits for itself: a -> b -> a; remove one of these"
    )


def test_all_circles_are_named_in_one_go() -> None:
    """One that is of one watcher alone, too; and what only waits for a circle is none."""
    assert complaints("""\
        watchers.a = { command = "a", after = ["b"] }
        watchers.b = { command = "b", after = ["a"] }
        watchers.c = { command = "c", after = ["a", "e"] }
        watchers.e = { command = "e", after = ["e", "a"] }
        """) == [
        "shop.toml:1: watchers.a.after: waits for itself: a -> b -> a; remove one of these",
        "shop.toml:4: watchers.e.after: waits for itself: e -> e; remove one of these",
    ]


@pytest.mark.parametrize("unknown", ["[nope]", "[nope.deeper.x]", "nope.x = 1", "[[nope]]"])
def test_an_unknown_section_has_a_line_however_it_is_written(unknown: str) -> None:
    (text,) = complaints(f"# first\nwatchers.a.command = 'a'\n{unknown}\n")
    assert text.startswith("shop.toml:3: nope: unknown section")


def test_a_watcher_that_is_said_key_by_key_has_the_line_of_the_first() -> None:
    (text,) = complaints("watchers.a.command = 'a'\nwatchers.b.workers = 2\n")
    assert text == "shop.toml:2: watchers.b: has no command: add command = ..."


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
        ("command = 3", ": must be an array of strings, the program first, not 3"),
        ('command = ["a", 3]', "[1]: must be a string, not 3"),
        ('command = [""]', ": must name a program first"),
        ('command = "a \'b"', ": cannot be split into words: no closing quotation"),
        ('command = ["a\\u0000b"]', "[0]: must not have a NUL in it"),
        ('command = ""', ": must be an array of strings, the program first, not ''"),
        ('environment = { A = "a\\u0000b" }', ".A: must not have a NUL in it"),
        ('stdout = "/a\\u0000b"', ": must not have a NUL in it"),
        ('working_directory = "a\\u0000b"', ": must not have a NUL in it"),
        ("workers = true", ": must be a whole number from 0 to 100000, not true"),
        ("workers = 1.5", ": must be a whole number from 0 to 100000, not 1.5"),
        ("min_uptime = -1", ': must be a duration such as "100ms", "5s", "1min 30s", or seconds'),
        ('min_uptime = ""', ": must be a duration such as"),
        ('min_uptime = "1e9"', ": has no known unit in '1e'"),
        ('min_uptime = "31y"', ": has no known unit in '31y'"),
        ("min_uptime = nan", ": must be a duration such as"),
        ("restart_factor = inf", ": must be a number from 1 to 100, not inf"),
        ("restart_factor = 0.5", ": must be a number from 1 to 100, not 0.5"),
        ('stop_signal = "TREM"', ': must be a signal such as "TERM", "SIGUSR1", "RTMIN+3", or its'),
        ("stop_signal = 0", ": must be a signal such as"),
        ('stop_signal = "RTMIN+31"', ": must be a signal such as"),
        ('stop_signal = "RTMIN-1"', ": must be a signal such as"),
        ('forward_signals = ["USR1", "KILL"]', "[1]: cannot be KILL: no program can catch it"),
        ("forward_signals = 15", ": cannot be TERM: it stops the supervisor"),
        ('restart = "sometimes"', ': must be one of "no", "always", "on-success", "on-failure", '),
        ("stop_plan = []", ": must be an array of tables such as { signal, timeout, to }, not []"),
        ("stop_plan = [3]", "[0]: must be a table such as { signal, timeout, to }, not 3"),
        ('stop_plan = [{ sgnal = "TERM" }]', "[0].sgnal: unknown key; known are signal, timeout"),
        ('stop_plan = [{ to = "one" }]', '[0].to: must be one of "main", "all", not'),
        ("environment = []", ": must be a table of strings, not []"),
        ("environment = { A = ['secret'] }", ".A: must be a string"),
        ("user = true", ": must be a name or a number, not true"),
        ("user = -1", ": must be a name or a number, not -1"),
        ("user = 4294967295", ": must be a name or a number, not 4294967295"),
        ("after = [1]", "[0]: must be a name, 1 to 63 letters"),
        ("umask = 640", ': must be permissions in octal and in quotes, such as "0640", not 640'),
        ('umask = "0800"', ": must be permissions in octal"),
        ('log_max_size = "5 parsecs"', ': must be a size such as "64K"'),
        ("log_max_size = -1", ': must be a size such as "64K"'),
        ('stdout = "stdout"', ': must be "auto", "journal", "console", "capture", "inherit"'),
        ('cpu_affinity = "3-1"', ': must be processors such as "0-3,8" or [0, 1], not'),
        ('cpu_affinity = "0-99999"', ": must be processors"),
        ("cpu_affinity = [-1]", ": must be processors"),
        ("rlimits = 3", ": must be a table of limits such as"),
        ("rlimits = { nofil = 3 }", ".nofil: there is no such limit, did you mean 'nofile'?"),
        ('rlimits = { nofile = "9:8" }', ".nofile: must be two limits of which the first, the so"),
        ('rlimits = { nofile = "infinity:8" }', ".nofile: must be two limits of which the first"),
        ('rlimits = { core = "8M:" }', ".core: must be a size such as"),
        ("rlimits = { rttime = true }", ".rttime: must be a size such as"),
        (
            'ambient_capabilities = ["net_bind", "chown"]',
            "[0]: there is no capability 'net_bind', did you mean 'net_bind_service'?",
        ),
        ('io_scheduling_class = "best"', ': must be one of "realtime", "best-effort", "idle", not'),
        ('working_directory = ""', ": must be a string, and not empty, not ''"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(line: str, why: str) -> None:
    other = "" if line.startswith("command") else 'command = "a"\n'
    (text,) = complaints(f"[watchers.a]\n{other}{line}\n")
    key = line.partition(" ")[0]
    assert text.startswith(f"shop.toml:{2 + bool(other)}: watchers.a.{key}{why}")
    assert "secret" not in text


def test_all_that_is_wrong_inside_one_option_is_said_each_on_its_line() -> None:
    assert [
        text.partition(": must")[0].partition(": there")[0]
        for text in complaints("""\
        [watchers.a]
        command = "a"
        stop_plan = [
          { signal = "TREM", timeout = -1 },
          { to = "nobody" },
        ]
        ambient_capabilities = ["chwn", "kill", "fly"]
        rlimits.nofile = true
        rlimits.core = "x"
        """)
    ] == [
        "shop.toml:4: watchers.a.stop_plan[0].signal",
        "shop.toml:4: watchers.a.stop_plan[0].timeout",
        "shop.toml:5: watchers.a.stop_plan[1].to",
        "shop.toml:7: watchers.a.ambient_capabilities[0]",
        "shop.toml:7: watchers.a.ambient_capabilities[2]",
        "shop.toml:8: watchers.a.rlimits.nofile",
        "shop.toml:9: watchers.a.rlimits.core",
    ]


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
