"""All sockets of a configuration are opened, or none; what is wrong is said."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import PIPE

import pytest

from pidsup.config.model import SocketSpec
from pidsup.linux import sockdiag
from pidsup.systemd.listen_fds import Descriptor, Passed
from pidsup.watcher.passed import SocketMismatch
from pidsup.watcher.sockets import CannotListen, Listeners, SocketFacts
from tests.support import needs_root, python

Worker = Callable[..., "subprocess.Popen[bytes]"]

HOLD = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def taken(worker: Worker) -> tuple[int, int]:
    """Return a port that another process has, and its pid."""
    process = worker(python(HOLD), stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    return int(process.stdout.readline()), process.pid


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_the_facts_are_the_real_ones(tmp_path: Path) -> None:
    """Port 0 has become one."""
    specs = [
        SocketSpec("http", "127.0.0.1:0", backlog=9),
        SocketSpec("both", "0"),
        SocketSpec("dns", "[::1]:0", type="datagram"),
        SocketSpec("path", f"{tmp_path}/s", type="seqpacket", backlog=8),
        SocketSpec("name", f"@pidsup-listeners-{os.getpid()}", type="datagram"),
    ]
    with closing(Listeners(specs)) as listeners:
        facts = {each.name: each for each in listeners.facts()}
        assert list(facts) == list(listeners.fds) == [spec.name for spec in specs]
        addresses = {name: each.address for name, each in facts.items()}
        for name, start in (("http", "127.0.0.1:"), ("both", "[::]:"), ("dns", "[::1]:")):
            assert addresses[name].startswith(start)
            assert port(addresses[name]) > 0
        assert facts["path"] == SocketFacts(
            "path", f"{tmp_path}/s", f"{tmp_path}/s", "seqpacket", 0, 8
        )
        assert addresses["name"] == specs[4].listen
        assert (facts["http"].queued, facts["http"].backlog) == (0, 9)
        assert (facts["name"].queued, facts["name"].backlog) == (None, 0)
        assert facts["dns"].queued == 0


def test_what_waits_is_told(tmp_path: Path) -> None:
    with (
        closing(Listeners([SocketSpec("a", f"{tmp_path}/s")])) as listeners,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(f"{tmp_path}/s")
        assert [each.queued for each in listeners.facts()] == [1]


def test_without_netlink_the_facts_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """RestrictAddressFamilies= may forbid it; the status must not fail for that."""
    monkeypatch.setattr(sockdiag, "_NETLINK_SOCK_DIAG", 99)  # no such protocol
    with closing(Listeners([SocketSpec("a", f"@pidsup-diag-{os.getpid()}")])) as listeners:
        [facts] = listeners.facts()
    assert (facts.queued, facts.backlog) == (None, 4096)


def test_descriptors_do_not_survive_an_exec() -> None:
    """A worker gets those that its watcher names, and no other."""
    with closing(Listeners([SocketSpec("a", "127.0.0.1:0")])) as listeners:
        assert not os.get_inheritable(listeners.fds["a"])
        assert not os.get_blocking(listeners.fds["a"])


def test_close_forgets_all_and_removes_paths(tmp_path: Path) -> None:
    listeners = Listeners([SocketSpec("a", f"{tmp_path}/s"), SocketSpec("b", "127.0.0.1:0")])
    listeners.close()
    assert listeners.fds == {}
    assert list(tmp_path.iterdir()) == []
    listeners.close()


@needs_root
def test_mode_and_owners_of_a_path(tmp_path: Path) -> None:
    spec = SocketSpec("a", f"{tmp_path}/s", mode=0o640, user="nobody", group="mail")
    with closing(Listeners([spec])):
        found = (tmp_path / "s").stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, 65534, 8)


# --- those that systemd has passed


@pytest.fixture
def passed(tmp_path: Path) -> Passed:
    """Return a socket on a path, as systemd would pass it: without O_NONBLOCK."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"{tmp_path}/s")
    sock.listen(7)
    return Passed((Descriptor(sock.detach(), "web"),))


@pytest.mark.parametrize("blocking", [False, True])
def test_one_that_is_passed_is_used_instead_of_its_address(
    passed: Passed, tmp_path: Path, blocking: bool
) -> None:
    spec = SocketSpec("http", "127.0.0.1:0", systemd="web", blocking=blocking)
    with closing(Listeners([spec], passed)) as listeners:
        [facts] = listeners.facts()
        assert facts == SocketFacts("http", "127.0.0.1:0", f"{tmp_path}/s", "stream", 0, 7, "web")
        assert listeners.fds == {"http": passed.descriptors[0].fd}
        assert os.get_blocking(listeners.fds["http"]) is blocking


