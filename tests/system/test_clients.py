"""What one client does is no other client's trouble, nor the workers'."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pidsup.control.protocol import call, encode
from tests.support import LIMIT_S, read_some, wait_until
from tests.system.daemon import Daemon, elapsed

Start = Callable[..., Daemon]

SLOW = """
    [watchers.slow]
    command = ["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; echo set; while :; do sleep 0.02; done"]
    [watchers.web]
    command = "sleep 1000"
    """


@contextmanager
def connected(it: Daemon) -> Iterator[socket.socket]:
    """Connect, without our client."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(it.socket)
        one.settimeout(LIMIT_S)
        yield one


def oneway(method: str, parameters: dict[str, Any]) -> bytes:
    """Return a call that wants no answer."""
    return encode({**call(method, parameters), "oneway": True})


def answers(one: socket.socket, count: int) -> list[Any]:
    """Read that many answers."""
    data = b""
    while data.count(b"\0") < count:
        more = read_some(one.fileno())
        assert more, f"hung up after {data!r}"
        data += more
    return [json.loads(part) for part in data.split(b"\0")[:count]]


def test_calls_that_want_no_answer_do_not_hold_up_others(daemon: Start) -> None:
    """A thousand of them in one packet: each has its own turn."""
    it = daemon("watchers.a = { command = 'sleep 1000', workers = 200 }")
    it.await_slots(lambda slots: len(it.pids()) == 200)
    with connected(it) as one:
        one.setblocking(False)
        one.send(oneway("Status", {}) * 500)
        begun = time.monotonic()
        assert it.status("a:0")["name"] == it.name
        assert elapsed(begun) < 1, "500 answers were made in between"


def test_a_oneway_call_that_takes_long_does_not_hold_up_the_next(daemon: Start) -> None:
    it = daemon(SLOW)
    wait_until(lambda: "set" in it.log(), "trap set")
    with connected(it) as one:
        one.sendall(
            oneway("Restart", {"selectors": ["slow"]}) + oneway("Stop", {"selectors": ["web"]})
        )
    it.await_slots(lambda slots: slots["web:0"]["state"] == "stopped")


def test_who_has_nothing_more_to_say_still_gets_all_answers(daemon: Start) -> None:
    """As `nc -N` does: it shuts down its side at once."""
    it = daemon(SLOW)
    wait_until(lambda: "set" in it.log(), "trap set")
    with connected(it) as one:
        one.sendall(encode(call("Stop", {"selectors": ["slow"]})) + encode(call("Status", {})))
        one.shutdown(socket.SHUT_WR)
        stopped, status = answers(one, 2)
        assert stopped["parameters"]["change"]["state"] == "done"
        assert status["parameters"]["watchers"][0]["state"] == "stopped"
        assert one.recv(1) == b"", "then it hangs up"


def test_answers_come_in_the_order_of_the_calls(daemon: Start) -> None:
    it = daemon(SLOW)
    wait_until(lambda: "set" in it.log(), "trap set")
    with connected(it) as one:
        one.sendall(
            encode(call("Stop", {"selectors": ["slow"]}))
            + encode(call("Stop", {"selectors": ["web"]}))
        )
        first, second = answers(one, 2)
    assert first["parameters"]["change"]["tasks"][0]["slot"] == "slow:0"
    assert second["parameters"]["change"]["tasks"][0]["slot"] == "web:0"


def test_a_crowd_of_silent_clients_locks_nobody_out(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    crowd = []
    try:
        for _ in range(300):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(it.socket)
        assert it.ctl("status").returncode == 0
    finally:
        for one in crowd:
            one.close()


def test_a_supervisor_that_hangs_is_reported_in_time(daemon: Start) -> None:
    it = daemon("watchers.a.command = 'sleep 1000'")
    os.kill(it.pid, signal.SIGSTOP)
    try:
        done = it.ctl("stop", "a", "--timeout", "100ms")
    finally:
        os.kill(it.pid, signal.SIGCONT)
    assert done.returncode == 8
    assert "does not answer" in done.stderr


def test_scale_joins_what_is_already_wanted(daemon: Start) -> None:
    """The second is done when the workers are there, not when it has nothing to say."""
    it = daemon("watchers.a = { command = 'sleep 1000', warmup_delay = '150ms' }")
    it.await_slots(lambda slots: slots["a:0"]["state"] == "ready")
    assert it.ctl("scale", "a", "4", "--no-wait").returncode == 0
    assert it.ctl("scale", "a", "4").returncode == 0
    assert len(it.pids()) == 4


def test_wishes_that_nobody_can_grant_are_not_done(daemon: Start) -> None:
    it = daemon("watchers.off = { command = 'sleep 1000', autostart = false }")
    failed = it.ctl("signal", "HUP", "off")
    assert failed.returncode == 1
    assert "no worker runs" in failed.stderr


def test_a_slot_that_waits_says_for_whom(daemon: Start) -> None:
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
    reasons = {name: slot["reason"] for name, slot in it.slots().items()}
    assert reasons["db:1"] == "for warmup_delay"
    assert reasons["web:0"] == "after db"
