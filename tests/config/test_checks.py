"""What is wrong between options: sockets, placeholders, output, order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pidsup.config.load import read

Check = Callable[..., list[str]]

#: A socket and a watcher that are right, to be spoilt.
GOOD = """\
[sockets.http]
listen = 80
[watchers.web]
command = ["web", "{sockets.http}", "{slot}", "{watcher}", "{generation}", "{env.SHOP}"]
sockets = ["http"]
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "corner")
    monkeypatch.delenv("NOPE", raising=False)


@pytest.fixture
def problems(tmp_path: Path) -> Check:
    """Return a function that says what is wrong with GOOD and more lines behind it."""

    def check(more: str, good: str = GOOD) -> list[str]:
        file = tmp_path / "shop.toml"
        file.write_text(good + more)
        found = read(file).findings.in_order()
        return [f"{'warning: ' * one.is_warning}{one}".replace(f"{file}:", "") for one in found]

    return check


def test_the_good_one_is_good(problems: Check) -> None:
    assert problems("") == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            'stdin_socket = "htpp"',
            "6: stdin_socket: there is no socket 'htpp', did you mean 'http'?",
        ),
        (
            'stdin_socket = "http"',
            "6: stdin_socket: 'http' is in `sockets` too: remove one",
        ),
        (
            '[sockets.two]\nlisten = "@two"',
            "warning: 6: sockets.two: no watcher uses it: name it in `sockets` of one",
        ),
        (
            (
                'environment.X = "{sockets.two}"\nstdin_socket = "three"\n[sockets.two]\n'
                "listen = 81\n[sockets.three]\nlisten = 82\n"
                '[watchers.b]\ncommand = "b"\nsockets = ["two"]'
            ),
            (
                "6: environment.X: {sockets.two} is no socket of this watcher: add 'two' to "
                "`sockets`"
            ),
        ),
        (
            'environment.X = "{env.NOPE}"',
            (
                "6: environment.X: {env.NOPE} names a variable that pidsup's own environment "
                "does not have: set it there, or write {{env.NOPE}} if no placeholder is meant"
            ),
        ),
        (
            'environment.X = "{slto}"',
            (
                "warning: 6: environment.X: {slto} names nothing and stays as it is, did you "
                "mean {slot}?"
            ),
        ),
        (
            'stdout = "/log/{Slot}"',
            ("warning: 6: stdout: {Slot} names nothing and stays as it is, did you mean {slot}?"),
        ),
        (
            'stdout = "/log/{socket.http}"',
            (
                "warning: 6: stdout: {socket.http} names nothing and stays as it is, did you "
                "mean {sockets.http}?"
            ),
        ),
        (
            'working_directory = "/{sockets.htpp}"',
            (
                "6: working_directory: {sockets.htpp} names a socket that does not exist, did you "
                "mean {sockets.http}?"
            ),
        ),
        (
            'environment.X = "{sockets.other}"',
            (
                "6: environment.X: {sockets.other} names a socket that does not exist; "
                "{{sockets.other}} is no placeholder"
            ),
        ),
        (
            'environment.X = "${slot}"',
            (
                "warning: 6: environment.X: ${slot} has a placeholder in it: write "
                "${{slot}} if the shell's is meant"
            ),
        ),
        (
            'environment.X = "$(circus.wid)"',
            (
                "warning: 6: environment.X: $(circus.wid) is Circus' and stays as it is: it "
                "is called {slot} here"
            ),
        ),
        (
            'user = "{watcher}"',
            "6: user: {watcher} is not filled in here: write what is meant",
        ),
        ('environment_file = "{env.NOPE}"', "6: environment_file: {env.NOPE} names a"),
        (
            "singleton = true\nworkers = 2",
            "7: workers: is 2 beside singleton, which means one at most: correct one",
        ),
        (
            "foreground = true\nworkers = 2",
            "7: workers: is 2 beside foreground, which means one at most: correct one",
        ),
        (
            'restart_delay = "1min"',
            "6: restart_delay: is longer than restart_max_delay, 30 s: raise that too",
        ),
        (
            "give_up_exit_code = 3",
            '6: give_up_exit_code: has no effect without on_give_up = "exit": add that',
        ),
        (
            "io_scheduling_priority = 3",
            "6: io_scheduling_priority: has no effect without io_scheduling_class",
        ),
        (
            'capability_bounding_set = []\nambient_capabilities = "kill"',
            "7: ambient_capabilities: has kill, which capability_bounding_set takes",
        ),
        (
            "log_keep = 3",
            "warning: 6: log_keep: has no effect: neither stdout nor stderr goes to a ",
        ),
        (
            'stdout = "null"\nstderr = "stdout"\nlog_memory = 3',
            "warning: 8: log_memory: has no effect: pidsup does not see this output",
        ),
        (
            (
                'stdout = "/log"\n[watchers.b]\ncommand = "b"\nstderr = "/./log"\nlog_keep = 3\n'
                "log_max_size = 0"
            ),
            (
                "9: watchers.b.stderr: is a file of watcher 'web' too, with another log_max_size "
                "and log_keep: make them equal, or use two files"
            ),
        ),
    ],
)
def test_what_does_not_go_together_is_said(problems: Check, more: str, said: str) -> None:
    (text,) = problems(more + "\n")
    assert text.replace(": watchers.web.", ": ").startswith(said)


