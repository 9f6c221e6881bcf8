"""What the layers above may expect of any loop: pidsup's own and asyncio's, side by side."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pidsup.loop.loop import Handle
from tests.support import Driver, run_for, run_until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    with one, other:
        yield one, other


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Give three, each readable at its first end."""
    made = [socket.socketpair() for _ in range(3)]
    for one, other in made:
        one.setblocking(False)
        other.send(b"x")
    yield made
    for one, other in made:
        one.close()
        other.close()


def fill(fd: int) -> None:
    """Write until nothing more fits."""
    with suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(65536))


def cancel_all(handles: list[Handle]) -> None:
    for handle in handles:
        handle.cancel()


# --- readers and writers


def test_a_reader_is_called_for_as_long_as_there_is_something(driver: Driver, pair: Pair) -> None:
    """Level-triggered: it need not read all at once."""
    one, other = pair
    got = b""

    def read() -> None:
        nonlocal got
        got += one.recv(1)

    driver.loop.add_reader(one.fileno(), read)
    other.send(b"abc")
    run_until(driver, lambda: got == b"abc")
    driver.loop.remove_reader(one.fileno())


def test_a_reader_hears_the_end(driver: Driver, pair: Pair) -> None:
    """A peer that is gone is something to read: nothing."""
    one, other = pair
    got: list[bytes] = []
    driver.loop.add_reader(one.fileno(), lambda: got.append(one.recv(1)))
    other.close()
    run_until(driver, lambda: got)
    driver.loop.remove_reader(one.fileno())
    assert got[0] == b""


def test_a_writer_is_called_when_there_is_room(driver: Driver, pair: Pair) -> None:
    """And not while there is none."""
    one, other = pair
    fill(one.fileno())
    called: list[int] = []
    driver.loop.add_writer(one.fileno(), called.append, 1)
    run_for(driver, 0.02)
    assert called == []
    while not called:
        other.recv(1 << 20)
        run_for(driver, 0.001)
    driver.loop.remove_writer(one.fileno())


