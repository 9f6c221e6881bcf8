"""The control interface of a real supervisor: what it answers, to whom, and on bad days."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pidsup.client import CallFailed, Client
from pidsup.control.protocol import LIMIT, Decoder, Message, call, encode
from tests.control.interface import answer_is_declared, error_is_declared
from tests.support import LIMIT_S, needs_root, python, read_some, wait_until
from tests.system.daemon import Daemon, elapsed

Start = Callable[..., Daemon]

SHOP = """
    [sockets.http]
    listen = "127.0.0.1:0"
    [watchers.web]
    command = "sleep 1000"
    workers = 2
    sockets = ["http"]
    [watchers.bad]
    command = ["sh", "-c", "echo to out; printf 'caf\\\\351\\\\n' >&2; exit 3"]
    stdout = "capture"
    stderr = "capture"
    restart_delay = "10ms"
    start_limit_burst = 2
    [watchers.off]
    command = "sleep 1000"
    autostart = false
    [watchers.gone]
    command = "/nope"
    autostart = false
    """


def shop(daemon: Start, more: str = "") -> Daemon:
    """Start one that has everything in it, and wait until it has come to rest."""
    it = daemon(SHOP + more)
    it.await_slots(
        lambda slots: slots["bad:0"]["state"] == "failed" and slots["web:1"]["state"] == "ready"
    )
    return it


# --- the interface


def test_every_answer_is_what_the_interface_declares(daemon: Start) -> None:
    """Field by field: nothing missing, nothing more, no wrong type or word."""
    it = shop(daemon)
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("Start", {"selectors": ["off"]}),
        ("Restart", {"selectors": ["web"]}),
        ("Scale", {"selectors": ["web"], "by": 1}),
        ("Signal", {"selectors": ["web:0"], "signal": "CONT", "whom": "all"}),
        ("Stop", {"selectors": ["off"], "wait": False}),
    ]
    questions: list[tuple[str, dict[str, Any]]] = [
        ("Status", {}),
        ("Status", {"selectors": ["bad"]}),
        ("Changes", {}),
        ("Events", {}),
        ("Logs", {}),
        ("Stats", {}),
        ("Explain", {}),
    ]
    for method, parameters in (*wishes, *questions):
        answer = it.client.call(method, **parameters)
        assert answer_is_declared(method, answer) == [], method
    for method, parameters in (("Logs", {}), *wishes[:4]):
        for answer in it.client.stream(method, **parameters):
            assert answer_is_declared(method, answer) == [], method


def test_every_event_is_what_the_interface_declares(daemon: Start) -> None:
    it = shop(daemon)
    with Client(it.socket) as subscriber:
        answers = subscriber.stream("Events")
        assert answer_is_declared("Events", next(answers)) == []
        it.client.call("Restart", selectors=["web", "bad"], wait=False)
        it.client.call("Scale", selectors=["web"], workers=3)
        kinds: set[str] = set()
        while kinds != {"slot", "change", "watcher"}:
            answer = next(answers)
            assert answer_is_declared("Events", answer) == []
            kinds |= {event["kind"] for event in answer["events"]}


def test_every_error_is_what_the_interface_declares(daemon: Start) -> None:
    it = shop(daemon)
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("Status", {"selectors": ["nobody"]}, "NoSuchSelector"),
        ("Status", {"selectors": "web"}, "Invalid"),
        ("Status", {"colour": "blue"}, "Invalid"),
        ("Start", {"selectors": ["gone"]}, "Failed"),
        ("Signal", {"selectors": ["web"], "signal": "HUP", "whom": "nobody"}, "Invalid"),
        ("Signal", {"selectors": ["web"]}, "Invalid"),
        ("Logs", {"stream": "both"}, "Invalid"),
        ("Logs", {"lines": -1}, "Invalid"),
        ("Logs", {"lines": 1.5}, "Invalid"),
        ("Logs", {"since": "yesterday"}, "Invalid"),
        ("Logs", {"follow": True}, "Invalid"),
        ("Events", {"cursor": "nonsense"}, "Invalid"),
        ("Changes", {"ids": ["17"]}, "Invalid"),
        ("Changes", {"limit": True}, "Invalid"),
        ("Explain", {"selectors": []}, ""),
    ]
    for method, parameters, name in wrong:
        if not name:
            assert it.client.call(method, **parameters) == {"explanations": []}
            continue
        with pytest.raises(CallFailed) as caught:
            it.client.call(method, **parameters)
        assert caught.value.name == name, (method, parameters)
        assert error_is_declared(name, caught.value.parameters) == []


# --- what is answered


def test_status_tells_sockets_files_and_role(daemon: Start) -> None:
    it = shop(daemon)
    status = it.status()
    assert status["role"] == "admin"
    assert status["files"] == [str(it.file)]
    [http] = status["sockets"]
    assert (http["listen"], http["watchers"]) == ("127.0.0.1:0", ["web"])
    assert int(http["address"].rpartition(":")[2]) > 0
    assert it.status("web")["sockets"] == [http]
    assert it.status("off")["sockets"] == []
    web = status["watchers"][0]
    assert (web["sockets"], web["generation"]) == (["http"], 1)


def test_status_has_the_last_lines_of_what_failed(daemon: Start) -> None:
    """Made printable: what a worker writes may be anything."""
    it = shop(daemon)
    assert it.slots()["bad:0"]["last_exit"]["last_lines"] == ["caf\\xe9"]


def test_changes_are_looked_back_at(daemon: Start) -> None:
    it = shop(daemon)
    it.client.call("Restart", selectors=["web"])
    with pytest.raises(CallFailed):
        it.client.call("Start", selectors=["gone", "web"])
    it.client.call("Scale", selectors=["web"], by=1)
    changes = it.client.call("Changes")["changes"]
    assert [(c["id"], c["kind"], c["what"], c["state"]) for c in changes] == [
        ("1", "restart", "web", "done"),
        ("2", "start", "gone web", "failed"),
        ("3", "scale", "web +1", "done"),
    ]
    assert [(c["total"], c["over"], len(c["tasks"])) for c in changes] == [
        (2, 2, 0),
        (3, 3, 1),
        (1, 1, 0),
    ]
    assert all(c["ended_at"] >= c["asked_at"] for c in changes)
    assert changes[0]["actor"]["pid"] == os.getpid()
    assert it.client.call("Changes", ids=["3", "1"])["changes"] == [changes[0], changes[2]]
    assert it.client.call("Changes", limit=1)["changes"] == [changes[2]]
    assert it.client.call("Changes", limit=0)["changes"] == []


def test_progress_is_told_while_it_is_waited_for(daemon: Start) -> None:
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 6, warmup_delay = '60ms' }")
    answers = list(it.client.stream("Start", selectors=["a"]))
    overs = [answer["change"]["over"] for answer in answers]
    assert overs[-1] == 6
    assert len(answers) > 2
    assert overs == sorted(overs)
    assert [answer["change"]["state"] for answer in answers][-2:] == ["doing", "done"]


def test_stats_show_the_tree_of_a_worker(daemon: Start) -> None:
    it = daemon("""
        [watchers.tree]
        command = ["sh", "-c", "sh -c 'sleep 1001 & wait' & sleep 1002 & wait"]
        [watchers.off]
        command = "sleep 1000"
        autostart = false
        """)
    found: list[Any] = []

    def is_there() -> bool:
        found[:] = it.client.call("Stats")["slots"]
        return len(found[0]["processes"]) == 4

    wait_until(is_there, f"tree of four; {found}")
    tree, off = found
    assert [process["command"][-1] for process in tree["processes"]][1:] in (
        ["sleep 1001 & wait", "1001", "1002"],
        ["1002", "sleep 1001 & wait", "1001"],
    )
    parents = {process["pid"]: process["ppid"] for process in tree["processes"]}
    assert tree["processes"][0]["pid"] == it.pids()["tree:0"]
    assert all(ppid in (*parents, it.pid) for ppid in parents.values())
    assert tree["processes"][0]["rss_bytes"] > 0
    assert tree["processes"][0]["state"] == "S"
    assert (off["processes"], off["up_s"]) == ([], None)


def test_stats_of_many_workers_hold_nobody_up(daemon: Start) -> None:
    """They are made in slices: another client has its answer in between."""
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 300 }")
    it.await_slots(lambda slots: len(it.pids()) == 300)
    with Client(it.socket) as other:
        other.call("Stats", selectors=["a:0"])  # it takes time to import what it needs
        other._socket.sendall(encode(call("Stats", {})))
        begun = time.monotonic()
        assert it.status("a:0")["name"] == it.name
        quick_s = elapsed(begun)
        stats = other._receive()["parameters"]
        slow_s = elapsed(begun)
    assert len(stats["slots"]) == 300
    assert quick_s < slow_s / 2


def test_explain_says_what_to_know_and_what_to_do(daemon: Start) -> None:
    it = shop(daemon)
    it.client.call("Stop", selectors=["web:1"])
    explained = it.client.call("Explain", selectors=["bad:0", "web:1", "off", "web"])
    why = {one["name"]: "\n".join(one["why"]) for one in explained["explanations"]}
    assert list(why) == ["web", "bad:0", "off"], "whole watchers include their slots"
    assert "exited with 3" in why["bad:0"]
    assert "caf\\xe9" in why["bad:0"]
    assert "start_limit_burst=2" in why["bad:0"]
    assert "pidsupctl start bad:0" in why["bad:0"]
    assert "nobody has started it yet" in why["off"]
    assert "autostart" in why["web"]
    assert "http, 127.0.0.1:" in why["web"]
    [one] = it.client.call("Explain", selectors=["web:1"])["explanations"]
    assert "web:1 is to be down: stop (change 1) by uid" in one["why"][0]
    assert "pidsupctl start web:1" in one["why"][-1]


def test_explain_says_who_is_waited_for(daemon: Start) -> None:
    it = daemon("""
        [watchers.db]
        command = "sleep 1000"
        workers = 2
        warmup_delay = "1h"
        [watchers.web]
        command = "sleep 1000"
        after = ["db"]
        """)
    it.await_slots(lambda slots: slots["db:0"]["state"] == "ready")
    it.client.call("Restart", selectors=["web"], wait=False)
    explained = it.client.call("Explain", selectors=["web:0"])["explanations"][0]["why"]
    text = "\n".join(explained)
    assert "db is still to be started, it is waiting: pidsupctl explain db" in text
    assert "Restart (change 1) by uid" in text
    assert "is under way, 0 of 1 done" in text


NOBODY_READS = """
import os, sys
out, into = os.pipe()
os.set_inheritable(out, True)
os.dup2(into, 1)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_explain_says_whose_output_nobody_takes(daemon: Start) -> None:
    """It waits, and looks as ready as any: somebody has to say why nothing comes of it."""
    it = daemon(
        "watchers.chatty = { command = 'yes', stderr = 'null' }", prefix=python(NOBODY_READS)
    )

    def why() -> str:
        [one] = it.client.call("Explain", selectors=["chatty:0"])["explanations"]
        return "\n".join(one["why"])

    wait_until(lambda: "What it writes is not taken at the moment" in why(), "said")
    assert it.client.call("Restart", selectors=["chatty"])["change"]["state"] == "done"


