"""Clients that know nothing of pidsup: the Python package varlink, and systemd's varlinkctl."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import varlink

from pidsup.control.protocol import INTERFACE
from tests.control.interface import TEXT
from tests.system.daemon import Daemon
from tests.system.newer_systemd import NewerSystemd, newer_systemd

Start = Callable[..., Daemon]

SHOP = """
    [watchers.web]
    command = ["sh", "-c", "echo hello; exec sleep 1000"]
    workers = 2
    stdout = "capture"
    [watchers.gone]
    command = "/nope"
    autostart = false
    """


def shop(daemon: Start) -> Daemon:
    it = daemon(SHOP)
    it.await_slots(lambda slots: len(it.pids("web")) == 2)
    return it


# --- the Python package


@contextmanager
def connected(it: Daemon, *, namespaced: bool = False) -> Iterator[Any]:
    """Connect with the package's own client, which reads the interface from the supervisor."""
    with (
        varlink.Client(f"unix:{it.socket}") as client,
        client.open(INTERFACE, namespaced=namespaced) as connection,
    ):
        yield connection


def test_python_varlink_finds_the_interfaces(daemon: Start) -> None:
    it = shop(daemon)
    with varlink.Client(f"unix:{it.socket}") as client:
        assert client.get_interfaces() == ["org.varlink.service", INTERFACE]
        assert client.get_interface(INTERFACE).get_description() == TEXT
        with client.open("org.varlink.service") as service:
            assert service.GetInfo()["product"] == "pidsup"


def test_python_varlink_calls(daemon: Start) -> None:
    """With parameters by name and without; its parser has read our interface file."""
    it = shop(daemon)
    with connected(it, namespaced=True) as pidsup:
        status = pidsup.Status()
        assert (status.name, status.watchers[0].slots[1].name) == (it.name, "web:1")
        change = pidsup.Restart(selectors=["web"]).change
        assert (change.state, change.total, change.actor.pid) == ("done", 2, os.getpid())
        assert pidsup.Scale(selectors=["web"], by=1).change.kind == "scale"
        assert pidsup.Changes().changes[0].id == change.id
        assert pidsup.Logs(lines=1).lines[0].text == "hello"
        assert len(pidsup.Stats().slots) == 4
        assert pidsup.Explain(selectors=["web"]).explanations[0].why


def test_python_varlink_streams(daemon: Start) -> None:
    it = shop(daemon)
    with connected(it, namespaced=True) as subscriber, connected(it) as pidsup:
        events = subscriber.Events(selectors=["web:0"], _more=True)
        assert next(events).kind == "snapshot"
        progress = list(pidsup.Restart(selectors=["web"], wait=True, _more=True))
        assert progress[-1]["change"]["over"] == 2
        seen: list[str] = []
        while "ready" not in seen:
            seen += [one.state for one in next(events).events if one.subject == "web:0"]
        assert seen == ["stopping", "cleaning", "stopped", "starting", "ready"]


def test_python_varlink_gets_errors(daemon: Start) -> None:
    it = shop(daemon)
    with connected(it) as pidsup:
        wrong: list[tuple[Callable[[], Any], str, str]] = [
            (lambda: pidsup.Status(selectors=["wbe"]), "NoSuchSelector", "nearest"),
            (lambda: pidsup.Start(selectors=["gone"]), "Failed", "change"),
            (lambda: pidsup.Logs(follow=True), "Invalid", "why"),
        ]
        for call, name, parameter in wrong:
            with pytest.raises(varlink.VarlinkError) as caught:
                call()
            assert caught.value.error() == f"{INTERFACE}.{name}"
            assert caught.value.parameters()[parameter]


def test_python_varlink_calls_one_way(daemon: Start) -> None:
    it = shop(daemon)
    with connected(it) as pidsup:
        pidsup.Stop(selectors=["web:0"], _oneway=True)
        it.await_slots(lambda slots: slots["web:0"]["state"] == "stopped")
        assert pidsup.Status()["name"] == it.name


# --- systemd's varlinkctl


@pytest.fixture(scope="module")
def systemd() -> NewerSystemd:
    return newer_systemd()