def test_a_writer_hears_that_nobody_reads_any_more(driver: Driver) -> None:
    """EPOLLERR alone, on a pipe that is full: the write will say EPIPE."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    fill(into)
    called: list[int] = []
    driver.loop.add_writer(into, called.append, 1)
    os.close(out)
    run_until(driver, lambda: called)
    driver.loop.remove_writer(into)
    os.close(into)


def test_one_descriptor_may_have_both(driver: Driver, pair: Pair) -> None:
    """Removing one leaves the other."""
    one, other = pair
    reads: list[bytes] = []
    writes: list[int] = []
    driver.loop.add_reader(one.fileno(), lambda: reads.append(one.recv(9)))
    driver.loop.add_writer(one.fileno(), writes.append, 1)
    run_until(driver, lambda: writes)
    assert driver.loop.remove_writer(one.fileno()) is True
    count = len(writes)
    other.send(b"x")
    run_until(driver, lambda: reads)
    assert len(writes) == count
    assert driver.loop.remove_reader(one.fileno()) is True


def test_arguments_are_handed_on(driver: Driver, pair: Pair) -> None:
    """To readers, writers and calls alike."""
    one, other = pair
    got: list[object] = []

    def take(*arguments: object) -> None:
        got.append(arguments)
        driver.loop.remove_reader(one.fileno())
        driver.loop.remove_writer(one.fileno())

    other.send(b"x")
    driver.loop.add_reader(one.fileno(), take, 1, "a")
    run_until(driver, lambda: got)
    driver.loop.add_writer(one.fileno(), take, 2)
    driver.loop.call_soon(take, 3, "c")
    driver.loop.call_at(driver.loop.time(), take, 4)
    driver.loop.call_soon_threadsafe(take)
    run_until(driver, lambda: len(got) >= 4)
    assert got[0] == (1, "a")
    assert {(3, "c"), (4,), ()} <= set(got)


def test_removing_says_whether_there_was_one(driver: Driver, pair: Pair) -> None:
    """So whoever tidies up need not know."""
    fd = pair[0].fileno()
    loop = driver.loop
    assert (loop.remove_reader(fd), loop.remove_writer(fd)) == (False, False)
    loop.add_reader(fd, print)
    assert (loop.remove_writer(fd), loop.remove_reader(fd)) == (False, True)
    loop.add_writer(fd, print)
    assert (loop.remove_reader(fd), loop.remove_writer(fd)) == (False, True)
    assert (loop.remove_reader(fd), loop.remove_writer(fd)) == (False, False)


def test_a_second_reader_takes_the_place_of_the_first(driver: Driver, pair: Pair) -> None:
    """One descriptor, one reader."""
    one, other = pair
    got: list[str] = []
    driver.loop.add_reader(one.fileno(), got.append, "first")
    driver.loop.add_reader(one.fileno(), got.append, "second")
    other.send(b"x")
    run_until(driver, lambda: got)
    driver.loop.remove_reader(one.fileno())
    assert set(got) == {"second"}


def test_a_reader_may_remove_itself(driver: Driver, pair: Pair) -> None:
    """It is not called again, though there is still something to read."""
    one, other = pair
    calls: list[int] = []

    def once() -> None:
        calls.append(1)
        assert driver.loop.remove_reader(one.fileno()) is True

    driver.loop.add_reader(one.fileno(), once)
    other.send(b"x")
    run_until(driver, lambda: calls)
    run_for(driver, 0.01)
    assert calls == [1]


def test_a_reader_may_remove_and_close_others_of_the_same_turn(
    driver: Driver, pairs: list[Pair]
) -> None:
    """All three were ready together: the first that is called is the last."""
    calls: list[int] = []

    def first(me: int) -> None:
        calls.append(me)
        for one, _ in pairs:
            driver.loop.remove_reader(one.fileno())
            one.close()

    for n, (one, _) in enumerate(pairs):
        driver.loop.add_reader(one.fileno(), first, n)
    run_until(driver, lambda: calls)
    run_for(driver, 0.01)
    assert len(calls) == 1


def test_a_reader_may_close_its_descriptor_and_take_another_of_the_number(
    driver: Driver,
) -> None:
    """Numbers are given out again at once: a client leaves, the next one comes."""
    fds = [*os.pipe()]
    os.write(fds[1], b"x")
    got: list[str] = []

    def replace() -> None:
        driver.loop.remove_reader(fds[0])
        os.close(fds[0])
        again, into = os.pipe()
        assert again == fds[0]
        fds.append(into)
        driver.loop.add_reader(again, got.append, "new")
        os.write(into, b"x")

    driver.loop.add_reader(fds[0], replace)
    run_until(driver, lambda: got)
    driver.loop.remove_reader(fds[0])
    for fd in fds:
        os.close(fd)
    assert set(got) == {"new"}


def test_a_regular_file_is_refused(driver: Driver, tmp_path: Path) -> None:
    """EPERM of epoll_ctl(2); nothing stays behind that a later try would stumble over."""
    with (tmp_path / "file").open("wb") as file:
        for _ in range(2):
            with pytest.raises(PermissionError):
                driver.loop.add_reader(file.fileno(), print)
            with pytest.raises(PermissionError):
                driver.loop.add_writer(file.fileno(), print)
        assert driver.loop.remove_reader(file.fileno()) is False


# --- calls


def test_calls_are_made_in_the_order_of_asking(driver: Driver) -> None:
    """A process is announced before its end because of this."""
    got: list[int] = []
    for n in range(100):
        driver.loop.call_soon(got.append, n)
    run_until(driver, lambda: len(got) == 100)
    assert got == list(range(100))


def test_a_call_is_never_made_from_inside_the_asking(driver: Driver) -> None:
    """And one that is asked for by a call comes with the next turn."""
    got: list[str] = []

    def outer() -> None:
        driver.loop.call_soon(got.append, "inner")
        got.append("outer")

    driver.loop.call_soon(outer)
    assert got == []
    driver.turn(lambda: got)
    assert got == ["outer"]
    driver.turn(lambda: len(got) == 2)
    assert got == ["outer", "inner"]


def test_a_cancelled_call_is_not_made(driver: Driver) -> None:
    """Also when it is cancelled by a call before it in the same turn."""
    got: list[str] = []
    handles: list[Handle] = []
    driver.loop.call_soon(cancel_all, handles)
    handles.append(driver.loop.call_soon(got.append, "second"))
    third = driver.loop.call_soon(got.append, "third")
    third.cancel()
    third.cancel()
    run_for(driver, 0.01)
    assert got == []


def test_timers_run_in_order_and_never_early(driver: Driver) -> None:
    """Equal ones in the order they were set; those in the past at once."""
    loop = driver.loop
    now = loop.time()
    got: list[tuple[str, bool]] = []
    for name, after in [("d", 0.02), ("b", 0.01), ("c", 0.01), ("a", -5.0), ("e", 0.03)]:
        loop.call_at(now + after, lambda n=name, t=now + after: got.append((n, loop.time() >= t)))
    run_until(driver, lambda: len(got) == 5)
    assert sorted(got[1:3]) == [("b", True), ("c", True)]
    assert [name for name, _ in got if name not in "bc"] == ["a", "d", "e"]
    assert all(in_time for _, in_time in got)


def test_a_cancelled_timer_does_not_run(driver: Driver) -> None:
    """Whether another one cancels it or it has run already."""
    loop = driver.loop
    now = loop.time()
    got: list[str] = []
    handles = [loop.call_at(now, got.append, "ran")]
    loop.call_at(now + 0.005, cancel_all, handles)
    handles.append(loop.call_at(now + 0.01, got.append, "late"))
    run_for(driver, 0.03)
    handles[0].cancel()
    assert got == ["ran"]


def test_a_timer_may_cancel_itself(driver: Driver) -> None:
    """Every path to the end of a wait drops its deadline; this is one of them."""
    handles: list[Handle] = []
    got: list[int] = []

    def due() -> None:
        handles[0].cancel()
        got.append(1)

    handles.append(driver.loop.call_at(driver.loop.time(), due))
    run_until(driver, lambda: got)


def test_a_timer_in_the_far_future_is_waited_for(driver: Driver, pair: Pair) -> None:
    """epoll_wait(2) counts milliseconds in an int, 24 days: a year is no error."""
    one, other = pair
    got: list[bytes] = []
    far = driver.loop.call_at(driver.loop.time() + 366 * 86400, print)
    driver.loop.add_reader(one.fileno(), lambda: got.append(one.recv(1)))
    other.send(b"x")
    while not got:
        driver.turn()
    driver.loop.remove_reader(one.fileno())
    far.cancel()


def test_the_clock_is_the_monotonic_one(driver: Driver) -> None:
    """In seconds; what call_at takes."""
    assert time.monotonic() <= driver.loop.time() <= time.monotonic()


# --- threads


def test_a_call_from_another_thread_wakes_the_loop(driver: Driver) -> None:
    """In order, and on the loop's thread."""
    got: list[tuple[int, threading.Thread]] = []

    def ask() -> None:
        for n in range(100):
            driver.loop.call_soon_threadsafe(
                lambda n=n: got.append((n, threading.current_thread()))
            )

    thread = threading.Thread(target=ask)
    driver.loop.call_at(driver.loop.time() + 0.005, thread.start)
    run_until(driver, lambda: len(got) == 100, limit_s=5)
    thread.join()
    assert got == [(n, threading.current_thread()) for n in range(100)]