# --- output


def lines(it: Daemon, **parameters: Any) -> list[Any]:
    found: list[Any] = it.client.call("Logs", **parameters)["lines"]
    return found


def test_logs_are_the_last_lines_in_their_order(daemon: Start) -> None:
    it = shop(daemon)
    told = lines(it, selectors=["bad"])
    assert [(line["serial"], line["stream"]) for line in told if line["serial"] == 1] == [
        (1, "stdout"),
        (1, "stderr"),
    ]
    assert {line["text"] for line in told if line["stream"] == "stdout"} == {"to out"}
    assert {line["base64"] for line in told if line["stream"] == "stderr"} == {"Y2Fm6Q=="}
    assert lines(it, lines=1) == told[-1:]
    assert lines(it, stream="stdout", lines=2) == [t for t in told if t["stream"] == "stdout"][-2:]
    assert lines(it, since=told[-1]["at"] + 1) == []
    assert lines(it, selectors=["web"]) == []
    assert [one for answer in it.client.stream("Logs") for one in answer["lines"]] == told


def test_logs_are_followed_also_of_slots_that_start_later(daemon: Start) -> None:
    it = daemon("""
        [watchers.say]
        command = ["sh", "-c", "echo hello; exec sleep 1000"]
        stdout = "capture"
        [watchers.other]
        command = ["sh", "-c", "echo never; exec sleep 1000"]
        stdout = "capture"
        """)
    wait_until(lambda: len(lines(it)) == 2, "first lines")
    with Client(it.socket) as follower:
        answers = follower.stream("Logs", selectors=["say"], follow=True)
        said = [line["slot"] for line in next(answers)["lines"]]
        it.client.call("Scale", selectors=["say"], by=1)
        it.client.call("Restart", selectors=["say:0", "other"])
        while len(said) < 3:
            said += [line["slot"] for line in next(answers)["lines"]]
        assert sorted(said) == ["say:0", "say:0", "say:1"]


