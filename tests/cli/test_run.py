"""What `pidsup run` finds out before it runs, and the first moments of both programs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pidsup.cli.run import _is_new_enough


@pytest.mark.parametrize(
    ("release", "enough"),
    [("4.19.0", False), ("5.13.19", False), ("5.14.0-362.el9.x86_64", True), ("5.14-rc1", True),
     ("6.1.0-18-amd64", True), ("10.0", True)],
)  # fmt: skip
def test_older_kernels_are_refused(release: str, enough: bool) -> None:
    assert _is_new_enough(release) is enough


@pytest.mark.parametrize(
    ("program", "arguments", "module"),
    [
        ("pidsupctl", ["status"], "pidsup.cli.ctl"),
        ("pidsupctl", ["status"], "pidsup.cli.ctl.endings"),
        ("pidsupctl", ["status"], "pidsup.cli.ctl.reach"),
        ("pidsupctl", ["--help"], "argparse"),
        ("pidsup", ["check", "/nope"], "pidsup.cli.check"),
        ("pidsup", ["run", "-c", "/nope"], "pidsup.cli.run"),
        ("pidsup", ["run", "-c", "/nope"], "pidsup.linux.signalfd"),
    ],
)
def test_an_interrupt_while_it_starts_is_no_traceback(
    program: str, arguments: list[str], module: str
) -> None:
    code = f"""
import signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = {[program, *arguments]!r}
from pidsup.cli.{program} import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
