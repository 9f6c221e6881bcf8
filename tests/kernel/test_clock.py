"""Time is CLOCK_MONOTONIC: a step of the wall clock changes nothing.

The machine's own clock is never set: even in a time namespace that would set
the host's.  Instead a kernel whose wall clock jumps is put under the loop.
"""

from __future__ import annotations

import time

import pytest

from pidsup.kernel import LinuxKernel
from tests.support import EpollDriver, run_until

HOUR_S = 3600.0


class JumpingKernel(LinuxKernel):
    """The real one, with a wall clock that somebody sets at every look."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s
        self.offset_s = 0.0

    def jump(self) -> None:
        self.offset_s += self.step_s

    def wall(self) -> float:
        return time.time() + self.offset_s


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_a_step_of_the_wall_clock_moves_no_timer(step_s: float) -> None:
    """Set forward no timer is early, set back none is late: both hit a second of a day."""
    kernel = JumpingKernel(step_s)
    driver = EpollDriver(kernel)
    ran_at: list[float] = []
    began_at = driver.loop.time()
    for n in range(5):
        driver.loop.call_at(began_at + n * 0.01, kernel.jump)
    driver.loop.call_at(began_at + 0.05, lambda: ran_at.append(driver.loop.time()))

    run_until(driver, lambda: ran_at, limit_s=10)
    driver.close()

    assert kernel.offset_s == 5 * step_s
    assert ran_at[0] >= began_at + 0.05
    assert driver.errors == []


def test_the_clock_of_the_loop_is_the_monotonic_one() -> None:
    """Not CLOCK_BOOTTIME, which counts a suspended machine's sleep as running time."""
    kernel = LinuxKernel()
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    now = kernel.now()
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert before <= now <= after
