"""The report on a process that has ended."""

from __future__ import annotations

import signal

import pytest

from pidsup.kernel import Exit
from pidsup.policy.restart import Ending
from pidsup.process.exit import ending, report, signal_name


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (Exit(0, None), "exited with 0"),
        (Exit(3, None), "exited with 3"),
        (Exit(None, signal.SIGKILL), "killed by KILL"),
        (Exit(None, signal.SIGSEGV, core=True), "killed by SEGV, core dumped"),
        (Exit(None, 35), "killed by RTMIN+1"),
        (Exit(None, None), "ended in an unknown way"),
    ],
)
def test_the_report_is_worded_for_a_person(ended: Exit, text: str) -> None:
    """The same words in status, log and exceptions."""
    assert str(report(ended, ran_s=1.0, asked_for=False)) == text


def test_what_a_worker_said_of_its_end_is_told_with_it() -> None:
    """Behind how it came, and why we ended it in front."""
    made = report(Exit(1, None), cause="it was not ready", said="EIO: Input/output error")
    assert str(made) == "it was not ready: exited with 1 (EIO: Input/output error)"


def test_the_report_has_all_that_is_known() -> None:
    """In the units of its names."""
    last = ["out of memory"]
    made = report(Exit(None, 15, False, 1.5, 0.25), ran_s=7.5, asked_for=True, last_lines=last)
    assert made.signal == "TERM"
    assert made._asdict() == {
        "code": None,
        "signo": 15,
        "core": False,
        "user_s": 1.5,
        "system_s": 0.25,
        "ran_s": 7.5,
        "asked_for": True,
        "last_lines": last,
        "cause": "",
        "said": "",
    }


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Exit(0, None), Ending.CLEAN),
        (Exit(1, None), Ending.CODE),
        (Exit(255, None), Ending.CODE),
        (Exit(None, signal.SIGTERM), Ending.CLEAN),
        (Exit(None, signal.SIGHUP), Ending.CLEAN),
        (Exit(None, signal.SIGINT), Ending.CLEAN),
        (Exit(None, signal.SIGPIPE), Ending.CLEAN),
        (Exit(None, signal.SIGKILL), Ending.SIGNAL),
        (Exit(None, signal.SIGSEGV, core=True), Ending.SIGNAL),
        (Exit(None, signal.SIGUSR1), Ending.SIGNAL),
        (Exit(None, None), Ending.CODE),
    ],
)
def test_an_end_is_classed_as_systemd_does(ended: Exit, kind: Ending) -> None:
    """systemd.service(5), the table of Restart=; what is not known is no success."""
    assert ending(ended) is kind


@pytest.mark.parametrize(
    ("signo", "name"),
    [
        (1, "HUP"),
        (9, "KILL"),
        (15, "TERM"),
        (17, "CHLD"),
        (34, "RTMIN"),
        (35, "RTMIN+1"),
        (64, "RTMIN+30"),
        (0, "0"),
        (99, "99"),
    ],
)
def test_a_signal_has_a_name_or_stays_a_number(signo: int, name: str) -> None:
    """Without SIG, as kill(1) and systemd.kill(5) take it."""
    assert signal_name(signo) == name
