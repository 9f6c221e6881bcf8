"""Which supervisors there are, of others too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pidsup.cli import pidsupctl
from pidsup.cli.ctl import reach
from pidsup.control.paths import SOCKET


def test_what_others_have_made_up_is_no_supervisor(tmp_path: Path) -> None:
    """A name ends up in completions, which go into a command line, and on terminals."""
    for name in ("shop", "a; reboot", "b\nc", "d\x1b]0;t\x07", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / SOCKET).touch()
    found = reach._within(str(tmp_path), os.geteuid())
    assert [name for name, _, _ in found] == ["shop"]


def test_a_complaint_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It may quote what another machine has said."""
    assert pidsupctl._complain("one\n  two \x1b[2J\r", 1) == 1
    assert capsys.readouterr().err == "pidsupctl: one\n  two \\x1b[2J\\r\n"
