"""Which supervisors there are, of others too."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pidsup.cli import pidsupctl
from pidsup.cli.ctl import reach
from pidsup.cli.ctl.endings import Complaint
from pidsup.client import Client
from pidsup.control.paths import SOCKET
from tests.support import needs_root


def test_what_others_have_made_up_is_no_supervisor(tmp_path: Path) -> None:
    """A name ends up in completions, which go into a command line, and on terminals."""
    for name in ("shop", "a; reboot", "b\nc", "d\x1b]0;t\x07", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / SOCKET).touch()
    found = reach._within(str(tmp_path), os.geteuid())
    assert [name for name, _, _ in found] == ["shop"]


def test_only_those_that_live_are_several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path that one has left when it was killed answers nobody, and refuses who has no right."""
    alive, dead = tmp_path / "alive", tmp_path / "dead"
    found = [("alive", str(alive), os.geteuid()), ("dead", str(dead), 0)]
    monkeypatch.setattr(reach, "of_others", lambda: found)
    monkeypatch.setattr(reach, "answers", lambda _: True)
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(alive))
        listener.listen()
        monkeypatch.setattr(Client, "peer_uid", lambda _: found[0][2])
        reach._of_another(None, "none").close()
    with pytest.raises(Complaint, match="several supervisors are meant"):
        reach._of_another(None, "none")


@needs_root
def test_a_supervisor_that_systemd_has_made_a_directory_for_is_its_users(tmp_path: Path) -> None:
    for name in ("shop", "mail"):
        (tmp_path / name).mkdir()
        (tmp_path / name / SOCKET).touch()
    os.chown(tmp_path / "shop", 54321, -1)
    assert [uid for _, _, uid in reach._within(str(tmp_path), 0)] == [0, 54321]
    os.chown(tmp_path, 54321, -1)
    assert [name for name, _, _ in reach._within(str(tmp_path), 54321)] == ["shop"]


def test_a_complaint_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It may quote what another machine has said."""
    assert pidsupctl._complain("one\n  two \x1b[2J\r", 1) == 1
    assert capsys.readouterr().err == "pidsupctl: one\n  two \\x1b[2J\\r\n"
