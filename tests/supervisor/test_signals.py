"""Which signals the daemon takes."""

from __future__ import annotations

import signal

from pidsup.config.kind import Wrong
from pidsup.config.signals import forwarded
from pidsup.supervisor.signals import URGENT


def can_be_passed_on(signo: int) -> bool:
    try:
        return forwarded(signo) == signo
    except Wrong:
        return False


def test_what_a_configuration_may_pass_on_is_taken_and_nothing_else() -> None:
    """What is not taken would end the supervisor instead, SIGPROF for one."""
    taken = {int(signo) for signo in URGENT}
    of_exec = {signal.SIGTERM, signal.SIGINT}  # which passes on more than a configuration can
    assert {signo for signo in range(1, 65) if can_be_passed_on(signo)} == taken - of_exec
