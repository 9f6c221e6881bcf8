"""Which addresses of a configuration this machine cannot listen on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidsup.cli.checks import machine
from pidsup.cli.checks.addresses import check_addresses
from pidsup.config.load import read

Check = Callable[[str], list[str]]


@pytest.fixture
def lacks(tmp_path: Path) -> Check:
    """Return a function that says what the machine lacks for a watcher and what follows it."""

    def check(more: str) -> list[str]:
        file = tmp_path / "shop.toml"
        file.write_text(f'[watchers.web]\ncommand = "true"\n{more}\n')
        expanded, findings = read(file)
        assert findings.in_order() == ()
        assert expanded is not None
        machine.check(expanded, findings)
        check_addresses(expanded, findings)
        found = findings.in_order()
        return [
            f"{'warning: ' * one.is_warning}{one.key}: {one.text}".replace(f"{tmp_path}", "")
            for one in found
        ]

    return check


@pytest.fixture
def port() -> Iterator[int]:
    """Listen on a port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def one_socket(listen: str, more: str = "") -> str:
    return f'sockets = ["s"]\n[sockets.s]\nlisten = "{listen}"\n{more}'


def test_an_address_in_use_is_a_warning_that_names_the_owner(lacks: Check, port: int) -> None:
    comm = Path("/proc/self/comm").read_text().strip()
    (text,) = lacks(one_socket(f"127.0.0.1:{port}"))
    assert text == (
        f"warning: sockets.s.listen: '127.0.0.1:{port}' is in use by pid {os.getpid()} ({comm}): "
        "fine if that is this supervisor, running"
    )


def test_an_address_in_use_is_right_where_systemd_passes_it(lacks: Check, port: int) -> None:
    """Then systemd ought to have it; nothing can be known about that from here."""
    assert lacks(one_socket(f"127.0.0.1:{port}", 'systemd = "http"')) == []
    assert lacks('sockets = ["s"]\n[sockets.s]\nsystemd = "http"') == []


def test_all_addresses_collide_with_one(lacks: Check, port: int) -> None:
    (text,) = lacks(one_socket(str(port)))
    assert f"in use by pid {os.getpid()}" in text


def test_a_datagram_socket_in_use_is_found_too(lacks: Check) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        (text,) = lacks(one_socket(listen, 'type = "datagram"'))
    assert f"in use by pid {os.getpid()}" in text


def test_an_address_of_another_machine_is_an_error_unless_free_bind(lacks: Check) -> None:
    """192.0.2.0/24 is for documentation, RFC 5737."""
    (text,) = lacks(one_socket("192.0.2.1:8080"))
    assert text == (
        "sockets.s.listen: this machine does not have the address of '192.0.2.1:8080': correct it, "
        "or set free_bind"
    )
    assert lacks(one_socket("192.0.2.1:8080", "free_bind = true")) == []


def test_an_unknown_interface_is_an_error(lacks: Check) -> None:
    assert lacks(one_socket("0", 'bind_to_device = "nope0"')) == [
        "sockets.s.bind_to_device: there is no network interface 'nope0': correct the name"
    ]
    assert lacks(one_socket("0", 'bind_to_device = "lo"')) == []


def test_paths_of_sockets_are_looked_at(lacks: Check, tmp_path: Path) -> None:
    assert lacks(one_socket(f"{tmp_path}/nope/s")) == [
        "sockets.s.listen: '/nope' does not exist: create it or correct the path"
    ]
    assert lacks(one_socket(f"{tmp_path}/shop.toml")) == [
        "sockets.s.listen: '/shop.toml' exists and is no socket: remove it"
    ]
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        (text,) = lacks(one_socket(str(path)))
        assert text.startswith(f"warning: sockets.s.listen: '/s' is in use by pid {os.getpid()} (")
    assert lacks(one_socket(str(path))) == []  # stale: it will be replaced


def test_an_abstract_name_in_use_is_a_warning(lacks: Check) -> None:
    name = f"pidsup-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        (text,) = lacks(one_socket(f"@{name}"))
    assert text.startswith(f"warning: sockets.s.listen: '@{name}' is in use by pid {os.getpid()}")
    assert lacks(one_socket(f"@{name}")) == []


def test_checking_leaves_no_socket_behind(lacks: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert lacks(one_socket(f"127.0.0.1:{port}")) == []
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_who_only_has_a_connection_left_does_not_listen(lacks: Check, tmp_path: Path) -> None:
    """It bears the path of the socket that it was accepted on."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        with server.accept()[0]:
            server.close()
            assert lacks(one_socket(path)) == []