def test_a_call_from_the_loops_own_thread_is_no_different(driver: Driver) -> None:
    """Whoever asks need not know where it runs."""
    got: list[int] = []
    driver.loop.call_soon_threadsafe(got.append, 1)
    driver.loop.call_soon_threadsafe(got.append, 2).cancel()
    run_for(driver, 0.01)
    assert got == [1]


# --- errors


def fail() -> None:
    raise ValueError("a bug")


def test_what_a_call_raises_is_reported_and_stops_nothing(driver: Driver) -> None:
    """The calls behind it are made."""
    got: list[int] = []
    driver.loop.call_soon(fail)
    driver.loop.call_soon(got.append, 1)
    driver.loop.call_at(driver.loop.time(), fail)
    driver.loop.call_at(driver.loop.time(), got.append, 2)
    run_until(driver, lambda: len(got) == 2)
    assert [str(error) for error in driver.errors] == ["a bug"] * 2
    driver.errors.clear()


def test_a_source_whose_callback_raises_stays(driver: Driver, pair: Pair) -> None:
    """What it did not read is still there: the next call is another chance."""
    one, other = pair
    calls: list[int] = []

    def read() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("a bug")
        one.recv(9)

    driver.loop.add_reader(one.fileno(), read)
    other.send(b"x")
    run_until(driver, lambda: len(calls) == 3)
    assert [str(error) for error in driver.errors] == ["a bug"] * 2
    assert driver.loop.remove_reader(one.fileno()) is True
    driver.errors.clear()


def test_one_source_that_always_raises_starves_no_other(driver: Driver, pairs: list[Pair]) -> None:
    """Whichever of them stands first."""
    got: set[int] = set()

    def read(me: int) -> None:
        got.add(me)
        if me == 1:
            raise ValueError("a bug")
        pairs[me][0].recv(9)

    for n, (one, _) in enumerate(pairs):
        driver.loop.add_reader(one.fileno(), read, n)
    run_until(driver, lambda: got == {0, 1, 2})
    for one, _ in pairs:
        driver.loop.remove_reader(one.fileno())
    driver.errors.clear()