def test_too_much_output_for_one_answer_is_said(daemon: Start) -> None:
    it = daemon("""
        [watchers.flood]
        command = ["sh", "-c", "seq 1000000; echo end; exec sleep 1000"]
        stdout = "capture"
        log_memory = "8M"
        """)
    wait_until(lambda: [t["text"] for t in lines(it, lines=1)] == ["end"], "end of the flood")
    with pytest.raises(CallFailed) as caught:
        it.client.call("Logs")
    assert "too much for one answer" in caught.value.parameters["why"]
    answers = [answer["lines"] for answer in it.client.stream("Logs")]
    assert sum(map(len, answers)) > 100_000
    assert answers[-1][-1]["text"] == "end"


def test_who_follows_a_flood_and_never_reads_costs_a_bounded_amount(daemon: Start) -> None:
    it = daemon("""
        [watchers.flood]
        command = ["sh", "-c", "while :; do seq 100000; done"]
        stdout = "capture"
        """)
    it.await_slots(lambda slots: slots["flood:0"]["state"] == "ready")
    with Client(it.socket) as reader:
        next(reader.stream("Logs", follow=True))
    before = it.rss_kb()
    with Client(it.socket) as mute:
        mute._socket.sendall(encode(call("Logs", {"follow": True}, more=True)))
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert it.status()["name"] == it.name
        assert not it.has_grown(before, 8192)
        missed = 0
        while not missed:
            missed = mute._receive()["parameters"]["missed"]
    assert it.client.call("Logs", lines=1)["lines"]


