"""Answers made in slices."""

from __future__ import annotations

import json
from collections.abc import Generator

from pidsup.control.protocol import Message, reply
from pidsup.control.stream import Slices
from tests.support import EpollDriver, run_for, run_until


def test_one_slice_is_made_per_turn_and_then_the_answer(epoll_driver: EpollDriver) -> None:
    done: list[int] = []

    def work() -> Generator[Message | None, None, None]:
        for number in range(3):
            done.append(number)
            yield None
        yield reply({"n": 3})

    slices = Slices(work(), epoll_driver.loop)
    answers: list[bytes] = []
    most = 0

    def pump() -> None:
        nonlocal most
        before = len(done)
        if (answer := slices.next()) is not None:
            answers.append(answer)
        most = max(most, len(done) - before)

    slices.begin(pump)
    pump()
    assert (done, answers, slices.over) == ([0], [], False)
    pump()  # asked again too early
    assert done == [0]
    run_until(epoll_driver, lambda: answers)
    assert (done, most, slices.over) == ([0, 1, 2], 1, True)
    assert json.loads(answers[0][:-1]) == {"parameters": {"n": 3}}


def test_an_answer_may_be_encoded_already(epoll_driver: EpollDriver) -> None:
    def work() -> Generator[bytes | None, None, None]:
        yield b"{}\0"

    assert Slices(work(), epoll_driver.loop).next() == b"{}\0"


def test_who_hangs_up_ends_the_work(epoll_driver: EpollDriver) -> None:
    """With all that it holds."""
    ended: list[str] = []

    def work() -> Generator[Message | None, None, None]:
        try:
            while True:
                yield None
        finally:
            ended.append("given up")

    slices = Slices(work(), epoll_driver.loop)
    slices.begin(slices.next)
    slices.next()
    slices.close()
    slices.close()
    run_for(epoll_driver, 0.01)
    assert ended == ["given up"]
