"""The blocking client: calls, streams, and what it raises."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pidsup.client import CallFailed, Client, NotAnswering, NotRunning
from pidsup.control.protocol import INTERFACE, error, reply
from pidsup.errors import ProtocolError
from tests.client.scripted import other
from tests.support import LIMIT_S


def test_a_call_sends_parameters_and_returns_them() -> None:
    with other() as it:
        it.says(reply({"name": "shop"}))
        assert it.client.call("Status", selectors=["web"]) == {"name": "shop"}
        assert it.heard() == {
            "method": f"{INTERFACE}.Status",
            "parameters": {"selectors": ["web"]},
        }


def test_an_abstract_address_is_written_as_it_is_logged() -> None:
    name = f"@pidsup-test-{os.getpid()}/shop"
    with pytest.raises(NotRunning, match=f"no supervisor listens at '{name}': "):
        Client(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name.replace("@", "\0"))
        server.listen()
        with Client(name) as client:
            assert client.peer_uid() == os.geteuid()


def test_an_error_is_raised_with_its_parameters() -> None:
    with other() as it:
        it.says(error("Denied", {"why": "needs the role operate"}))
        with pytest.raises(CallFailed, match="needs the role operate") as caught:
            it.client.call("Stop")
    assert (caught.value.name, caught.value.parameters["why"][:5]) == ("Denied", "needs")


def test_a_stream_yields_each_answer_up_to_the_one_that_does_not_continue() -> None:
    with other() as it:
        it.says(
            reply({"n": 1}, continues=True),
            reply({"n": 2}, continues=True),
            reply({"n": 3}),
            reply({"next": "call"}),
        )
        assert [answer["n"] for answer in it.client.stream("Start", selectors=["web"])] == [1, 2, 3]
        assert it.heard()["more"] is True
        assert it.client.call("Status") == {"next": "call"}, "the connection goes on"
        assert "more" not in it.heard()


def test_a_stream_asks_when_the_first_answer_is_wanted() -> None:
    with other() as it:
        answers = it.client.stream("Events")
        it.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            it.socket.recv(1)
        it.says(reply({"n": 1}))
        assert list(answers) == [{"n": 1}]


def test_a_stream_may_end_with_an_error() -> None:
    with other() as it:
        it.says(reply({"n": 1}, continues=True), error("Failed", {"change": {"id": "7"}}))
        answers = it.client.stream("Start")
        assert next(answers) == {"n": 1}
        with pytest.raises(CallFailed) as caught:
            next(answers)
    assert caught.value.name == "Failed"


def test_who_is_hung_up_on_is_told() -> None:
    """At once, with a limit too, in the middle of a stream, and in that of an answer."""
    with other() as it:
        it.says(hangs_up=True)
        with pytest.raises(NotRunning, match="hung up"):
            it.client.call("Status")
    with other() as it:
        it.says(hangs_up=True)
        with pytest.raises(NotRunning, match="hung up"):
            it.client.call("Status", within_s=LIMIT_S)
    with other() as it:
        it.says(reply({}, continues=True), hangs_up=True)
        answers = it.client.stream("Events")
        next(answers)
        with pytest.raises(NotRunning, match="hung up"):
            next(answers)
    with other() as it:
        it.socket.sendall(b'{"parameters":')
        it.says(hangs_up=True)
        with pytest.raises(NotRunning, match="hung up"):
            it.client.call("Status")


def test_who_has_gone_before_the_call_is_not_running() -> None:
    with other() as it:
        it.socket.close()
        with pytest.raises(NotRunning, match="hung up"):
            it.client.call("Status")
        with pytest.raises(NotRunning, match="hung up"):
            next(it.client.stream("Status"))


def test_a_supervisor_that_says_nothing_is_not_waited_for() -> None:
    with other() as it, pytest.raises(NotAnswering):
        it.client.call("Status", within_s=0.01)


def test_an_answer_that_comes_too_late_is_nobody_elses() -> None:
    """Who gives up a call, or a stream, and calls again, must not get what comes then."""
    with other() as it:
        with pytest.raises(NotAnswering):
            it.client.call("Status", within_s=0.01)
        it.says(reply({"to": "Status"}))
        with pytest.raises(NotRunning, match="make a new one"):
            it.client.call("Stats")
    with other() as it:
        it.says(reply({}, continues=True), reply({}))
        next(it.client.stream("Events"))
        with pytest.raises(NotRunning, match="make a new one"):
            it.client.call("Stats")


def test_an_answer_without_parameters_has_none() -> None:
    """Systemd's varlink leaves them out where they are empty."""
    with other() as it:
        it.says({})
        assert it.client.call("Status") == {}
        it.says({"parameters": []})
        with pytest.raises(ProtocolError):
            it.client.call("Status")


def test_the_descriptor_tells_when_there_is_something_to_read() -> None:
    with other() as it:
        assert it.client.fileno() > 2
        it.client.close()
        it.client.close()
        assert it.client.fileno() == -1


def test_nobody_there_is_not_running(tmp_path: Path) -> None:
    """No such path, and a socket that nobody listens at."""
    with pytest.raises(NotRunning, match="no supervisor listens"):
        Client(str(tmp_path / "nothing"))
    path = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(NotRunning, match="no supervisor listens"):
        Client(path)