class Varlinkctl:
    """varlinkctl, and a supervisor's socket where it sees it."""

    def __init__(self, systemd: NewerSystemd, it: Daemon) -> None:
        self._systemd = systemd
        self._directory, _, name = it.socket.rpartition("/")
        self._address = f"/mnt/{name}"

    def __call__(self, verb: str, *arguments: str) -> Any:
        """Run it with the address behind the verb and its options."""
        options = [argument for argument in arguments if argument.startswith("-")]
        rest = [argument for argument in arguments if not argument.startswith("-")]
        command = ["varlinkctl", *options, verb, self._address, *rest]
        return self._systemd.run(self._directory, *command)

    def call(self, method: str, parameters: Any = None, *options: str) -> Any:
        """Call a method of ours; return the answers."""
        done = self("call", *options, f"{INTERFACE}.{method}", json.dumps(parameters or {}), "-j")
        assert done.returncode == 0, done.stderr
        found = []
        text = done.stdout.replace("\x1e", "").strip()  # RFC 7464, of --more
        while text:
            one, end = json.JSONDecoder().raw_decode(text)
            found.append(one)
            text = text[end:].strip()
        return found


@pytest.fixture
def varlinkctl(systemd: NewerSystemd, daemon: Start) -> tuple[Varlinkctl, Daemon]:
    it = shop(daemon)
    return Varlinkctl(systemd, it), it


Both = tuple[Varlinkctl, Daemon]


def test_varlinkctl_shows_who_we_are(varlinkctl: Both) -> None:
    ctl, _ = varlinkctl
    info = ctl("info")
    assert info.returncode == 0, info.stderr
    assert "pidsup" in info.stdout
    assert INTERFACE in info.stdout
    listed = ctl("list-interfaces")
    assert set(listed.stdout.split()) == {"org.varlink.service", INTERFACE}


def test_varlinkctl_reads_the_interface_file(varlinkctl: Both) -> None:
    """Its parser is stricter than others, and shows the comments."""
    ctl, _ = varlinkctl
    shown = ctl("introspect", INTERFACE)
    assert shown.returncode == 0, shown.stderr
    for text in ("method Restart(", "error Superseded(", "type Slot(", "# What is wanted."):
        assert text in shown.stdout


def test_varlinkctl_calls(varlinkctl: Both) -> None:
    ctl, _ = varlinkctl
    [status] = ctl.call("Status", {"selectors": ["web:1"]})
    assert status["watchers"][0]["slots"][0]["name"] == "web:1"
    [restarted] = ctl.call("Restart", {"selectors": ["web"]})
    assert restarted["change"]["state"] == "done"
    assert restarted["change"]["actor"]["comm"] == "varlinkctl"


def test_varlinkctl_calls_with_more(varlinkctl: Both) -> None:
    ctl, _ = varlinkctl
    answers = ctl.call("Restart", {"selectors": ["web"], "wait": True}, "--more")
    assert [answer["change"]["over"] for answer in answers][-1] == 2
    assert answers[0]["change"]["state"] == "doing"
    lines = [line for answer in ctl.call("Logs", {}, "--more") for line in answer["lines"]]
    assert {line["text"] for line in lines} == {"hello"}


def test_varlinkctl_calls_one_way(varlinkctl: Both) -> None:
    ctl, it = varlinkctl
    assert ctl.call("Stop", {"selectors": ["web:0"]}, "--oneway") == []
    it.await_slots(lambda slots: slots["web:0"]["state"] == "stopped")


@pytest.mark.parametrize(
    ("method", "parameters", "error"),
    [
        (f"{INTERFACE}.Status", {"selectors": ["wbe"]}, "NoSuchSelector"),
        (f"{INTERFACE}.Start", {"selectors": ["gone"]}, "Failed"),
        (f"{INTERFACE}.Status", {"colour": "blue"}, "Invalid"),
        (f"{INTERFACE}.Fly", {}, "org.varlink.service.MethodNotFound"),
        ("org.example.Fly", {}, "org.varlink.service.InterfaceNotFound"),
    ],
)
def test_varlinkctl_gets_errors(varlinkctl: Both, method: str, parameters: Any, error: str) -> None:
    ctl, _ = varlinkctl
    done = ctl("call", method, json.dumps(parameters))
    assert done.returncode != 0
    assert error in done.stderr