@pytest.mark.parametrize(
    "text", ["awk '{print $1}'", '{"a": {"b": 1}}', "{{slot}}", "{last}", "{print}", "{x.y}", "{}"]
)
def test_what_is_no_placeholder_is_not_mentioned(problems: Check, text: str) -> None:
    assert problems(f"environment.X = '''{text}'''\n") == []


def test_a_socket_named_twice_is_an_error(problems: Check) -> None:
    assert problems("", GOOD.replace('["http"]', '["http", "http"]')) == [
        "5: watchers.web.sockets: has 'http' 2 times: once is enough"
    ]


def test_two_terminals_are_one_too_many(problems: Check) -> None:
    more = 'foreground = true\n[watchers.b]\ncommand = "b"\nforeground = true\n'
    assert problems(more) == [
        "9: watchers.b.foreground: is that of 'web' already: there is one terminal"
    ]


@pytest.mark.parametrize(
    ("socket", "key", "said"),
    [
        ('listen = "/s"\nnodelay = true', "nodelay", "has no effect for a path, only for ports"),
        ('listen = "@s"\nreuse_port = true', "reuse_port", "has no effect for an abstract name"),
        ('listen = "@s"\nmode = "0600"', "mode", "has no effect for what is no path: remove it"),
        ('listen = "80"\nuser = "root"', "user", "has no effect for what is no path: remove it"),
        ('listen = "80"\ntype = "datagram"\nbacklog = 9', "backlog", "has no effect for datagrams"),
        ('listen = "80"\ntype = "datagram"\nnodelay = true', "nodelay", "has no effect for datagr"),
        ('listen = "80"\ntype = "seqpacket"', "type", "seqpacket needs a path or an abstract name"),
        ('listen = "1.2.3.4:80"\nipv6_only = true', "ipv6_only", "has no effect for an IPv4 addr"),
    ],
)
def test_an_option_without_effect_on_its_socket_is_an_error(
    problems: Check,
    socket: str,
    key: str,
    said: str,
) -> None:
    (text,) = problems("", GOOD.replace("listen = 80", socket))
    assert f"sockets.http.{key}: {said}" in text


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ('"80"', '"80"', True),
        ('"80"', '"127.0.0.1:80"', True),
        ('"0.0.0.0:80"', '"127.0.0.1:80"', True),
        ('"0.0.0.0:80"', '"[::1]:80"', False),
        ('"[::]:80"', '"127.0.0.1:80"', True),
        ('"[::]:80"\nipv6_only = true', '"127.0.0.1:80"', False),
        ('"[::]:80"\nipv6_only = true', '"[::1]:80"', True),
        ('"127.0.0.1:80"', '"127.0.0.2:80"', False),
        ('"80"', '"81"', False),
        ('"0"', '"0"', False),
        ('"80"\nreuse_port = true', '"80"\nreuse_port = true', False),
        ('"80"\nreuse_port = true', '"80"', True),
        ('"80"\ntype = "datagram"', '"80"', False),
        ('"80"\nbind_to_device = "lo"', '"80"\nbind_to_device = "eth0"', False),
        ('"/run/s"', '"/run/s"', True),
        ('"/run/s"', '"@/run/s"', False),
    ],
)
def test_addresses_in_conflict_are_said(
    problems: Check, one: str, other: str, collide: bool
) -> None:
    good = f"[sockets.a]\nlisten = {one}\n[sockets.b]\nlisten = {other}\n"
    found = problems('[watchers.w]\ncommand = "w"\nsockets = ["a", "b"]\n', good)
    assert bool(found) is collide
    assert all("sockets.b.listen: is the address of socket 'a' already: ch" in one for one in found)


