"""The table of options agrees with itself, with the kernel, and with the docs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pidsup.config.kinds import SIGNALS, duration, signal_number
from pidsup.config.options import REQUIRED, SUPERVISOR, WATCHER
from pidsup.config.reference import as_markdown


@pytest.mark.parametrize(
    "key", [k for k, o in WATCHER.items() if o.default not in (None, REQUIRED)]
)
def test_a_default_is_a_value_of_its_kind(key: str) -> None:
    option = WATCHER[key]
    assert option.kind.parse(option.default) == option.default


def test_every_option_is_explained() -> None:
    for options in (SUPERVISOR, WATCHER):
        for option in options.values():
            assert option.text
            assert option.applies in ("live", "restart")


def test_the_reference_page_is_made_from_the_table() -> None:
    """`python -m pidsup.config.reference` prints what docs/configuration.md holds."""
    docs = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert as_markdown() in docs.read_text()


def test_signal_numbers_are_those_of_this_machine() -> None:
    """The table is written out, because config imports nothing of the system."""
    for name, number in SIGNALS.items():
        if name != "STKFLT" or hasattr(signal, "SIGSTKFLT"):
            assert signal.Signals[f"SIG{name}"] == number
    assert signal_number("RTMIN") == signal.SIGRTMIN
    assert signal_number("sigrtmin+3") == signal.SIGRTMIN + 3
    assert signal_number("9") == signal_number("kill") == signal.SIGKILL


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("100ms", 0.1), ("2min", 120), ("1h 30min", 5400), ("1.5h", 5400),
     ("2d", 172800), ("1w", 604800), (" 1 min  2 s ", 62), ("7us", 7e-6)],
)  # fmt: skip
def test_durations_are_read_as_systemd_reads_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)
