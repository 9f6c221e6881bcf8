"""What systemd passes and what the configuration wants are the same, or that is said."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pidsup.config.model import SocketSpec
from pidsup.systemd.listen_fds import Descriptor, Passed
from pidsup.watcher.passed import SocketMismatch, assign

Pass = Callable[..., Passed]


@pytest.fixture
def passing() -> Iterator[Pass]:
    """Return a function that passes a new socket for each name; they are closed at the end."""
    with ExitStack() as parts:

        def make(*names: str, kind: int = socket.SOCK_STREAM, listens: bool = True) -> Passed:
            found = []
            for name in names:
                sock = parts.enter_context(socket.socket(type=kind))
                sock.bind(("127.0.0.1", 0))
                if listens:
                    sock.listen()
                found.append(Descriptor(sock.fileno(), name))
            return Passed(tuple(found))

        yield make


def spec(name: str, systemd: str | None, listen: str = "", **fields: str) -> SocketSpec:
    return SocketSpec(name, listen, systemd=systemd, **fields)  # type: ignore[arg-type]  # type


def why(specs: list[SocketSpec], passed: Passed) -> str:
    """Return what is wrong, with "ADDRESS" and "FD" for what differs each time."""
    with pytest.raises(SocketMismatch) as caught:
        assign(specs, passed)
    text = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", str(caught.value))
    return re.sub(r"descriptor \d+", "descriptor FD", text)


def test_each_gets_the_one_of_its_name(passing: Pass) -> None:
    """In whichever order."""
    passed = passing("admin", "web", "web")
    (admin, _), (first, _), (second, _) = passed.descriptors
    specs = [spec("a", "web:1"), spec("b", "admin"), spec("c", "web:0"), spec("d", None, "80")]
    assert assign(specs, passed) == {"a": second, "b": admin, "c": first}


def test_where_none_is_passed_one_listens_for_itself() -> None:
    assert assign([spec("http", "http", "80")], Passed()) == {}


def test_without_an_address_it_has_to_be_passed() -> None:
    assert why([spec("http", "web")], Passed(missing="LISTEN_FDS is not set")) == (
        "cannot take sockets.http from systemd: LISTEN_FDS is not set: start it by its socket "
        "unit, or add `listen` for where there is none"
    )


@pytest.mark.parametrize(
    ("names", "wanted", "said"),
    [
        (
            ["shop.socket", "x"],
            "http",
            (
                "it has passed 'shop.socket' (ADDRESS), 'x' (ADDRESS): write "
                "FileDescriptorName=http into the [Socket] section of its unit"
            ),
        ),
        (
            ["http", "http"],
            "http",
            (
                "it has passed 2 of that name, 'http' (ADDRESS), 'http' (ADDRESS): choose one "
                'with systemd = "http:0" to "http:1"'
            ),
        ),
        (["http"], "http:1", "'http:1' is not among 'http' (ADDRESS): the last is 'http:0'"),
    ],
)
def test_one_that_is_missing_is_named_with_what_there_is(
    passing: Pass, names: list[str], wanted: str, said: str
) -> None:
    """Also where it could listen for itself: the units and the configuration differ."""
    text = why([spec("http", wanted, "80")], passing(*names))
    assert text == f"cannot take sockets.http from systemd: {said}"


@pytest.mark.parametrize(
    ("names", "advice"),
    [(["http", "admin"], "admin"), (["http", "admin", "admin"], "admin:0")],
)
def test_one_that_nobody_wants_is_named(passing: Pass, names: list[str], advice: str) -> None:
    """Its clients would wait for ever."""
    listed = ", ".join(["'admin' (ADDRESS)"] * (len(names) - 1))
    assert why([spec("http", "http")], passing(*names)) == (
        f"no socket is for {listed}, which systemd has passed: write "
        f'systemd = "{advice}" into a section of [sockets], or stop its socket unit for good, '
        "`systemctl disable --now`, and take it out of Sockets= of the service"
    )


def test_the_type_is_stated(passing: Pass) -> None:
    passed = passing("dns", kind=socket.SOCK_DGRAM, listens=False)
    assert list(assign([spec("dns", "dns", type="datagram")], passed)) == ["dns"]
    assert why([spec("dns", "dns")], passed) == (
        "cannot take sockets.dns from systemd: 'dns' (ADDRESS) is of type datagram: "
        'write type = "datagram" here, or ListenStream= into its unit'
    )


def test_a_connection_is_no_listening_socket(passing: Pass) -> None:
    """It is called so whatever the unit says."""
    assert why([spec("http", "http")], passing("connection", listens=False)) == (
        "cannot use 'connection' (ADDRESS), which systemd has passed: it is a connection, "
        "set Accept=no in its socket unit"
    )


def test_what_is_no_socket_is_refused() -> None:
    """ListenFIFO= and its like."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert why([spec("http", "http")], Passed((Descriptor(fd, "http"),))) == (
            "cannot take sockets.http from systemd: 'http' (descriptor FD) is no socket"
        )
    finally:
        os.close(fd)


def test_netlink_is_refused() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        text = why([spec("a", "a")], Passed((Descriptor(sock.fileno(), "a"),)))
    assert text.endswith("is a socket of another kind")
