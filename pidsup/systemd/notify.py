"""sd_notify(3): what a datagram says, and how one is worded.

Pure.  A message is lines of KEY=value.  Of a key that comes twice the first counts, and
what nobody knows is passed over: both as systemd has it.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_BYTES = 4096  #: of a datagram: PIPE_BUF, systemd's own limit
_LONGEST_NAME = 255  # sd_pid_notify_with_fds(3)
_HIGHEST = (1 << 64) - 1
_HIGHEST_ERRNO = 4095  # MAX_ERRNO of the kernel


class Message(NamedTuple):
    """What a service says of itself; None and False for what it does not say."""

    ready: bool = False
    reloading: bool = False
    monotonic_usec: int | None = None  #: when the reload began, CLOCK_MONOTONIC
    stopping: bool = False
    status: str | None = None  #: as it came: it may steer a terminal
    errno: int | None = None
    exit_status: int | None = None
    alive: bool = False  #: WATCHDOG=1
    trigger: bool = False  #: WATCHDOG=trigger
    watchdog_usec: int | None = None
    extend_timeout_usec: int | None = None
    main_pid: int | None = None
    main_pidfd: bool = False  #: its one descriptor is a pidfd of the main process
    store: bool = False  #: FDSTORE=1: keep the descriptors
    store_remove: bool = False
    fd_name: str | None = None  #: None also for one that is none, sd_pid_notify_with_fds(3)
    poll: bool = True  #: a stored descriptor that hangs up is dropped
    barrier: bool = False


def parse(data: bytes) -> Message | None:
    """Return what a datagram says; None when it is no message at all."""
    data = data.removesuffix(b"\0")  # some count the end of the C string
    if b"\0" in data or len(data) > MOST_BYTES:
        return None
    told: dict[bytes, bytes] = {}
    for line in data.split(b"\n"):
        key, is_assignment, value = line.partition(b"=")
        if is_assignment:
            told.setdefault(key, value)
    status = told.get(b"STATUS")
    return Message(
        ready=told.get(b"READY") == b"1",
        reloading=told.get(b"RELOADING") == b"1",
        monotonic_usec=_number(told.get(b"MONOTONIC_USEC")),
        stopping=told.get(b"STOPPING") == b"1",
        status=None if status is None else status.decode(errors="replace"),
        errno=_number(told.get(b"ERRNO"), _HIGHEST_ERRNO) or None,
        exit_status=_number(told.get(b"EXIT_STATUS"), 255),
        alive=told.get(b"WATCHDOG") == b"1",
        trigger=told.get(b"WATCHDOG") == b"trigger",
        watchdog_usec=_number(told.get(b"WATCHDOG_USEC")),
        extend_timeout_usec=_number(told.get(b"EXTEND_TIMEOUT_USEC")),
        main_pid=_number(told.get(b"MAINPID"), 1 << 22) or None,  # PID_MAX_LIMIT
        main_pidfd=told.get(b"MAINPIDFD") == b"1",
        store=told.get(b"FDSTORE") == b"1",
        store_remove=told.get(b"FDSTOREREMOVE") == b"1",
        fd_name=_name(told.get(b"FDNAME", b"")),
        poll=told.get(b"FDPOLL") != b"0",
        barrier=told.get(b"BARRIER") == b"1",
    )


def encode(**assignments: object) -> bytes:
    """Word a message from assignments, READY=1 and so on, in the order given.

    What would end a line in a value becomes a space, so that no value can say more than
    its own key.
    """
    lines = (f"{key}={_one_line(str(value))}" for key, value in assignments.items())
    return "\n".join(lines).encode(errors="replace")


def _one_line(text: str) -> str:
    return text.translate({0: " ", 10: " "})


def _number(text: bytes | None, highest: int = _HIGHEST) -> int | None:
    """Return a number that is written in decimal and not too high, else None."""
    if text is None or not text.isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if number <= highest else None


def _name(text: bytes) -> str | None:
    """Return the name of a descriptor if it can stand in LISTEN_FDNAMES, between colons."""
    good = text.isascii() and text.decode("ascii").isprintable() and b":" not in text
    return text.decode() if text and good and len(text) <= _LONGEST_NAME else None
