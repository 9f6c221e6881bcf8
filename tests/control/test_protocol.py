"""The Varlink wire: bytes to messages and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidsup.control.protocol import (
    INTERFACE,
    LIMIT,
    Decoder,
    Message,
    call,
    encode,
    error,
    reply,
)
from pidsup.errors import ProtocolError

READ_BYTES = 65536  # what the server reads at once

values: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
messages = st.dictionaries(st.text(), values, max_size=5)


def take_all(decoder: Decoder) -> list[Message]:
    """Take every whole message."""
    taken = []
    while (message := decoder.next()) is not None:
        taken.append(message)
    return taken


def decode(data: bytes) -> list[Message]:
    decoder = Decoder()
    decoder.feed(data)
    return take_all(decoder)


# --- framing


def test_nothing_is_no_message() -> None:
    """Neither before the first byte nor after the last message."""
    decoder = Decoder()
    assert decoder.next() is None
    decoder.feed(b"")
    assert decoder.next() is None
    decoder.feed(b'{"a":1}\0')
    assert take_all(decoder) == [{"a": 1}]
    assert decoder.next() is None


def test_a_message_may_be_cut_at_every_byte() -> None:
    """A stream has no borders but the NUL."""
    data = encode({"method": "a.b", "parameters": {"text": "ä\n\0"}})
    for cut in range(len(data) + 1):
        decoder = Decoder()
        decoder.feed(data[:cut])
        before = take_all(decoder)
        decoder.feed(data[cut:])
        assert before + take_all(decoder) == [json.loads(data[:-1])]


def test_a_message_may_come_byte_by_byte() -> None:
    """And is there with its NUL, not earlier."""
    decoder = Decoder()
    data = encode({"a": [1, 2]}) + encode({"b": 3})
    found: list[tuple[int, Message]] = []
    for at, byte in enumerate(data):
        decoder.feed(bytes([byte]))
        found.extend((at, message) for message in take_all(decoder))
    assert found == [(11, {"a": [1, 2]}), (19, {"b": 3})]


def test_several_messages_may_come_in_one_read() -> None:
    """In their order, and half of one more is kept."""
    decoder = Decoder()
    data = b"".join(encode({"n": n}) for n in range(100))
    decoder.feed(data + b'{"n":')
    assert take_all(decoder) == [{"n": n} for n in range(100)]
    decoder.feed(b"100}\0")
    assert take_all(decoder) == [{"n": 100}]


# --- what is refused


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n\0",
        b"{\0",
        b'{"a":}\0',
        b'{"a":1}{"b":2}\0',
        b"{'a': 1}\0",
        b'{"a":"\xff"}\0',
        b'{"a":1,}\0',
        b'{"a":NaN}\0',
        b'{"a":Infinity}\0',
        b'{"a":-Infinity}\0',
        b'{"a":' + b"9" * 5000 + b"}\0",
        "{}".encode("utf-16-be") + b"\0",
        b"\xef\xbb\xbf{}\0",
    ],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """With an error, never with a guess, and never with another exception."""
    with pytest.raises(ProtocolError, match="not JSON"):
        decode(data)


@pytest.mark.parametrize("data", [b"[]", b"1", b'"text"', b"null", b"true", b"[{}]"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """Every message is one."""
    with pytest.raises(ProtocolError, match="not a JSON object"):
        decode(data + b"\0")


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused(opening: bytes, closing: bytes) -> None:
    """The parser recurses: its limit is not our end."""
    depth = 100_000
    data = b'{"x":' + opening * depth + b"1" + closing * depth + b"}\0"
    with pytest.raises(ProtocolError, match="not JSON"):
        decode(data[: LIMIT - 1] + b"\0")


def test_the_error_does_not_repeat_what_was_sent() -> None:
    """It goes into an answer and a log: a megabyte of garbage must not."""
    with pytest.raises(ProtocolError) as caught:
        decode(b"x" * (LIMIT - 1) + b"\0")
    assert len(str(caught.value)) < 200


# --- the limit


def message_of(size: int) -> bytes:
    """Return a message of *size* bytes, without its NUL."""
    start, end = b'{"a":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def feed_in_reads(decoder: Decoder, data: bytes) -> list[Message]:
    """Do as the server does."""
    found = []
    for at in range(0, len(data), READ_BYTES):
        decoder.feed(data[at : at + READ_BYTES])
        found.extend(take_all(decoder))
    return found


def test_just_below_the_limit_a_message_passes() -> None:
    """One mebibyte with its NUL."""
    [message] = feed_in_reads(Decoder(), message_of(LIMIT - 1) + b"\0")
    assert len(message["a"]) == LIMIT - 1 - 8


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, 2 * LIMIT])
def test_at_the_limit_a_message_is_refused(size: int) -> None:
    """Exactly there, and in however many reads it comes."""
    data = message_of(size) + b"\0"
    with pytest.raises(ProtocolError, match=f"more than {LIMIT} bytes"):
        feed_in_reads(Decoder(), data)
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_message_without_an_end_is_refused_at_the_limit() -> None:
    """A hundred megabytes: never is more held than the limit and one read."""
    decoder = Decoder()
    held = 0

    def flood() -> None:
        nonlocal held
        for _ in range(100_000_000 // READ_BYTES):
            assert not decoder.is_full()
            decoder.feed(b"x" * READ_BYTES)
            held = max(held, len(decoder._data))
            decoder.next()

    with pytest.raises(ProtocolError):
        flood()
    assert held <= LIMIT + READ_BYTES


def test_a_refusal_stays() -> None:
    """The conversation is over: nothing behind it is read."""
    decoder = Decoder(limit=10)
    decoder.feed(b"x" * 20)
    for _ in range(2):
        with pytest.raises(ProtocolError):
            decoder.next()


def test_full_means_that_a_message_has_to_be_taken_first() -> None:
    """Small ones that nobody takes fill it, too: a client that asks and asks is held up."""
    decoder = Decoder(limit=100)
    one = encode({"n": 1})
    decoder.feed(one * 20)
    assert decoder.is_full()
    while decoder.is_full():
        assert decoder.next() == {"n": 1}
    assert len(decoder._data) < 100


def test_a_long_message_is_searched_once() -> None:
    """Or a client that sends byte by byte would cost the square of its length."""
    decoder = Decoder()
    for _ in range(10):
        decoder.feed(b"x" * 1000)
        assert decoder.next() is None
        assert decoder._searched == len(decoder._data)


# --- there and back


@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    """And the only NUL is its end: one in a text is escaped."""
    data = encode(message)
    assert data.count(b"\0") == 1
    assert data.endswith(b"\0")
    assert decode(data) == [message]


@given(st.lists(messages, max_size=5), st.data())
def test_any_cuts_give_the_same_messages(wanted: list[Message], data: st.DataObject) -> None:
    """However the kernel delivers the bytes."""
    stream = b"".join(map(encode, wanted))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    decoder = Decoder()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        decoder.feed(stream[start:end])
        found.extend(take_all(decoder))
    assert found == wanted


@given(st.binary(max_size=300))
def test_garbage_is_a_message_or_an_error(data: bytes) -> None:
    """Nothing else comes out of it, whatever goes in."""
    try:
        found = decode(data + b"\0")
    except ProtocolError:
        return
    assert all(isinstance(message, dict) for message in found)


# --- messages


def test_a_request_names_interface_and_method() -> None:
    """As varlink.org has it."""
    assert call("Status", {"a": 1}) == {"method": f"{INTERFACE}.Status", "parameters": {"a": 1}}


def test_an_answer_has_its_parameters() -> None:
    """Nothing else."""
    assert reply({"a": 1}) == {"parameters": {"a": 1}}


def test_an_error_has_a_full_name() -> None:
    """Ours by default; those of Varlink itself have one."""
    assert error("Denied", {}) == {"error": f"{INTERFACE}.Denied", "parameters": {}}
    full = "org.varlink.service.MethodNotFound"
    assert error(full, {"method": "x"}) == {"error": full, "parameters": {"method": "x"}}
