"""The report on a process that has ended: one type for status, logs, events, exceptions."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

from pidsup.kernel import Exit
from pidsup.policy.restart import Ending

#: Signals that count as a clean end, systemd.service(5), Restart=.
_CLEAN_SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE})


class ExitReport(NamedTuple):
    """How, after how long, and whether we had asked for it."""

    code: int | None
    signo: int | None  #: code and signo are both None where it is not known
    core: bool
    user_s: float
    system_s: float
    ran_s: float
    asked_for: bool
    last_lines: Sequence[str] = ()  #: of its output, if it failed
    cause: str = ""  #: why we ended it though nobody had asked for that
    said: str = ""  #: of its end by itself, before it came: sd_notify(3), ERRNO=

    @property
    def signal(self) -> str | None:
        """Return "KILL" for 9."""
        return None if self.signo is None else signal_name(self.signo)

    def __str__(self) -> str:
        """Word it for a person: "killed by SEGV, core dumped"."""
        how = f"{self._how()} ({self.said})" if self.said else self._how()
        return f"{self.cause}: {how}" if self.cause else how

    def _how(self) -> str:
        if self.signo is not None:
            return f"killed by {self.signal}" + (", core dumped" if self.core else "")
        return "ended in an unknown way" if self.code is None else f"exited with {self.code}"


def report(
    ended: Exit,
    *,
    ran_s: float = 0.0,
    asked_for: bool = False,
    last_lines: Sequence[str] = (),
    cause: str = "",
    said: str = "",
) -> ExitReport:
    """Make the report of what the kernel says."""
    return ExitReport(*ended, ran_s, asked_for, last_lines, cause, said)


def ending(ended: Exit) -> Ending:
    """Class an exit as systemd's table of Restart= does."""
    if ended.signal is not None:
        if ended.signal in _CLEAN_SIGNALS:
            return Ending.CLEAN
        return Ending.SIGNAL
    return Ending.CLEAN if ended.code == 0 else Ending.CODE


def signal_name(signo: int) -> str:
    """Return "TERM" for 15, "RTMIN+3" for 37."""
    if signal.SIGRTMIN <= signo <= signal.SIGRTMAX:
        above = signo - signal.SIGRTMIN
        return f"RTMIN+{above}" if above else "RTMIN"
    try:
        return signal.Signals(signo).name.removeprefix("SIG")
    except ValueError:
        return str(signo)
