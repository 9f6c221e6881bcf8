"""An inner epoll set under any loop: other events than readable, and many of them."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from functools import partial
from subprocess import Popen

import pytest

from pidsup.kernel import IN, LINUX
from pidsup.loop.sources import BATCH, Sources
from tests.support import Driver, needs_linux, open_files_limited, run_for, run_until


@pytest.fixture
def sources(driver: Driver) -> Iterator[Sources]:
    sources = Sources(driver.loop, LINUX)
    yield sources
    sources.close()


@pytest.fixture
def pipes() -> Iterator[Callable[[int], list[tuple[int, int]]]]:
    """Give a maker of pipes; closes what it made."""
    made: list[tuple[int, int]] = []

    def make(count: int) -> list[tuple[int, int]]:
        made.extend(os.pipe() for _ in range(count))
        return made[-count:]

    yield make
    for out, into in made:
        os.close(out)
        os.close(into)


Pipes = Callable[[int], list[tuple[int, int]]]


def test_a_source_is_called_for_as_long_as_it_is_ready(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """Level-triggered, through the second set too."""
    [(out, into)] = pipes(1)
    got: list[bytes] = []
    sources.add(out, IN, lambda: got.append(os.read(out, 1)))
    os.write(into, b"abc")
    run_until(driver, lambda: got == [b"a", b"b", b"c"])
    sources.remove(out)


def test_removing_says_whether_it_was_there(sources: Sources, pipes: Pipes) -> None:
    """So a child can be closed in any state."""
    [(out, _)] = pipes(1)
    sources.add(out, IN, print)
    assert (sources.remove(out), sources.remove(out), sources.remove(-1)) == (True, False, False)


def test_adding_twice_is_an_error_and_the_first_stays(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """A descriptor has one owner."""
    [(out, into)] = pipes(1)
    got: list[str] = []

    def first() -> None:
        os.read(out, 1)
        got.append("first")

    sources.add(out, IN, first)
    with pytest.raises(FileExistsError):
        sources.add(out, IN, lambda: got.append("second"))
    os.write(into, b"x")
    run_until(driver, lambda: got)
    assert got == ["first"]


def test_urgent_data_is_an_event_of_its_own(driver: Driver, sources: Sources) -> None:
    """EPOLLPRI, as cgroup.events and memory pressure speak: nothing readable is needed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    got: list[str] = []
    with client, peer:
        sources.add(peer.fileno(), select.EPOLLPRI, lambda: got.append("urgent"))
        client.send(b"x")
        run_for(driver, 0.02)
        assert got == []
        client.send(b"!", socket.MSG_OOB)
        run_until(driver, lambda: got)
        sources.remove(peer.fileno())


def test_an_empty_mask_is_a_hang_up_alone(driver: Driver, sources: Sources, pipes: Pipes) -> None:
    """What is readable is somebody else's business."""
    [(out, into)] = pipes(1)
    [(end, other)] = [os.pipe()]
    got: list[str] = []
    sources.add(out, 0, lambda: got.append("readable"))
    sources.add(end, 0, lambda: got.append("hang-up"))
    os.write(into, b"x")
    os.write(other, b"x")
    run_for(driver, 0.02)
    assert got == []
    os.close(other)
    run_until(driver, lambda: got)
    sources.remove(end)
    os.close(end)
    assert set(got) == {"hang-up"}
    sources.remove(out)


@needs_linux(6, 9)
def test_a_pidfd_with_an_empty_mask_is_the_reap(
    driver: Driver, sources: Sources, worker: Callable[..., Popen[bytes]]
) -> None:
    """How a supervisor follows the workers it adopted."""
    process = worker(["true"])
    pidfd = os.pidfd_open(process.pid)
    got: list[bool] = []
    sources.add(pidfd, 0, lambda: got.append(sources.remove(pidfd)))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    run_for(driver, 0.02)
    assert got == []
    process.wait()
    run_until(driver, lambda: got)
    os.close(pidfd)


# --- many


