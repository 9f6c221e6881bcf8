"""The table of options agrees with itself, with the kernel, and with the docs."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from pidsup.config.option import APPLIES, REQUIRED, Option
from pidsup.config.options import CONTROL, SOCKET, SUPERVISOR, WATCHER
from pidsup.config.process_kinds import CAPABILITIES, RLIMITS
from pidsup.config.quantities import duration, size
from pidsup.config.reference import as_markdown
from pidsup.config.signals import SIGNALS, signal_number

OPTIONS = {
    f"{section}.{key}": option
    for section, options in {
        "supervisor": SUPERVISOR,
        "control": CONTROL,
        "sockets": SOCKET,
        "watchers": WATCHER,
    }.items()
    for key, option in options.items()
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_an_option_is_explained_and_its_default_is_of_its_kind(option: Option) -> None:
    assert option.text.endswith(".")
    assert option.applies in APPLIES
    if option.default not in (None, REQUIRED):
        assert option.default_value() == option.kind.parse(option.default)


def test_the_reference_page_is_made_from_the_table() -> None:
    """`python -m pidsup.config.reference` prints what docs/configuration.md holds."""
    docs = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert as_markdown() in docs.read_text()


def test_numbers_of_limits_are_those_of_this_machine() -> None:
    for name, number in RLIMITS.items():
        if hasattr(resource, f"RLIMIT_{name.upper()}"):
            assert getattr(resource, f"RLIMIT_{name.upper()}") == number


def test_capabilities_are_those_that_the_kernel_knows() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(CAPABILITIES) >= last + 1
    assert CAPABILITIES.index("net_bind_service") == 10  # linux/capability.h
    assert CAPABILITIES[40] == "checkpoint_restore"


def test_signal_numbers_are_those_of_this_machine() -> None:
    """The table is written out, because config imports nothing of the system."""
    for name, number in SIGNALS.items():
        if name != "STKFLT" or hasattr(signal, "SIGSTKFLT"):
            assert signal.Signals[f"SIG{name}"] == number
    assert signal_number("RTMIN") == signal.SIGRTMIN
    assert signal_number("sigrtmin+3") == signal.SIGRTMIN + 3
    assert signal_number("RTMAX-1") == signal.SIGRTMAX - 1
    assert signal_number("9") == signal_number("kill") == signal.SIGKILL


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("100ms", 0.1), ("2min", 120), ("1h 30min", 5400), ("1.5h", 5400),
     ("2d", 172800), ("1w", 604800), (" 1 min  2 s ", 62), ("7us", 7e-6)],
)  # fmt: skip
def test_durations_are_read_as_systemd_reads_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "number"),
    [(0, 0), ("7", 7), ("1K", 1024), ("1.5K", 1536), ("64 MiB", 64 << 20), ("2GB", 2 << 30),
     ("1T", 1 << 40), ("9007199254740993", 9007199254740993)],
)  # fmt: skip
def test_sizes_are_read_as_systemd_reads_them(text: object, number: int) -> None:
    assert size(text) == number
