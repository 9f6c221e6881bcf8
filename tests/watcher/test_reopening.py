"""Sockets of another configuration: what is the same stays, what fails leaves all as it was."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidsup.config.model import SocketSpec
from pidsup.systemd.listen_fds import Descriptor, Passed
from pidsup.watcher.passed import SocketMismatch
from pidsup.watcher.reopening import fixed, switch
from pidsup.watcher.sockets import CannotListen, Listener, Listeners
from tests.support import needs_root

HTTP = SocketSpec("http", "127.0.0.1:0")
Open = Callable[..., Listeners]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open listeners, which are closed at the end."""
    all_of_them: list[Listeners] = []

    def start(*specs: SocketSpec, passed: Passed = Passed()) -> Listeners:  # noqa: B008  immutable
        all_of_them.append(Listeners(specs, passed))
        return all_of_them[-1]

    yield start
    for listeners in all_of_them:
        listeners.close()


def become(listeners: Listeners, *specs: SocketSpec) -> None:
    """Carry a switch out, as applying does."""
    wanted, left = switch(listeners, specs)
    listeners.become(wanted)
    for one in left:
        one.close()


def address(listeners: Listeners, name: str) -> str:
    return next(one.address for one in listeners.facts() if one.name == name)


def connect(listeners: Listeners, name: str) -> None:
    """Connect to a socket as a client would; an error if nobody listens."""
    _connect(address(listeners, name)).close()


def _connect(address: str) -> socket.socket:
    if address.startswith("/"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(address)
        return client
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 5)


def option(listener: Listener, level: int, name: int) -> int:
    with socket.socket(fileno=os.dup(listener.fileno())) as sock:
        return sock.getsockopt(level, name)


def test_what_is_the_same_is_the_same_socket(opened: Open) -> None:
    """A port that was taken freely stays, and so does who waits in the queue."""
    listeners = opened(HTTP)
    before, fds = address(listeners, "http"), dict(listeners.fds)
    client = _connect(before)
    become(listeners, SocketSpec("admin", "127.0.0.1:0"), HTTP)
    assert (address(listeners, "http"), listeners.fds["http"]) == (before, fds["http"])
    assert [one.name for one in listeners.facts()] == ["admin", "http"]
    with socket.socket(fileno=os.dup(fds["http"])) as sock:
        sock.accept()[0].close()
    client.close()


