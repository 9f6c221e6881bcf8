"""The runtime directory, and what stands in for it where nothing can be written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pidsup.control import paths
from pidsup.control.rundir import RuntimeDirectory
from pidsup.errors import AlreadyRunning
from tests.support import needs_root


@pytest.fixture(autouse=True)
def own_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have a base directory and abstract names of our own."""
    base = tmp_path / "base"
    monkeypatch.setattr("pidsup.control.paths.base", lambda: str(base))
    monkeypatch.setattr("pidsup.control.rundir.base", lambda: str(base))
    monkeypatch.setattr("pidsup.control.paths._namespace", os.getpid)
    return base


def test_the_directory_is_the_owners_alone(own_base: Path) -> None:
    place = RuntimeDirectory("web")
    if os.geteuid() != 0:
        assert (own_base / "web").stat().st_mode & 0o777 == 0o700
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} runs it already"):
        RuntimeDirectory("web")
    place.close()
    assert not (own_base / "web").exists()


def test_others_pass_through_a_public_one(own_base: Path) -> None:
    (own_base / "web").mkdir(parents=True, mode=0o700)
    place = RuntimeDirectory("web", public=True)
    for folder in (own_base, own_base / "web"):
        assert folder.stat().st_mode & 0o777 == 0o755
    place.close()


def test_without_a_place_to_write_the_socket_is_abstract(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("paths", "rundir"):  # not even root makes directories in /proc
        monkeypatch.setattr(f"pidsup.control.{module}.base", lambda: "/proc/pidsup")
    place = RuntimeDirectory("web")
    assert place.path is None
    with pytest.raises(AlreadyRunning):
        RuntimeDirectory("web")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place.address)
        listening.listen()
        assert paths.names() == ["web"]
        assert paths.address("web") == place.address
    place.close()
    RuntimeDirectory("web").close()  # the name is free again


def test_a_directory_of_somebody_else_is_refused(own_base: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    own_base.mkdir()
    os.chown(own_base, 12345, -1)
    with pytest.raises(PermissionError, match="is not a directory of user 0"):
        RuntimeDirectory("web")


@needs_root
def test_containers_that_share_a_network_do_not_share_abstract_names() -> None:
    """Two of one pod, of one user, with one configuration."""
    say = "from pidsup.control.paths import abstract_address; print(abstract_address('web')[1:])"
    python = [sys.executable, "-c", say]
    own_pids = ["unshare", "--fork", "--pid", "--mount-proc"]
    here, there = (
        subprocess.run([*where, *python], capture_output=True, check=True).stdout
        for where in ([], own_pids)
    )
    assert here.startswith(b"pidsup-0-")
    assert here != there


def test_a_directory_that_systemd_has_made_is_used_and_left_empty(
    own_base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RuntimeDirectory=pidsup/web; others that it has made are not ours."""
    given, other = tmp_path / "run/pidsup/web", tmp_path / "run/web"
    for each in (given, other):
        each.mkdir(parents=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{other}:{given}")
    place = RuntimeDirectory("web")
    assert place.address == f"{given}/{paths.SOCKET}"
    assert place.notify() == f"{given}/notify"
    place.open_up()
    with pytest.raises(AlreadyRunning):
        RuntimeDirectory("web")
    Path(place.address).touch()
    place.close()
    assert list(given.iterdir()) == []
    assert not own_base.exists()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{other}:/nope/pidsup/web")
    place = RuntimeDirectory("web")
    assert place.path == f"{own_base}/web"
    place.close()


def test_workers_talk_to_a_path_that_goes_with_the_directory(own_base: Path) -> None:
    """With whatever a run that was killed has left there."""
    place = RuntimeDirectory("web")
    assert place.notify() == f"{own_base}/web/notify"
    assert place.notify(in_files=False).startswith("\0pidsup-")
    os.mkdir(place.notify())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(f"{place.notify()}/7")
    place.close()
    assert not (own_base / "web").exists()


def test_workers_talk_to_an_abstract_name_where_no_path_will_do(
    own_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be too long, though that of the control socket is not, or nothing can be written."""
    name = "w" * (107 - len(f"{own_base}//control.sock"))
    place = RuntimeDirectory(name)
    assert place.notify() == f"\0pidsup-{os.geteuid()}-{os.getpid()}/{name}/notify"
    place.close()
    monkeypatch.setattr("pidsup.control.rundir.base", lambda: "/proc/nowhere")
    place = RuntimeDirectory("web")
    assert place.notify() == f"\0pidsup-{os.geteuid()}-{os.getpid()}/web/notify"
    place.close()
