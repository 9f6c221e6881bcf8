"""What comes into the inbox of a slot, and what becomes of it; no process, no socket."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from pidsup.kernel import Info
from pidsup.policy.lifecycle import State
from pidsup.systemd.notify import encode
from pidsup.systemd.notify_server import Received
from pidsup.watcher.inbox import Inbox

WORKER, OTHER, GONE, ADOPTED = 100, 200, 300, 400
OF_WORKER, OF_GONE = 7100, 7300  # pidfds


class Socket:
    """A queue of datagrams; or a spring of one, which never runs dry."""

    capacity = 100

    def __init__(self) -> None:
        self.queue: deque[Received] = deque()
        self.spring: Received | None = None
        self.fd = 5

    def fileno(self) -> int:
        return self.fd

    def receive(self) -> Received | None:
        return self.queue.popleft() if self.queue else self.spring

    def close(self) -> None:
        self.fd = -1


class Kernel:
    """Knows a worker, another process, and one that is gone."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.addresses: list[str] = []
        self.taken = 0  # addresses that others have
        self.closed: list[int] = []
        self.clock = 1000.0
        self.cgroups: dict[int, int | None] = {}
        self.environment: str | None = None

    def now(self) -> float:
        return self.clock

    def notify_socket(self, address: str) -> Socket:
        self.addresses.append(address)
        if len(self.addresses) <= self.taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return self.socket

    def signal(self, pidfd: int, signo: int) -> None:
        if pidfd == OF_GONE:
            raise ProcessLookupError

    def group_of(self, pid: int) -> int:
        if pid == GONE:
            raise ProcessLookupError
        return pid

    def pidfd_open(self, pid: int) -> int:
        self.group_of(pid)
        return 7000 + pid

    def adopted(self) -> list[int]:
        return [WORKER, OTHER, ADOPTED]

    def variable(self, pid: int, name: str) -> str | None:
        return self.environment

    def info(self, pidfd: int) -> Info | None:
        if pidfd not in (OF_WORKER, OF_GONE):
            return Info(pidfd - 7000, 1, None, None)
        return Info(0, 0, self.cgroups.get(pidfd), None)

    def close(self, fd: int) -> None:
        self.closed.append(fd)

    close_aside = close


class Child:
    """The worker."""

    pidfd, exit = OF_WORKER, None

    def __init__(self) -> None:
        self.main_pid = WORKER
        self.followed: list[tuple[int, int]] = []

    def has(self, pid: int) -> bool:
        return pid in (WORKER, WORKER + 1)

    def follow(self, pid: int, pidfd: int) -> None:
        self.main_pid = pid
        self.followed.append((pid, pidfd))


class Slot:
    """Keeps a diary."""

    name = "web:0"

    def __init__(self) -> None:
        self.child: Child | None = Child()
        self.state = State.READY
        self.awaits_process = False
        self.status_text = ""
        self.diary: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.diary.append((name, *args) if args else name)


class Spec:
    """What is configured."""

    sockets = ("http",)
    fd_store_max = 2


class Owner:
    """All else that an inbox needs; its loop is this, too."""

    def __init__(self) -> None:
        self.spec = Spec()
        self.kernel = Kernel()
        self.loop = self.spawner = self.log = self
        self.children = {WORKER: None, OTHER: None}
        self.read: Callable[[], None] | None = None
        self.timer: tuple[float, Callable[[], None]] | None = None
        self.warned: list[dict[str, object]] = []

    def add_reader(self, fd: int, read: Callable[[], None]) -> None:
        self.read = read

    def remove_reader(self, fd: int) -> None:
        self.read = None

    def call_at(self, when: float, call: Callable[[], None]) -> Owner:
        self.timer = (when, call)
        return self

    def cancel(self) -> None:
        self.timer = None

    def warning(self, event: str, **facts: object) -> None:
        self.warned.append({"event": event, **facts})

    info = warning


