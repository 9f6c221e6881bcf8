"""A real systemd holds the sockets: by name, and a connection starts the supervisor."""

from __future__ import annotations

import socket
from collections.abc import Callable
from textwrap import dedent

import pytest

from tests.support import LIMIT_S, read_all
from tests.system.box import Box

#: Answers each connection, or datagram, with the name of its socket and its pid.
SERVER = """
import os, socket, sys
server = socket.socket(fileno=int(sys.argv[1]))
server.setblocking(True)
answer = f"{os.environ['LISTEN_FDNAMES']} {os.getpid()}".encode()
while True:
    if server.type == socket.SOCK_DGRAM:
        server.sendto(answer, server.recvfrom(99)[1])
    else:
        connection, _ = server.accept()
        connection.sendall(answer)
        connection.close()
"""
SERVICE = """
[Service]
Type=exec
ExecStart={pidsup} run -c /etc/shop.toml
{more}
"""
CLIENT = """
import socket, sys
client = socket.socket(type=getattr(socket, sys.argv[1]))
client.settimeout(30)
client.connect(("127.0.0.1", int(sys.argv[2])))
if client.type == socket.SOCK_DGRAM:
    client.send(b"?")
print(client.recv(99).decode())
"""

Shop = Callable[..., None]


@pytest.fixture
def shop(box: Box) -> Shop:
    """Return a function that makes a service and its socket units; the sockets then listen.

    Each socket of the configuration, NAME to the lines of its section, has a worker.
    """

    def make(sockets: dict[str, str], units: dict[str, str], more: str = "") -> None:
        box.put("/etc/server.py", SERVER)
        toml = ['[supervisor]\nname = "shop"']
        for name, lines in sockets.items():
            command = [box.python, "/etc/server.py", f"{{sockets.{name}}}"]
            toml.append(f"[sockets.{name}]\n{lines}")
            toml.append(f'[watchers.w{name}]\ncommand = {command}\nsockets = ["{name}"]')
        box.put("/etc/shop.toml", "\n".join(toml))
        names = [f"{unit}.socket" for unit in units]
        more = f"{more}\nSockets={' '.join(names)}"
        box.put("/etc/systemd/system/shop.service", SERVICE.format(pidsup=box.pidsup, more=more))
        for unit, lines in units.items():
            text = f"[Socket]\nService=shop.service\n{dedent(lines)}\n"
            box.put(f"/etc/systemd/system/{unit}.socket", text)
        box.systemctl("daemon-reload")
        if names:
            box.systemctl("start", *names)

    return make


def ask(box: Box, path: str) -> list[str]:
    """Return the answer, in words, of whoever listens on a path of the box."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT_S)
        client.connect(str(box.path(path)))
        return read_all(client.fileno()).decode().split()


def ask_port(box: Box, port: int, kind: str) -> list[str]:
    """Do the same with a port, which is in its network alone; *kind* is SOCK_STREAM, say."""
    return box.run(box.python, "-c", CLIENT, kind, str(port)).stdout.split()


def failure(box: Box) -> str:
    """Return what is said of a service that does not start."""
    box.systemctl("start", "shop", check=False)
    box.wait_for("shop.service", "failed")
    assert box.show("shop", "ExecMainStatus")["ExecMainStatus"] == "1"
    return box.status("shop")


def test_the_first_connection_starts_it_and_is_served(box: Box, shop: Shop) -> None:
    """And so it is again when the service has been stopped: the socket is systemd's."""
    shop({"http": 'systemd = "web"'}, {"shop": "ListenStream=/run/s\nFileDescriptorName=web"})
    assert box.show("shop", "ActiveState")["ActiveState"] == "inactive"
    for _ in range(2):
        assert ask(box, "/run/s")[0] == "http"
        assert box.show("shop", "ActiveState")["ActiveState"] == "active"
        status = box.run(box.pidsupctl, "-n", "shop", "status").stdout
        assert "http=/run/s from systemd queue 0/" in status
        box.systemctl("stop", "shop")
        assert box.path("/run/s").is_socket()


