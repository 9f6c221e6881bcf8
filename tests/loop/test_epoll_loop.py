"""What only pidsup's own loop does: an order within a turn, bounds, sleep without wake-ups."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator

import pytest

from pidsup.kernel import LinuxKernel, Poller
from pidsup.loop.loop import EpollLoop
from pidsup.loop.sources import PROCESSES, SIGNALS
from tests.support import EpollDriver, descriptors, run_until, unblocked_by


@pytest.fixture
def pipes() -> Iterator[Callable[[], tuple[int, int]]]:
    """Give a maker of pipes; closes what it made."""
    made: list[tuple[int, int]] = []

    def make() -> tuple[int, int]:
        made.append(os.pipe())
        return made[-1]

    yield make
    for out, into in made:
        os.close(out)
        os.close(into)


Pipes = Callable[[], tuple[int, int]]


class CountingPoller:
    """An epoll set that counts how often it is asked, and for how long."""

    def __init__(self, timeouts: list[float | None]) -> None:
        self._epoll = select.epoll()
        self._timeouts = timeouts
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.fileno = self._epoll.fileno
        self.close = self._epoll.close

    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]:
        self._timeouts.append(timeout)
        return self._epoll.poll(timeout, maxevents)


class CountingKernel(LinuxKernel):
    """The real one, with such pollers."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def poller(self) -> Poller:  # type: ignore[override]  # there it is a class
        return CountingPoller(self.timeouts)


# --- order


def test_a_turn_goes_from_signals_to_processes_to_timers_to_the_rest(
    epoll_driver: EpollDriver, pipes: Pipes
) -> None:
    """A worker's death is handled before its deadline, and both before a client's question."""
    loop = epoll_driver.loop
    said: list[str] = []

    def source(name: str, urgency: int) -> None:
        out, into = pipes()
        os.write(into, b"x")

        def read() -> None:
            said.append(name)
            loop.remove_reader(out)

        if urgency:
            loop.add_urgent_reader(out, urgency, read)
        else:
            loop.add_reader(out, read)

    source("client", 0)
    source("process", PROCESSES)
    source("signal", SIGNALS)
    loop.call_at(loop.time(), said.append, "timer")
    loop.call_soon(said.append, "call")
    loop.turn()
    assert said == ["call", "signal", "process", "timer", "client"]


def test_a_timer_that_a_death_cancels_does_not_run_in_that_turn(
    epoll_driver: EpollDriver, pipes: Pipes
) -> None:
    """The deadline of a stop passes in the instant that the worker ends: no SIGKILL."""
    loop = epoll_driver.loop
    out, into = pipes()
    os.write(into, b"x")
    said: list[str] = []
    deadline = loop.call_at(loop.time(), said.append, "kill")

    def died() -> None:
        deadline.cancel()
        loop.remove_reader(out)

    loop.add_urgent_reader(out, PROCESSES, died)
    loop.turn()
    assert said == []


def test_a_call_asked_for_in_a_turn_comes_in_the_next(epoll_driver: EpollDriver) -> None:
    """Before anything that has happened meanwhile; and that turn does not wait."""
    loop = epoll_driver.loop
    said: list[str] = []
    loop.call_at(loop.time(), loop.call_soon, said.append, "call")
    loop.turn()
    assert said == []
    loop.call_at(loop.time(), said.append, "timer")
    loop.turn()
    assert said == ["call", "timer"]


def test_an_event_is_of_the_source_that_it_was_found_for(
    epoll_driver: EpollDriver, pipes: Pipes
) -> None:
    """A number that is given away within the turn does not inherit it.

    The new owner of the number would be called with nothing to read, and block.
    """
    loop = epoll_driver.loop
    first, into_first = pipes()
    stale, into_stale = os.pipe()
    os.write(into_first, b"x")
    os.write(into_stale, b"x")
    said: list[str] = []
    fresh: list[int] = []

    def replace() -> None:
        loop.remove_reader(first)
        loop.remove_reader(stale)
        os.close(stale)
        again, into_again = os.pipe()
        assert again == stale
        fresh.extend((again, into_again))
        loop.add_reader(again, said.append, "called with nothing to read")

    loop.add_urgent_reader(first, PROCESSES, replace)
    loop.add_reader(stale, said.append, "the old one")
    loop.turn()
    loop.remove_reader(fresh[0])
    for fd in (*fresh, into_stale):
        os.close(fd)
    assert said == []


# --- bounds