class Box:
    """An inbox with its surroundings."""

    def __init__(self, taken: int = 0) -> None:
        self.owner = Owner()
        self.kernel = self.owner.kernel
        self.kernel.taken = taken
        self.slot = Slot()
        places = (f"\0box/{n}" for n in count(1))
        sources: Any = None  # no descriptor is kept here: tests/watcher/test_fd_store.py
        slot: Any = self.slot
        owner: Any = self.owner
        self.inbox = Inbox(slot, owner, sources, places)
        self.inbox.begin(1000)

    def send(
        self,
        data: bytes,
        pid: int = WORKER,
        *,
        uid: int = 1000,
        pidfd: int | None = None,
        fds: tuple[int, ...] = (),
    ) -> None:
        pidfd = 7000 + pid if pidfd is None else pidfd
        self.kernel.socket.queue.append(Received(data, pid, uid, pidfd, fds))

    def hears(self, data: bytes, pid: int = WORKER, **how: Any) -> list[Any]:
        """Send and read; return what the slot has heard of it."""
        self.send(data, pid, **how)
        self.read()
        said, self.slot.diary = self.slot.diary, []
        return said

    def read(self) -> None:
        assert self.owner.read is not None
        self.owner.read()


@pytest.fixture
def box() -> Iterator[Box]:
    """Give one with a worker; every descriptor that came in is closed in the end."""
    box = Box()
    yield box
    box.inbox.close()
    box.inbox.close()
    assert (box.owner.read, box.owner.timer, box.kernel.socket.fd) == (None, None, -1)


READY = encode(READY=1)

# --- what is said


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        (b"READY=1", ["said_ready"]),
        (b"STOPPING=1", ["said_stopping"]),
        (b"WATCHDOG=1", ["said_alive"]),
        (b"WATCHDOG=trigger", ["said_broken"]),
        (b"WATCHDOG_USEC=2500000", [("set_watchdog", 2.5)]),
        (b"EXTEND_TIMEOUT_USEC=500000", [("extend", 0.5)]),
        (b"RELOADING=1", ["said_reloading"]),
        (b"RELOADING=1\nMONOTONIC_USEC=1000000000", ["said_reloading"]),
        (b"RELOADING=1\nMONOTONIC_USEC=1000000001", []),
        (b"READY=1\nRELOADING=1\nWATCHDOG=1", ["said_alive", "said_reloading", "said_ready"]),
        (b"X_OWN=1\nSTATUS=x", []),
        (b"BARRIER=1", []),
        (b"READY=1\0STATUS=x", []),
    ],
)
def test_the_slot_hears_what_is_said(box: Box, data: bytes, heard: list[Any]) -> None:
    """In an order that makes sense whatever comes together."""
    assert box.hears(data) == heard
    assert box.inbox.strangers == 0


def test_a_status_is_one_harmless_line_of_some_length(box: Box) -> None:
    box.hears(b"STATUS=  4 Kunden \x1b[2J  ")
    assert box.slot.status_text == "4 Kunden \\x1b[2J"
    box.hears(b"STATUS=" + b"x" * 4000)
    assert (len(box.slot.status_text), box.slot.status_text[-1]) == (256, "…")
    box.hears(b"STATUS=\xff\xfe")
    assert box.slot.status_text == "��"
    box.hears(b"STATUS=")
    assert box.slot.status_text == ""


def test_what_is_said_of_the_end_is_forgotten_with_the_worker(box: Box) -> None:
    box.hears(b"ERRNO=5")
    box.hears(b"EXIT_STATUS=3")
    assert box.inbox.said_of_its_end == "exit status 3, EIO: Input/output error"
    box.inbox.begin(None)
    assert box.inbox.said_of_its_end == ""


def test_descriptors_that_nobody_wants_are_closed(box: Box) -> None:
    """A barrier's end is just what its sender waits for."""
    box.hears(b"BARRIER=1", fds=(70,))
    box.hears(READY, fds=(71, 72))
    box.hears(b"nonsense \0", fds=(73,))
    assert {70, 71, 72, 73} <= set(box.kernel.closed)
    assert box.kernel.closed.count(7000 + WORKER) == 3


