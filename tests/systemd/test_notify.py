"""What a datagram of sd_notify(3) says: all keys, their combinations, and hostile bytes."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.systemd.notify import Message, encode, parse

#: One line for each key, and what it sets.
SAYS: dict[bytes, dict[str, Any]] = {
    b"READY=1": {"ready": True},
    b"RELOADING=1": {"reloading": True},
    b"MONOTONIC_USEC=1234567": {"monotonic_usec": 1234567},
    b"STOPPING=1": {"stopping": True},
    "STATUS=höchst bereit = ja".encode(): {"status": "höchst bereit = ja"},
    b"ERRNO=2": {"errno": 2},
    b"EXIT_STATUS=0": {"exit_status": 0},
    b"WATCHDOG=1": {"alive": True},
    b"WATCHDOG_USEC=20000000": {"watchdog_usec": 20000000},
    b"EXTEND_TIMEOUT_USEC=5000000": {"extend_timeout_usec": 5000000},
    b"MAINPID=4711": {"main_pid": 4711},
    b"MAINPIDFD=1": {"main_pidfd": True},
    b"FDSTORE=1": {"store": True},
    b"FDSTOREREMOVE=1": {"store_remove": True},
    b"FDNAME=cache": {"fd_name": "cache"},
    b"FDPOLL=0": {"poll": False},
    b"BARRIER=1": {"barrier": True},
}


@pytest.mark.parametrize("count", [1, 2, 3, len(SAYS)])
def test_each_key_is_understood_beside_any_others(count: int) -> None:
    """No key hides or changes another."""
    for lines in combinations(SAYS, count):
        wanted = Message()._replace(**{k: v for line in lines for k, v in SAYS[line].items()})
        assert parse(b"\n".join(lines)) == wanted
        assert parse(b"\n".join(reversed(lines)) + b"\n") == wanted


def test_every_field_can_be_said() -> None:
    """A field that no key sets would be dead; trigger is the other value of WATCHDOG."""
    fields = {field for said in SAYS.values() for field in said}
    assert fields | {"trigger"} == set(Message._fields)
    assert parse(b"WATCHDOG=trigger") == Message(trigger=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"READY",
        b"READY=0",
        b"READY=11",
        b" READY=1",
        b"ready=1",
        b"X_OURS=1",
        b"NOTIFYACCESS=all",
        b"WATCHDOG=0",
        b"FDPOLL=1",
        b"=1",
        b"ERRNO=0",
        b"ERRNO=ENOENT",
        b"ERRNO=4096",
        b"EXIT_STATUS=256",
        b"MAINPID=0",
        b"MAINPID=-1",
        b"MAINPID=4194305",
        b"MAINPID=1e3",
        b"MAINPID= 7",
        "MAINPID=٤".encode(),
        b"WATCHDOG_USEC=18446744073709551616",
        b"WATCHDOG_USEC=" + b"9" * 4000,
        b"EXTEND_TIMEOUT_USEC=soon",
        b"MONOTONIC_USEC=",
    ],
)
def test_what_is_no_such_assignment_says_nothing(data: bytes) -> None:
    """Neither an error: a service may know more than we do."""
    assert parse(data) == Message()


def test_the_first_of_two_counts() -> None:
    """As systemd has it."""
    assert parse(b"MAINPID=7\nMAINPID=8\nREADY=0\nREADY=1") == Message(main_pid=7)


def test_the_end_of_a_c_string_is_none_of_the_message() -> None:
    """Some send it along; in the middle it is no message."""
    assert parse(b"READY=1\0") == Message(ready=True)
    assert parse(b"READY=1\0STATUS=x") is None
    assert parse(b"STATUS=" + b"x" * 4096) is None


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        (b"cache", "cache"),
        (b"a b~", "a b~"),
        (b"", None),
        (b"a:b", None),
        (b"a\tb", None),
        (b"\x7f", None),
        ("é".encode(), None),
        (b"n" * 255, "n" * 255),
        (b"n" * 256, None),
    ],
)
def test_a_name_of_a_descriptor_fits_between_colons(given_name: bytes, kept: str | None) -> None:
    """sd_pid_notify_with_fds(3): else it is none."""
    message = parse(b"FDSTORE=1\nFDNAME=" + given_name)
    assert message is not None
    assert message.fd_name == kept


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(data: bytes) -> None:
    """Whatever comes, a message or none comes of it."""
    message = parse(data)
    assert message is None or message.fd_name != ""


@given(st.lists(st.sampled_from(list(SAYS)) | st.binary(max_size=20), max_size=8))
def test_nothing_is_said_that_no_line_says(lines: list[bytes]) -> None:
    """Noise between lines that count adds nothing."""
    message = parse(b"\n".join(lines))
    if message is not None:
        assert message.ready == (b"READY=1" in lines and not any_before(lines, b"READY="))


def any_before(lines: list[bytes], key: bytes) -> bool:
    """Tell whether a line of that key comes before the one that is meant."""
    split = b"\n".join(lines).split(b"\n")
    first = next(line for line in split if line.startswith(key))
    return first != key + b"1"


# --- the other way


def test_what_is_encoded_is_understood() -> None:
    """In the order given, in any language's letters."""
    data = encode(READY=1, STATUS="4 von 5 bereit … ✓", MAINPID=7)
    assert data == "READY=1\nSTATUS=4 von 5 bereit … ✓\nMAINPID=7".encode()
    assert parse(data) == Message(ready=True, status="4 von 5 bereit … ✓", main_pid=7)


@given(st.text())
def test_no_value_says_more_than_its_key(text: str) -> None:
    """A line end or a NUL in it would make it another message."""
    message = parse(encode(STATUS=text[:1000]))
    assert message is not None
    assert message._replace(status=None) == Message()


def test_what_cannot_be_encoded_is_replaced() -> None:
    """Half a surrogate comes of a file name that is not UTF-8."""
    assert encode(STATUS="\udcff") == b"STATUS=?"