# --- roles


ASK = """
import json, os, socket, sys
os.setgroups(json.loads(sys.argv[2]))
os.setresgid(54322, 54322, 54322)
os.setresuid(54321, 54321, 54321)
peer = socket.socket(socket.AF_UNIX)
try:
    peer.connect(sys.argv[1])
except PermissionError as error:
    print(json.dumps("PermissionError"))
    sys.exit()
answers = []
for request in json.loads(sys.argv[3]):
    peer.sendall(json.dumps(request).encode() + bytes(1))
    data = b""
    while not data.endswith(bytes(1)):
        data += peer.recv(65536)
    answers.append(json.loads(data[:-1]))
print(json.dumps(answers))
"""


def ask_as_other(it: Daemon, *requests: Message, groups: tuple[int, ...] = ()) -> Any:
    """Have user 54321 ask, of group 54322; return the answers."""
    command = [sys.executable, "-c", ASK, it.socket, json.dumps(groups), json.dumps(requests)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    return json.loads(done.stdout)


ONE_OF_EACH = (
    call("Status", {}),
    call("Stop", {"selectors": ["nobody"]}),
    call("Shutdown", {"colour": "blue"}),
    {"method": "org.varlink.service.GetInfo"},
    {"method": "org.pidsup.Supervisor.Fly"},
)


def outcomes(answers: Any) -> list[str]:
    """Return the errors, without their interfaces; "" for none."""
    return [answer.get("error", "").rpartition(".")[2] for answer in answers]


@needs_root
@pytest.mark.parametrize(
    ("access", "groups", "expected"),
    [
        ("read = ['54321']", (), ["", "Denied", "Denied"]),
        ("operate = ['54321']", (), ["", "NoSuchSelector", "Denied"]),
        ("admin = ['54321']", (), ["", "NoSuchSelector", "Invalid"]),
        ("read = ['@54322']", (), ["", "Denied", "Denied"]),
        ("operate = ['@777']", (776, 777), ["", "NoSuchSelector", "Denied"]),
        ("operate = ['@777']\nread = ['54321']", (776,), ["", "Denied", "Denied"]),
        ("admin = ['nobody', 'no-such-user']", (), ["Denied", "Denied", "Denied"]),
    ],
)
def test_roles_are_given_to_users_and_groups(
    daemon: Start, access: str, groups: tuple[int, ...], expected: list[str]
) -> None:
    """Each may do what his role says; anybody may ask what there is to ask."""
    it = daemon(f"[control]\n{access}\n[watchers.a]\ncommand = 'sleep 1000'")
    answers = ask_as_other(it, *ONE_OF_EACH, groups=groups)
    assert outcomes(answers) == [*expected, "", "MethodNotFound"]


@needs_root
def test_who_is_denied_is_told_what_he_has_and_who_gives_more(daemon: Start) -> None:
    it = daemon("control.read = ['54321']\nwatchers.a.command = 'sleep 1000'")
    status, stop = ask_as_other(it, call("Status", {}), call("Stop", {"selectors": ["a"]}))
    assert status["parameters"]["role"] == "read"
    assert error_is_declared("Denied", stop["parameters"]) == []
    assert stop["parameters"]["why"] == (
        f"needs the role operate: uid 54321 has read; control.operate in {it.file} gives it"
    )
    assert it.slots()["a:0"]["state"] == "ready"


@needs_root
def test_without_roles_for_others_nobody_else_can_connect(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    assert os.stat(it.socket).st_mode & 0o777 == 0o600
    assert ask_as_other(it, *ONE_OF_EACH) == "PermissionError"


@needs_root
def test_an_account_that_does_not_exist_is_warned_of(daemon: Start) -> None:
    it = daemon("control.operate = ['no-such-user']\nwatchers.a.command = 'sleep 1000'")
    assert "control.operate[0]: there is no user 'no-such-user'" in it.log()


# --- bad days


def connect(it: Daemon) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(it.socket)  # waits while there are too many in front
    one.settimeout(LIMIT_S)
    return one


def answers_of(one: socket.socket, count: int) -> list[Any]:
    """Read that many answers."""
    decoder = Decoder(1 << 30)
    found: list[Any] = []
    while len(found) < count:
        data = read_some(one.fileno())
        assert data, f"hung up after {found}"
        decoder.feed(data)
        while (message := decoder.next()) is not None:
            found.append(message)
    return found


def test_a_request_of_exactly_the_limit_is_answered_and_one_byte_more_is_not(
    daemon: Start,
) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    request = encode(call("Status", {"selectors": [""]}))
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        with connect(it) as one:
            padding = size - len(request)
            one.sendall(encode(call("Status", {"selectors": ["x" * padding]})))
            [answer] = answers_of(one, 1)
            name = "selectors" if fits else "message"
            assert answer["parameters"]["field"] == name
    assert it.status()["name"] == it.name


def test_a_thousand_connections_lock_nobody_out(daemon: Start) -> None:
    """Neither silent ones nor subscribers: those can go on from a cursor."""
    it = daemon("watchers.a.command = 'sleep 1000'")
    subscribe = encode(call("Events", {}, more=True))
    with ExitStack() as crowd:
        for number in range(1000):
            one = crowd.enter_context(connect(it))
            if number % 2:
                one.sendall(subscribe)
            if number % 100 == 0:
                with Client(it.socket) as client:
                    assert client.call("Status")["name"] == it.name
        with Client(it.socket) as client:
            begun = time.monotonic()
            assert client.call("Restart", selectors=["a"])["change"]["state"] == "done"
            assert elapsed(begun) < 1
    assert "clients wait for answers" not in it.log()


def test_who_waits_for_a_change_is_not_hung_up_on_for_others(daemon: Start) -> None:
    it = daemon("""
        [watchers.deaf]
        command = ["sh", "-c", "trap '' TERM; echo TERM is ignored; while :; do sleep 0.05; done"]
        stop_timeout = "1500ms"
        """)
    wait_until(lambda: "TERM is ignored" in it.log(), "TERM ignored")
    with ExitStack() as crowd, connect(it) as waiting:
        waiting.sendall(encode(call("Stop", {"selectors": ["deaf"]})))
        it.await_slots(lambda slots: slots["deaf:0"]["state"] == "stopping")
        for _ in range(300):
            crowd.enter_context(connect(it)).sendall(encode(call("Events", {}, more=True)))
        [stopped] = answers_of(waiting, 1)
    assert stopped["parameters"]["change"]["state"] == "done"


def test_a_request_behind_what_has_no_end_is_never_answered_and_does_no_harm(
    daemon: Start,
) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    before = it.rss_kb()
    with connect(it) as one:
        one.sendall(encode(call("Events", {}, more=True)) + encode(call("Shutdown", {})))
        [snapshot] = answers_of(one, 1)
        assert snapshot["parameters"]["kind"] == "snapshot"
        one.settimeout(0.001)
        with pytest.raises(OSError, match=r"timed out|Broken pipe|reset"):
            one.sendall(b"x" * 100_000_000)
    assert it.status()["state"] == "running"
    assert not it.has_grown(before, 8192)


def test_streams_that_are_closed_in_the_middle_leave_nothing(daemon: Start) -> None:
    it = daemon("""
        [watchers.flood]
        command = ["sh", "-c", "while :; do echo line; sleep 0.001; done"]
        stdout = "capture"
        """)
    it.await_slots(lambda slots: slots["flood:0"]["state"] == "ready")
    before = len(os.listdir(f"/proc/{it.pid}/fd"))
    for _ in range(50):
        for method, parameters in (("Events", {}), ("Logs", {"follow": True}), ("Stats", {})):
            with connect(it) as one:
                one.sendall(encode(call(method, parameters, more=True)))
                if method != "Stats":
                    answers_of(one, 1)
    wait_until(lambda: len(os.listdir(f"/proc/{it.pid}/fd")) <= before, "descriptors given up")


def test_a_shutdown_is_answered_with_its_end(daemon: Start) -> None:
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 3 }")
    it.await_slots(lambda slots: len(it.pids()) == 3)
    answers = list(it.client.stream("Shutdown"))
    assert answers[-1]["change"]["state"] == "done"
    assert it.wait() == 0


def test_a_bug_in_a_stream_is_an_answer(daemon: Start, tmp_path: Path) -> None:
    """Psutil cannot be imported, say: the client is told, and nothing else happens."""
    (tmp_path / "psutil.py").write_text("raise RuntimeError('broken')\n")
    it = daemon(
        "watchers.a.command = 'sleep 1000'", environment={"PYTHONPATH": str(tmp_path)}, quiet=True
    )
    it.await_slots(lambda slots: slots["a:0"]["state"] == "ready")
    with pytest.raises(CallFailed, match="RuntimeError: broken") as caught:
        it.client.call("Stats")
    assert caught.value.name == "Internal"
    assert it.status()["name"] == it.name
    it.send(signal.SIGTERM)
    assert it.wait() == 0