def test_named_sockets_come_where_they_belong(box: Box, shop: Shop) -> None:
    """Of one unit with two addresses, they are told apart by their number."""
    shop(
        {
            "two": 'systemd = "web:1"',
            "admin": 'systemd = "admin"\nlisten = "/run/never"',
            "one": 'systemd = "web:0"',
            "plain": 'systemd = "plain.socket"',
        },
        {
            "admin": "ListenStream=/run/a\nFileDescriptorName=admin",
            "web": "ListenStream=/run/w0\nListenStream=127.0.0.1:8080\nFileDescriptorName=web",
            "plain": "ListenStream=/run/p",
        },
    )
    assert ask(box, "/run/a")[0] == "admin"
    assert ask(box, "/run/w0")[0] == "one"
    assert ask(box, "/run/p")[0] == "plain"
    assert ask_port(box, 8080, "SOCK_STREAM")[0] == "two"
    assert not box.path("/run/never").exists()


def test_datagrams_start_it_too(box: Box, shop: Shop) -> None:
    shop(
        {"log": 'systemd = "log"\ntype = "datagram"'},
        {"log": "ListenDatagram=127.0.0.1:8125\nFileDescriptorName=log"},
    )
    assert ask_port(box, 8125, "SOCK_DGRAM")[0] == "log"


def test_its_successor_gets_them_after_a_crash(box: Box, shop: Shop) -> None:
    """While nobody runs, connections wait."""
    shop(
        {"http": 'systemd = "web"'},
        {"web": "ListenStream=/run/s\nFileDescriptorName=web"},
        "Restart=always\nRestartSec=0",
    )
    first = ask(box, "/run/s")
    box.systemctl("kill", "--signal=KILL", "shop")
    assert ask(box, "/run/s") != first
    assert box.show("shop", "NRestarts")["NRestarts"] == "1"


@pytest.mark.parametrize(
    ("section", "unit", "said"),
    [
        (
            'systemd = "http"',
            "ListenStream=/run/s",
            (
                "cannot take sockets.http from systemd: it has passed 'web.socket' (/run/s): write "
                "FileDescriptorName=http into the [Socket] section of its unit"
            ),
        ),
        (
            'systemd = "web"',
            "ListenStream=/run/s\nListenStream=/run/t\nFileDescriptorName=web",
            "it has passed 2 of that name, 'web' (/run/s), 'web' (/run/t): choose one",
        ),
        (
            'systemd = "web:0"',
            "ListenStream=/run/s\nListenStream=/run/t\nFileDescriptorName=web",
            "no socket is for 'web' (/run/t), which systemd has passed: write systemd = \"web:1\"",
        ),
        (
            'systemd = "web"',
            "ListenDatagram=/run/s\nFileDescriptorName=web",
            "'web' (/run/s) is of type datagram: write type = \"datagram\" here, or ListenStream=",
        ),
        (
            'systemd = "web"',
            "ListenFIFO=/run/fifo\nFileDescriptorName=web",
            "is no socket",
        ),
    ],
    ids=["missing", "several", "unexpected", "of another type", "no socket"],
)
def test_what_does_not_fit_makes_the_start_fail_and_is_said(
    box: Box, shop: Shop, section: str, unit: str, said: str
) -> None:
    shop({"http": section}, {"web": unit})
    assert said in failure(box)


def test_without_its_socket_unit_it_says_so(box: Box, shop: Shop) -> None:
    """Somebody has started the service, and its socket is not in Sockets=."""
    shop({"http": 'systemd = "web"'}, {})
    assert (
        "cannot take sockets.http from systemd: LISTEN_FDS is not set, so systemd has passed none: "
        "start it by its socket unit, or add `listen`"
    ) in failure(box)


def test_one_service_per_connection_is_not_for_a_supervisor(box: Box, shop: Shop) -> None:
    """With Accept=yes systemd passes connections, which nobody could accept from."""
    shop({"http": 'systemd = "web"'}, {})
    service = SERVICE.format(pidsup=box.pidsup, more="")
    box.put("/etc/systemd/system/each@.service", service)
    box.put("/etc/systemd/system/each.socket", "[Socket]\nListenStream=/run/s\nAccept=yes\n")
    box.systemctl("daemon-reload")
    box.systemctl("start", "each.socket")
    assert ask(box, "/run/s") == []
    box.run("sh", "-c", "while systemctl is-active -q 'each@*'; do sleep .02; done")
    assert "it is a connection, set Accept=no in its socket unit" in box.journal("-u", "each@*")