def test_what_is_new_listens_and_what_is_gone_does_not(opened: Open, tmp_path: Path) -> None:
    listeners = opened(SocketSpec("old", f"{tmp_path}/old"))
    fds = listeners.fds
    become(listeners, SocketSpec("new", f"{tmp_path}/new"))
    connect(listeners, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert fds is listeners.fds
    assert list(fds) == ["new"]


def test_options_change_in_place(opened: Open, tmp_path: Path) -> None:
    path = SocketSpec("path", f"{tmp_path}/s")
    listeners = opened(HTTP, path)
    fds = dict(listeners.fds)
    become(
        listeners,
        HTTP._replace(backlog=7, keepalive=True, nodelay=True),
        path._replace(backlog=5, mode=0o600),
    )
    assert listeners.fds == fds
    http = listeners.all[0]
    assert option(http, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert option(http, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert listeners.facts()[0].backlog == 7
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600

    become(listeners, HTTP, path)
    assert not option(http, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not option(http, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666


@needs_root
def test_the_owner_of_a_path_changes_in_place_and_back(opened: Open, tmp_path: Path) -> None:
    spec = SocketSpec("path", f"{tmp_path}/s")
    listeners = opened(spec)
    become(listeners, spec._replace(user="65534", group="65534"))
    found = (tmp_path / "s").stat()
    assert (found.st_uid, found.st_gid) == (65534, 65534)
    become(listeners, spec)
    found = (tmp_path / "s").stat()
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


def test_a_socket_that_only_has_another_name_stays_open(opened: Open, tmp_path: Path) -> None:
    spec = SocketSpec("http", f"{tmp_path}/s")
    listeners = opened(spec)
    fd = listeners.fds["http"]
    become(listeners, spec._replace(name="web"))
    assert listeners.fds == {"web": fd}
    connect(listeners, "web")


@pytest.mark.parametrize("kind", ["stream", "datagram"])
@pytest.mark.parametrize(
    ("before", "after"),
    [("127.0.0.1:{port}", "0.0.0.0:{port}"), ("0.0.0.0:{port}", "127.0.0.1:{port}"),
     ("127.0.0.1:{port}", "{port}")],
)  # fmt: skip
def test_an_address_gives_way_to_one_that_overlaps(
    opened: Open, kind: str, before: str, after: str
) -> None:
    """Beside one another for a moment; afterwards nobody else gets the port."""
    port = free_port(opened)
    listeners = opened(SocketSpec("http", before.format(port=port), type=kind))
    become(listeners, SocketSpec("http", after.format(port=port), type=kind))
    assert not option(listeners.all[0], socket.SOL_SOCKET, socket.SO_REUSEPORT)
    with pytest.raises(CannotListen):
        opened(SocketSpec("other", f"127.0.0.1:{port}", type=kind))
    if kind == "stream":
        _connect(f"127.0.0.1:{port}").close()


def test_two_sockets_swap_their_ports(opened: Open) -> None:
    first, second = free_port(opened), free_port(opened)
    one, other = SocketSpec("a", f"127.0.0.1:{first}"), SocketSpec("b", f"127.0.0.1:{second}")
    listeners = opened(one, other)
    become(listeners, one._replace(listen=other.listen), other._replace(listen=one.listen))
    assert address(listeners, "a") == other.listen
    connect(listeners, "a")
    connect(listeners, "b")


def free_port(opened: Open) -> int:
    """Return a port that was free a moment ago."""
    one = opened(HTTP)
    port = int(address(one, "http").rpartition(":")[2])
    one.close()
    return port


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (SocketSpec("bad", "127.0.0.1:{taken}"), r"cannot listen on .* \(sockets.bad\): .*in use"),
        (SocketSpec("bad", "/nope/s"), r"directory '/nope' does not exist"),
        (SocketSpec("path", "{path}", user="nope"), r"cannot change sockets.path: user 'nope'"),
    ],
)
def test_when_one_fails_all_is_as_it_was(
    opened: Open, tmp_path: Path, bad: SocketSpec, why: str
) -> None:
    """What was opened is closed again, what was changed in place is changed back."""
    taken = address(opened(HTTP), "http").rpartition(":")[2]
    path = SocketSpec("path", f"{tmp_path}/s")
    listeners = opened(HTTP, path)
    before, fds = [(one.spec, one.address) for one in listeners.all], dict(listeners.fds)
    bad = bad._replace(listen=bad.listen.format(taken=taken, path=path.listen))
    new = SocketSpec("new", f"{tmp_path}/new")
    others = [] if bad.name == "path" else [path._replace(mode=0o600)]
    with pytest.raises((CannotListen, LookupError), match=why):
        switch(listeners, [HTTP._replace(backlog=7), new, *others, bad])
    assert [(one.spec, one.address) for one in listeners.all] == before
    assert listeners.fds == fds
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
    assert listeners.facts()[0].backlog == HTTP.backlog
    connect(listeners, "http")


@pytest.fixture
def passed() -> Passed:
    """Return sockets as systemd passes them; whoever takes them closes them."""
    return Passed((Descriptor(_listening(), "web"), Descriptor(_listening(), "admin")))


def _listening() -> int:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock.detach()


def test_a_socket_of_systemd_can_only_be_kept(opened: Open, passed: Passed) -> None:
    spec, admin = SocketSpec("http", "", systemd="web"), SocketSpec("admin", "", systemd="admin")
    listeners = opened(spec, admin, SocketSpec("own", "127.0.0.1:0"), passed=passed)
    become(
        listeners,
        SocketSpec("http", "127.0.0.1:0", systemd="web"),
        admin,
        HTTP._replace(name="own"),
    )
    fds = dict(listeners.fds)
    assert fds["http"] == passed.descriptors[0].fd
    cannot_take = "cannot take sockets.{} from systemd: systemd passes"
    for specs, why in (
        ([admin], "cannot give up or change sockets.http: systemd passes"),
        ([HTTP, admin], "cannot give up or change sockets.http: systemd passes"),
        (
            [spec._replace(blocking=True), admin],
            "cannot give up or change sockets.http: systemd passes",
        ),
        ([spec, admin, SocketSpec("more", "@x", systemd="more")], cannot_take.format("more")),
        ([spec, admin, SocketSpec("own", "127.0.0.1:0", systemd="own")], cannot_take.format("own")),
    ):
        with pytest.raises(SocketMismatch, match=why):
            switch(listeners, specs)
    assert listeners.fds == fds


def test_what_is_said_of_a_socket_of_systemd_is_for_its_unit(opened: Open, passed: Passed) -> None:
    """Where it says what the unit is made from: else it would be in force, and not done."""
    web = SocketSpec("http", "127.0.0.1:0", systemd="web")
    admin = SocketSpec("admin", "", systemd="admin")
    own, more = SocketSpec("own", "127.0.0.1:0"), SocketSpec("more", "", systemd="more")
    listeners = opened(web, admin, own, passed=passed)
    for other in (web._replace(listen="127.0.0.1:81"), web._replace(backlog=7)):
        assert fixed(listeners, [other, admin, own]) == {"http"}
        with pytest.raises(SocketMismatch, match=r"cannot give up or change sockets[.]http"):
            switch(listeners, [other, admin, own])
    assert fixed(listeners, [web, own, more]) == {"admin", "more"}
    changed = admin._replace(listen="@x", name="new"), own._replace(listen="127.0.0.2:0", backlog=7)
    assert not fixed(listeners, [web, *changed])


def test_sockets_of_systemd_may_get_other_names(opened: Open, passed: Passed) -> None:
    one, other = SocketSpec("one", "", systemd="web"), SocketSpec("other", "", systemd="admin")
    listeners = opened(one, other, passed=passed)
    before = dict(listeners.fds)
    become(listeners, one._replace(systemd="admin"), other._replace(systemd="web", name="new"))
    assert listeners.fds == {"one": before["other"], "new": before["one"]}


def test_a_name_for_systemd_is_for_the_next_start(opened: Open) -> None:
    """Nobody who waits in the queue is sent away for it."""
    listeners = opened(HTTP)
    fds = dict(listeners.fds)
    for systemd in ("web", "other", None):
        become(listeners, HTTP._replace(systemd=systemd))
        assert listeners.fds == fds
    assert listeners.facts()[0].systemd is None


def test_without_activation_one_that_can_listen_does(opened: Open) -> None:
    listeners = opened()
    become(listeners, HTTP._replace(systemd="web"))
    connect(listeners, "http")
    with pytest.raises(SocketMismatch, match=r"cannot take sockets[.]only from systemd"):
        switch(listeners, [SocketSpec("only", "", systemd="web")])
