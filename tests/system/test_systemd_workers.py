"""Workers of a supervisor that is a service of a real systemd: what they say, and on demand."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

from tests.support import wait_until
from tests.system.box import Box

_SERVICE = """
[Service]
Type=notify
ExecStart={} run -c /etc/shop.toml
{}
"""
# Without a handler of signals: it ends in the midst of whatever it does.
_NAIVE = """
import os, socket
server = socket.socket(fileno=3)
server.setblocking(True)
while True:
    connection, _ = server.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""
# At random moments around those at which the worker is stopped; says who has answered.
_CLIENT = """
import random, socket, time
seed = random.randrange(1 << 32)
moments = random.Random(seed)
for _ in range(20):
    with socket.create_connection(("127.0.0.1", 8071), 30) as client:
        print(seed, client.recv(99).decode() or "nobody")
    time.sleep(moments.uniform(0.05, 0.25))
"""
_KEEPER = """
import os, socket, sys, time
names = os.environ.get("LISTEN_FDNAMES", "")
said = os.pread(3, 99, 0).decode() if names == "memory" else "empty"
kept = os.memfd_create("memory")
os.write(kept, f"kept by {os.getpid()}".encode())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
    to.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
    socket.send_fds(to, [b"FDSTOREREMOVE=1\\nFDNAME=memory"], [])
    socket.send_fds(to, [b"FDSTORE=1\\nFDNAME=memory"], [kept])
    to.send(f"READY=1\\nSTATUS=found: {said}".encode())
time.sleep(1000)
"""


def begin(box: Box, document: str, more: str = "") -> None:
    """Write the service, and let systemd read it."""
    box.put("/etc/shop.toml", f'supervisor.name = "shop"\n{dedent(document)}')
    box.put("/etc/systemd/system/shop.service", _SERVICE.format(box.pidsup, more))
    box.systemctl("daemon-reload")


def slots(box: Box) -> dict[str, Any]:
    """Return the slots by name."""
    told = box.run(box.pidsupctl, "status", "-o", "json", check=False).stdout
    return {slot["name"]: slot for w in json.loads(told)["watchers"] for slot in w["slots"]}


def test_what_workers_say_is_heard(box: Box) -> None:
    """By a wrapper's short-lived helper, by one that falls silent, and with descriptors."""
    box.put("/srv/keeper.py", _KEEPER)
    ready = "sleep 1000 & systemd-notify --ready --pid=$! --status=wrapped; wait"
    begin(
        box,
        f"""
        [watchers.wrapped]
        command = ["sh", "-c", "{ready}"]
        type = "notify"
        [watchers.silent]
        command = ["sh", "-c", "systemd-notify --ready; exec sleep 1000"]
        type = "notify"
        watchdog = "300ms"
        min_uptime = 0
        [watchers.keeper]
        command = ["{box.python}", "/srv/keeper.py"]
        type = "notify"
        file_descriptor_store_max = 1
        """,
    )
    box.systemctl("start", "shop")
    found = slots(box)
    assert found["wrapped:0"]["status"] == "wrapped"
    main = found["wrapped:0"]["pid"]
    assert box.path(f"/proc/{main}/comm").read_text() == "sleep\n"
    assert found["keeper:0"]["status"] == "found: empty"

    box.run("kill", "-KILL", str(found["keeper:0"]["pid"]))
    said = f"found: kept by {found['keeper:0']['pid']}"
    wait_until(lambda: slots(box)["keeper:0"]["status"] == said, said, every_s=0.05)
    wait_until(lambda: slots(box)["silent:0"]["last_exit"], "the watchdog", every_s=0.05)
    last = slots(box)["silent:0"]["last_exit"]
    assert last["cause"] == "it did not say WATCHDOG=1 for 0.3 s"
    assert last["signal"] == "ABRT"


def test_connections_to_a_socket_of_systemds_start_a_watcher_on_demand(box: Box) -> None:
    """And the service before; none is lost, however often it stops for want of them."""
    box.put("/srv/naive.py", _NAIVE)
    box.put("/srv/client.py", _CLIENT)
    begin(
        box,
        f"""
        [sockets.http]
        systemd = "http"
        [watchers.web]
        command = ["{box.python}", "/srv/naive.py"]
        sockets = ["http"]
        on_demand = true
        idle_timeout = "100ms"
        [watchers.other]
        command = ["sleep", "1000"]
        autostart = false
        """,
        more="Sockets=http.socket",
    )
    box.put(
        "/etc/systemd/system/http.socket",
        "[Socket]\nListenStream=127.0.0.1:8071\nFileDescriptorName=http\nService=shop.service\n",
    )
    box.systemctl("daemon-reload")
    box.systemctl("start", "http.socket")
    assert box.show("shop", "ActiveState")["ActiveState"] == "inactive"
    answers = [line.split() for line in box.run(box.python, "/srv/client.py").stdout.splitlines()]
    assert len(answers) == 20
    assert all(who.isdecimal() for _, who in answers), answers
    assert len({who for _, who in answers}) > 1, "it has never stopped"
    box.wait_for("shop")
    wait_until(lambda: slots(box)["web:0"]["state"] == "stopped", "idle again", every_s=0.05)
    assert slots(box)["other:0"]["pid"] is None


def test_each_connection_gets_a_process_of_its_own(box: Box) -> None:
    begin(
        box,
        """
        [sockets.echo]
        systemd = "echo"
        [watchers.echo]
        command = ["sh", "-c", "read line; echo $$ $line $REMOTE_ADDR"]
        stdin_socket = "echo"
        accept = true
        workers = 2
        """,
        more="Sockets=echo.socket",
    )
    box.put(
        "/etc/systemd/system/echo.socket",
        "[Socket]\nListenStream=127.0.0.1:8072\nFileDescriptorName=echo\nService=shop.service\n",
    )
    box.systemctl("daemon-reload")
    box.systemctl("start", "echo.socket")
    code = """
import socket
clients = [socket.create_connection(("127.0.0.1", 8072), 30) for _ in range(5)]
for client in clients:
    client.sendall(b"hello\\n")
    print(client.makefile().read(), end="")
"""
    lines = [line.split() for line in box.run(box.python, "-c", code).stdout.splitlines()]
    assert [line[1:] for line in lines] == [["hello", "127.0.0.1"]] * 5
    assert len({line[0] for line in lines}) == 5