# --- when


def test_a_turn_takes_a_few(box: Box) -> None:
    """Others come to their turn; the rest is still there, and the last words are all heard."""
    for _ in range(100):
        box.send(b"WATCHDOG=1")
    box.read()
    assert len(box.slot.diary) == 16
    box.inbox.hear_out()
    assert len(box.slot.diary) == 100


def test_descriptors_count_for_a_turn_as_messages_do(box: Box) -> None:
    """A datagram can hold 253 of them."""
    for _ in range(3):
        box.send(b"WATCHDOG=1", fds=tuple(range(70, 80)))
    box.read()
    assert len(box.slot.diary) == 2


def heard_in_a_second(box: Box) -> int:
    """Read whenever there is something to be read; time passes only while we nap."""
    over = box.kernel.clock + 1.0
    for _ in range(10000):
        if box.owner.timer is None:
            box.read()
            continue
        (when, call), box.owner.timer = box.owner.timer, None
        if when > over:
            call()
            return len(box.slot.diary) + box.inbox.strangers
        box.kernel.clock = when
        call()
    raise AssertionError("it never naps")


@pytest.mark.parametrize(("pid", "most"), [(WORKER, 2300), (OTHER, 120)])
def test_a_flood_has_us_nap(box: Box, pid: int, most: int) -> None:
    """A twentieth of our time is enough for it; who is no worker's takes more time each."""
    box.kernel.socket.spring = Received(b"WATCHDOG=1", pid, 1000, 7000 + pid, ())
    assert most * 0.8 < heard_in_a_second(box) <= most


def test_an_inbox_that_naps_can_be_closed(box: Box) -> None:
    """And hears what is said in the end."""
    box.kernel.socket.spring = Received(b"WATCHDOG=1", WORKER, 1000, 7100, ())
    while box.owner.timer is None:
        box.read()
    heard = len(box.slot.diary)
    box.inbox.hear_out()
    assert len(box.slot.diary) == heard + box.kernel.socket.capacity


def test_the_last_words_end_though_others_go_on(box: Box) -> None:
    """What came after the end was not the worker's."""
    box.kernel.socket.spring = Received(b"WATCHDOG=1", OTHER, 1000, 7200, ())
    box.inbox.hear_out()
    box.inbox.begin(1000)
    assert box.inbox.strangers == box.kernel.socket.capacity


def test_what_a_worker_says_before_it_is_known_waits_for_that(box: Box) -> None:
    """Its process may run before its slot has heard of it."""
    child, box.slot.child, box.slot.awaits_process = box.slot.child, None, True
    assert box.hears(READY) == []
    box.slot.child, box.slot.awaits_process = child, False
    box.read()
    assert box.slot.diary == ["said_ready"]


def test_what_an_old_worker_has_said_is_not_taken_for_a_new_ones(box: Box) -> None:
    """Descriptors that came with it are closed."""
    box.send(READY, fds=(70,))
    box.inbox.begin(1000)
    box.read()
    assert box.slot.diary == []
    assert 70 in box.kernel.closed


@pytest.mark.parametrize("state", [State.STOPPED, State.CLEANING])
def test_without_a_worker_nobody_is_meant(box: Box, state: State) -> None:
    """Nor is anybody a stranger then: the tree of one that has ended may still talk."""
    box.slot.state = state
    if state is State.STOPPED:
        box.slot.child = None
    assert box.hears(READY, fds=(70,)) == []
    assert (box.inbox.strangers, 70 in box.kernel.closed) == (0, True)


# --- who