def test_a_flood_of_calls_does_not_keep_events_out(epoll_driver: EpollDriver, pipes: Pipes) -> None:
    """A call that asks for itself again is one per turn."""
    loop = epoll_driver.loop
    out, into = pipes()
    os.write(into, b"x")
    said: list[int] = []
    stop: list[bool] = []

    def again() -> None:
        if not stop:
            loop.call_soon(again)

    def read() -> None:
        said.append(os.read(out, 1)[0])
        stop.append(True)

    loop.add_reader(out, read)
    loop.call_soon(again)
    run_until(epoll_driver, lambda: said)
    loop.remove_reader(out)


def test_a_thousand_timers_due_at_once_let_events_through(
    epoll_driver: EpollDriver, pipes: Pipes
) -> None:
    """At most 256 in a turn; then the others are looked at."""
    loop = epoll_driver.loop
    out, into = pipes()
    os.write(into, b"x")
    ran: list[int] = []
    seen_after: list[int] = []
    loop.add_reader(out, lambda: seen_after.append(len(ran)))
    for n in range(1000):
        loop.call_at(loop.time(), ran.append, n)
    run_until(epoll_driver, lambda: len(ran) == 1000)
    loop.remove_reader(out)
    assert ran == list(range(1000))
    assert seen_after[0] <= 256


# --- sleep


def test_an_idle_loop_waits_for_ever() -> None:
    """Zero wake-ups: one question to the kernel, without a time."""
    kernel = CountingKernel()
    loop = EpollLoop(kernel)
    with unblocked_by(lambda: loop.call_soon_threadsafe(bool), limit_s=0.1, expected=True):
        loop.turn()
    loop.close()
    assert kernel.timeouts == [None]


def test_the_loop_wakes_up_once_for_a_timer() -> None:
    """Not early, to find out that it has to wait once more."""
    kernel = CountingKernel()
    loop = EpollLoop(kernel)
    ran: list[float] = []
    due = loop.time() + 0.02
    loop.call_at(due, lambda: ran.append(loop.time()))
    while not ran:
        loop.turn()
    loop.close()
    assert ran[0] >= due
    assert len(kernel.timeouts) == 1


def test_a_cancelled_timer_wakes_nobody() -> None:
    """Though its entry is still in the heap."""
    kernel = CountingKernel()
    loop = EpollLoop(kernel)
    loop.call_at(loop.time() + 0.001, bool).cancel()
    ran: list[int] = []
    loop.call_at(loop.time() + 0.02, ran.append, 1)
    loop.turn()
    loop.close()
    assert ran == [1]
    assert len(kernel.timeouts) == 1


# --- run, stop, close


def test_run_returns_after_the_turn_in_which_stop_was_called() -> None:
    """What that turn has to do is done."""
    loop = EpollLoop()
    said: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(said.append, "call")
    loop.call_at(loop.time(), said.append, "timer")
    loop.run()
    loop.close()
    assert said == ["call", "timer"]


def test_a_loop_may_run_again_after_a_stop() -> None:
    """As asyncio's."""
    loop = EpollLoop()
    said: list[int] = []
    for n in range(2):
        loop.call_soon(said.append, n)
        loop.call_soon(loop.stop)
        loop.run()
    loop.close()
    assert said == [0, 1]


def test_without_a_handler_an_error_leaves_run() -> None:
    """A program that does not say what to do with its bugs hears of them."""
    loop = EpollLoop()
    loop.call_soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.run()
    loop.close()


def test_what_is_no_exception_leaves_run_in_any_case() -> None:
    """^C and sys.exit() are not for the log."""
    loop = EpollLoop(on_error=lambda error: None)
    loop.call_soon(exit)
    with pytest.raises(SystemExit):
        loop.run()
    loop.close()


def test_close_gives_up_all_descriptors_and_may_be_called_twice() -> None:
    """The epoll set, and the eventfd where there is one."""
    before = descriptors()
    loop = EpollLoop()
    loop.call_soon_threadsafe(bool)
    loop.call_soon_threadsafe(bool)
    assert len(descriptors()) == len(before) + 2
    loop.close()
    loop.close()
    assert descriptors() == before


@pytest.mark.parametrize("attempt", range(20))
def test_the_first_calls_of_several_threads_share_one_eventfd(
    epoll_driver: EpollDriver, attempt: int
) -> None:
    """Whichever of them makes it, the loop hears all of them."""
    before = len(descriptors())
    said: list[int] = []
    gate = threading.Barrier(4)

    def ask() -> None:
        gate.wait()
        epoll_driver.loop.call_soon_threadsafe(said.append, 1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    run_until(epoll_driver, lambda: len(said) == 4)
    for thread in threads:
        thread.join()
    assert len(descriptors()) == before + 1


def test_a_loop_has_no_eventfd_before_it_needs_one() -> None:
    """The daemon has no threads."""
    before = len(descriptors())
    loop = EpollLoop()
    assert len(descriptors()) == before + 1
    loop.close()