def test_a_source_may_remove_others_of_its_batch(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """A worker's death takes with it what else there was of the worker."""
    made = pipes(5)
    got: list[int] = []

    def first() -> None:
        got.append(1)
        for out, _ in made:
            sources.remove(out)

    for out, into in made:
        os.write(into, b"x")
        sources.add(out, IN, first)
    run_until(driver, lambda: got)
    run_for(driver, 0.01)
    assert got == [1]


def test_a_burst_is_handled_in_batches_with_a_look_at_the_clients_in_between(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """A thousand deaths at once; `pidsupctl status` gets its answer meanwhile."""
    client, question = pipes(1)[0]
    os.write(question, b"?")
    order: list[str] = []
    driver.loop.add_reader(client, order.append, "client")

    def death(fd: int) -> None:
        order.append("death")
        sources.remove(fd)
        os.close(fd)

    with open_files_limited(resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        for fd in [os.eventfd(1) for _ in range(1000)]:
            sources.add(fd, IN, partial(death, fd))
    run_until(driver, lambda: order.count("death") == 1000)
    driver.loop.remove_reader(client)

    longest = max(map(len, "".join(said[0] for said in order).split("c")))
    assert longest <= BATCH
    assert order.count("client") >= 1000 // BATCH


def test_a_source_that_always_raises_starves_no_other(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """Wherever it stands: each of the batch is called, then the errors are reported."""
    made = pipes(4)
    got: set[int] = set()

    def read(me: int) -> None:
        if me == 0:
            raise ValueError("a bug")
        got.add(me)

    for n, (out, into) in enumerate(made):
        os.write(into, b"x")
        sources.add(out, IN, partial(read, n))
    for _ in range(3):
        driver.turn()
    for out, _ in made:
        sources.remove(out)
    assert got == {1, 2, 3}
    assert {str(error) for error in driver.errors} == {"a bug"}
    driver.errors.clear()


def test_several_errors_of_a_batch_are_all_reported(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """Together: the loop hears of one exception per callback."""
    made = pipes(3)

    def fail(me: int) -> None:
        sources.remove(made[me][0])
        raise ValueError(f"bug {me}")

    for n, (out, into) in enumerate(made):
        os.write(into, b"x")
        sources.add(out, IN, partial(fail, n))
    run_until(driver, lambda: driver.errors)
    [error] = driver.errors
    assert isinstance(error, ExceptionGroup)
    assert sorted(map(str, error.exceptions)) == ["bug 0", "bug 1", "bug 2"]
    driver.errors.clear()


def test_what_comes_after_the_batch_comes_in_the_same_turn(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """Starts: the successors of all that died together, behind the last of these deaths."""
    made = pipes(3)
    order: list[str] = []

    def read(me: int) -> None:
        sources.remove(made[me][0])
        sources.after_batch(lambda: order.append("after"))
        order.append("batch")

    for n, (out, into) in enumerate(made):
        os.write(into, b"x")
        sources.add(out, IN, partial(read, n))
    driver.turn()
    driver.turn(lambda: order)
    assert order == ["batch"] * 3 + ["after"] * 3


def test_outside_a_batch_it_comes_in_the_next_turn(driver: Driver, sources: Sources) -> None:
    """Never from inside the asking."""
    order: list[str] = []
    sources.after_batch(lambda: order.append("after"))
    assert order == []
    run_until(driver, lambda: order)


def test_what_comes_after_a_batch_may_ask_for_more(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """That is for the next turn: a long queue does not stay in this one."""
    [(out, into)] = pipes(1)
    order: list[str] = []

    def again() -> None:
        order.append("first")
        sources.after_batch(lambda: order.append("second"))

    def read() -> None:
        sources.remove(out)
        sources.after_batch(again)

    os.write(into, b"x")
    sources.add(out, IN, read)
    run_until(driver, lambda: order)
    assert order == ["first"]
    run_until(driver, lambda: len(order) == 2)


def test_an_error_in_the_batch_does_not_keep_the_rest_from_coming(
    driver: Driver, sources: Sources, pipes: Pipes
) -> None:
    """The successor of a worker is not lost to another's bug."""
    made = pipes(2)
    order: list[str] = []

    def read(me: int) -> None:
        sources.remove(made[me][0])
        sources.after_batch(lambda: order.append("after"))
        raise ValueError("a bug")

    for n, (out, into) in enumerate(made):
        os.write(into, b"x")
        sources.add(out, IN, partial(read, n))
    run_until(driver, lambda: len(order) == 2)
    assert len(driver.errors) == 1
    driver.errors.clear()


def test_close_takes_the_set_out_of_the_loop(driver: Driver, pipes: Pipes) -> None:
    """What is in it is heard no more."""
    [(out, into)] = pipes(1)
    sources = Sources(driver.loop, LINUX)
    got: list[int] = []
    sources.add(out, IN, lambda: got.append(1))
    sources.close()
    os.write(into, b"x")
    run_for(driver, 0.01)
    assert got == []