@pytest.mark.parametrize(
    ("pid", "how", "speaks"),
    [
        (WORKER, {}, True),
        (WORKER, {"uid": 4}, True),  # sudo
        (WORKER, {"pidfd": -1}, True),  # below Linux 6.5
        (WORKER + 1, {}, True),
        (OTHER, {}, False),
        (OTHER, {"pidfd": -1}, False),
        (OTHER, {"uid": 0}, False),
        (0, {"pidfd": -1}, False),  # of another pid namespace
        (GONE, {}, True),
        (GONE, {"pidfd": -1}, True),
        (GONE, {"uid": 0}, True),
        (GONE, {"uid": 1001}, False),
    ],
)
def test_who_may_speak(box: Box, pid: int, how: dict[str, Any], speaks: bool) -> None:
    """Who lives has to be of the tree; who is gone, of the right user."""
    assert box.hears(READY, pid, **how) == (["said_ready"] if speaks else [])
    assert box.inbox.strangers == (not speaks)


@pytest.mark.parametrize(
    ("his", "the_workers", "speaks"),
    [(1, 1, True), (1, 2, False), (None, 2, True), (1, None, True)],
)
def test_who_is_gone_was_of_the_workers_cgroup(
    box: Box, his: int | None, the_workers: int | None, speaks: bool
) -> None:
    """Where the kernel tells."""
    box.kernel.cgroups = {OF_GONE: his, OF_WORKER: the_workers}
    assert bool(box.hears(READY, GONE)) == speaks


@pytest.mark.parametrize(("has", "speaks"), [("@box/1", True), ("@box/2", False), (None, False)])
def test_a_daemon_is_known_by_the_address_that_it_was_given(
    box: Box, has: str | None, speaks: bool
) -> None:
    """It has left its session, and its parents are gone: it is our own child now."""
    box.kernel.environment = has
    assert bool(box.hears(READY, ADOPTED)) == speaks
    assert not box.hears(READY, OTHER)  # another slot's worker, whatever he has


def test_strangers_are_said_of_once_in_a_while(box: Box) -> None:
    """Who has much to say must not fill the log."""
    for _ in range(5):
        box.hears(READY, OTHER)
    box.kernel.clock += 61
    box.hears(READY, OTHER)
    assert [warned["so_far"] for warned in box.owner.warned] == [1, 6]
    assert box.owner.warned[0]["pid"] == OTHER


# --- the main process


def test_a_process_of_the_tree_can_be_the_main_one(box: Box) -> None:
    """It is pinned before it is looked at; once is enough."""
    assert box.hears(b"READY=1\nMAINPID=101") == ["said_ready"]
    box.hears(b"MAINPID=101")
    assert box.slot.child is not None
    assert box.slot.child.followed == [(101, 7101)]
    assert 7101 not in box.kernel.closed


def test_it_can_be_named_by_a_pidfd(box: Box) -> None:
    """MAINPIDFD=1: ours is another, that one is closed; what is no pidfd names nobody."""
    box.hears(b"MAINPIDFD=1", fds=(7101,))
    assert box.slot.child is not None
    assert box.slot.child.followed == [(101, 7101)]
    box.hears(b"MAINPIDFD=1")
    box.hears(b"MAINPIDFD=1", fds=(1, 2))
    assert len(box.slot.child.followed) == 1


@pytest.mark.parametrize("pid", [OTHER, GONE, ADOPTED])
def test_a_stranger_cannot_be_the_main_process(box: Box, pid: int) -> None:
    """Refused, counted, and unpinned again; the rest of the message counts."""
    assert box.hears(b"READY=1\nMAINPID=%d" % pid) == ["said_ready"]
    assert box.slot.child is not None
    assert (box.slot.child.followed, box.inbox.strangers) == ([], 1)
    assert (7000 + pid in box.kernel.closed) == (pid != GONE)


# --- the address


def test_a_worker_is_told_where_we_are() -> None:
    """As sd_notify(3) has it; and how many descriptors it may have kept."""
    box = Box()
    assert box.inbox.extras() == ({}, {"NOTIFY_SOCKET": "@box/1", "FDSTORE": "2"})
    box.inbox.close()


def test_an_address_that_others_have_is_left_to_them() -> None:
    """Anybody can bind any abstract name."""
    box = Box(taken=3)
    assert box.inbox.extras()[1]["NOTIFY_SOCKET"] == "@box/4"
    box.inbox.close()
    with pytest.raises(OSError, match="in use"):
        Box(taken=1000)