def test_a_variable_is_filled_into_an_address_when_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As platforms say PORT to a container."""
    monkeypatch.setenv("PORT", "8081")
    file = tmp_path / "shop.toml"
    file.write_text(GOOD.replace("listen = 80", "listen = '0.0.0.0:{env.PORT}'"))
    expanded, findings = read(file)
    assert findings.in_order() == ()
    assert expanded is not None
    assert expanded["sockets"]["http"]["listen"] == "0.0.0.0:8081"  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ('""', "must be an address such as"),
        ("true", "must be an address such as"),
        ("70000", "must have a port from 0 to 65535, not '70000'"),
        ('"127.0.0.1:http"', "must have a port from 0 to 65535, not 'http'"),
        ('"127.0.0.1:"', "must have a port from 0 to 65535, not ''"),
        ('"localhost"', "has no port in 'localhost': write HOST:PORT; a path begins with /"),
        ('"[::1]"', "has no port in '[::1]'"),
        ('"::1:80"', 'must have an IPv6 address in brackets, "[::1]:8080", not'),
        ('"[::x]:80"', "has no IPv6 address in the brackets, '::x'"),
        ('"1.2.3:80"', "has no IPv4 address in '1.2.3'"),
        ('"a b:80"', "has no name of a host in 'a b'"),
        ('":80"', "must be \"80\" for all addresses, not ':80'"),
        ('"*:80"', "must be \"80\" for all addresses, not '*:80'"),
        ('"run/x.sock"', "must be an absolute path, not 'run/x.sock'"),
        ('"unix:/run/x"', "must not begin with a scheme: leave it out of"),
        ('"tcp://1.2.3.4:80"', "must not begin with a scheme: leave it out of"),
        ('"@"', "must have a name behind the @"),
        ('"/run/"', "must be the path of a socket, not of a directory"),
        (f'"/{"x" * 107}"', "has a path of 108 bytes, the kernel allows 107: shorten it"),
        (f'"/{"é" * 54}"', "has a path of 109 bytes, the kernel allows 107: shorten it"),
        (f'"@{"x" * 108}"', "has a name of 108 bytes"),
    ],
)
def test_a_wrong_address_is_said(problems: Check, listen: str, why: str) -> None:
    (text,) = problems("", GOOD.replace("listen = 80", f"listen = {listen}"))
    assert text.startswith(f"2: sockets.http.listen: {why}")


@pytest.mark.parametrize(
    "listen",
    ["80", "0", "127.0.0.1:80", "localhost:80", "my_host.example.:80", "[::1]:80",
     "[fe80::1%lo]:80", "/run/x", f"/{'x' * 106}", "@x", f"@{'x' * 106}", "/run/with space:80"],
)  # fmt: skip
def test_a_right_address_is_taken(problems: Check, listen: str) -> None:
    assert problems("", GOOD.replace("listen = 80", f"listen = '{listen}'")) == []


@pytest.mark.parametrize("name", ["a:b", "a b", "-a", "a,b", "x" * 64])
def test_a_socket_has_a_name_that_LISTEN_FDNAMES_can_bear(problems: Check, name: str) -> None:  # noqa: N802
    (text,) = [t for t in problems(f'[sockets."{name}"]\nlisten = 81\n') if "warning" not in t]
    assert "cannot use the name" in text