def test_the_path_of_one_that_is_passed_stays(passed: Passed, tmp_path: Path) -> None:
    """It is systemd's, which goes on listening there."""
    Listeners([SocketSpec("http", "", systemd="web")], passed).close()
    assert (tmp_path / "s").exists()


def test_where_none_is_passed_the_address_is_opened(tmp_path: Path) -> None:
    with closing(Listeners([SocketSpec("http", f"{tmp_path}/s", systemd="web")])) as listeners:
        [facts] = listeners.facts()
    assert (facts.address, facts.systemd) == (f"{tmp_path}/s", None)
    assert not (tmp_path / "s").exists()


def test_when_another_fails_those_that_were_passed_are_closed(passed: Passed) -> None:
    """Descriptors are counted by the fixture around every test."""
    specs = [SocketSpec("bad", "/nope/s"), SocketSpec("http", "", systemd="web")]
    with pytest.raises(CannotListen, match=r"\(sockets.bad\)"):
        Listeners(specs, passed)


def test_a_mismatch_leaves_them_to_the_caller(passed: Passed, tmp_path: Path) -> None:
    with pytest.raises(SocketMismatch):
        Listeners([SocketSpec("a", f"{tmp_path}/a")], passed)
    assert not (tmp_path / "a").exists()
    os.close(passed.descriptors[0].fd)


# --- what is wrong


def test_the_holder_of_a_port_is_named(taken: tuple[int, int]) -> None:
    """It saves a look at ss(8)."""
    number, pid = taken
    with pytest.raises(CannotListen) as caught:
        Listeners([SocketSpec("http", f"127.0.0.1:{number}")])
    name = Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{number} (sockets.http): "
        f"Address already in use by pid {pid} ({name})"
    )
    assert caught.value.errno == errno.EADDRINUSE


def test_one_that_fails_closes_those_before_it(taken: tuple[int, int], tmp_path: Path) -> None:
    """Descriptors are counted by the fixture around every test."""
    specs = [SocketSpec("path", f"{tmp_path}/s"), SocketSpec("http", f"127.0.0.1:{taken[0]}")]
    with pytest.raises(CannotListen, match=r"\(sockets.http\)"):
        Listeners(specs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"listen": "192.0.2.1:80"},
            (
                "Cannot assign requested address: this machine does not have it; "
                "free_bind = true listens all the same"
            ),
        ),
        ({"listen": "/nope/s"}, "directory '/nope' does not exist: create it"),
        (
            {"listen": "/etc/passwd"},
            "something else than a socket has this path: move it away",
        ),
        (
            {"listen": "127.0.0.1:0", "bind_to_device": "nope0"},
            "bind_to_device 'nope0': No such device",
        ),
        ({"listen": "127.0.0.1:0", "type": "seqpacket"}, "Socket type not supported"),
    ],
)
def test_why_it_failed_is_said_with_what_to_do(fields: dict[str, str], why: str) -> None:
    with pytest.raises(CannotListen) as caught:
        Listeners([SocketSpec("a", **fields)])  # type: ignore[arg-type]  # all of them are strings
    assert str(caught.value) == f"cannot listen on {fields['listen']} (sockets.a): {why}"


def test_two_sockets_with_one_address_are_told_apart_from_a_stranger() -> None:
    name = f"@pidsup-twice-{os.getpid()}"
    with pytest.raises(CannotListen, match=r"in use by another socket of this configuration$"):
        Listeners([SocketSpec("a", name), SocketSpec("b", name)])


@pytest.mark.parametrize("kind", ["user", "group"])
def test_who_does_not_exist_is_named(tmp_path: Path, kind: str) -> None:
    spec = SocketSpec("a", f"{tmp_path}/s", **{kind: "nope"})  # type: ignore[arg-type]  # strings
    with pytest.raises(LookupError) as caught:
        Listeners([spec])
    assert str(caught.value) == (
        f"cannot listen on {tmp_path}/s (sockets.a): {kind} 'nope': there is no such {kind}"
    )


AS_NOBODY = """
import os, sys
from pidsup.config.model import SocketSpec
from pidsup.watcher.sockets import Listeners
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    Listeners([SocketSpec("a", sys.argv[1])])
except OSError as error:
    print(error)
"""


@needs_root
@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("127.0.0.1:1", "Permission denied: a port below 1024 needs root or CAP_NET_BIND_SERVICE"),
        ("{private}/s", "Permission denied"),
    ],
)
def test_what_an_ordinary_user_may_not_do(
    worker: Worker, tmp_path: Path, listen: str, why: str
) -> None:
    tmp_path.chmod(0o700)
    listen = listen.format(private=tmp_path)
    process = worker(python(AS_NOBODY, listen), stdout=PIPE)
    assert process.stdout is not None
    assert process.stdout.read().decode() == f"cannot listen on {listen} (sockets.a): {why}\n"
