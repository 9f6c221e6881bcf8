"""Completions in real shells, with the names of a running supervisor."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT_S
from tests.system.daemon import Daemon
from tests.system.pty import BIN, Pty

Start = Callable[..., Daemon]

SHOP = """
    [watchers.web]
    command = "sleep 1000"
    workers = 2
    [watchers.worker]
    command = "sleep 1000"
    [watchers.mailer]
    command = "sleep 1000"
    """


def needs(shell: str) -> str:
    """Return where a shell is; CI must have it, elsewhere the test is skipped, loudly."""
    path = shutil.which(shell)
    if path is None:
        assert not os.environ.get("CI"), f"{shell} is missing: .ci/setup tools installs it"
        pytest.skip(f"*** needs {shell}: .ci/setup tools installs it ***")
    return path


@pytest.fixture
def shop(daemon: Start) -> Daemon:
    it = daemon(SHOP)
    it.await_slots(lambda slots: all(slot["state"] == "ready" for slot in slots.values()))
    return it


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[..., Pty]]:
    """Start interactive shells that have the completions and nothing of the user's."""
    started: list[Pty] = []

    def start(it: Daemon, *command: str) -> Pty:
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "ZDOTDIR": str(tmp_path),
            "PIDSUP_NAME": it.name,
            "PS1": "$ ",
        }
        started.append(Pty([needs(command[0]), *command[1:]], 100, 30, environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def bash(shop: Daemon, shell: Callable[..., Pty]) -> Pty:
    it = shell(shop, "bash", "--norc", "--noprofile", "-i")
    it.type('eval "$(pidsupctl completion bash)"; bind "set bell-style none"; clear; echo on\n')
    it.wait_for(lambda lines: lines[:2] == ["on", "$"], "the completions")
    return it


@pytest.fixture
def zsh(shop: Daemon, shell: Callable[..., Pty]) -> Pty:
    it = shell(shop, "zsh", "-f", "-i")
    setup = 'PS1="$ "; autoload -U compinit; compinit -u -D; eval "$(pidsupctl completion zsh)"'
    it.type(f"{setup}; setopt NO_LIST_BEEP; clear; echo on\n")
    it.wait_for(lambda lines: lines[:2] == ["on", "$"], "the completions")
    return it


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("pidsupctl stat", "$ pidsupctl stat"),
        ("pidsupctl expl", "$ pidsupctl explain"),
        ("pidsupctl stop mai", "$ pidsupctl stop mailer"),
        ("pidsupctl stop web:", "$ pidsupctl stop web:"),
        ("pidsupctl stop mailer:", "$ pidsupctl stop mailer:0"),
        ("pidsupctl stop 'mai", "$ pidsupctl stop 'mailer'"),
        ("pidsupctl logs --stream=stdo", "$ pidsupctl logs --stream=stdout"),
        ("pidsupctl -n nope stop mai", "$ pidsupctl -n nope stop mai"),
    ],
)
def test_bash_completes(bash: Pty, typed: str, line: str) -> None:
    bash.type(typed + "\t")
    bash.settle()
    bash.type("#")  # so that the end of the line is seen
    shown = bash.wait_for(lambda lines: lines[1].endswith("#"), typed)
    assert shown[1].removesuffix("#").rstrip() == line


def test_bash_lists_live_names(bash: Pty) -> None:
    bash.type("pidsupctl stop w\t\t")
    bash.wait_for(lambda lines: any(line.split() == ["web", "worker"] for line in lines), "names")
    bash.type("eb:\t\t")
    bash.wait_for(lambda lines: any(line.split() == ["0", "1"] for line in lines), "slots")


def test_bash_completes_files_and_commands_itself(bash: Pty, tmp_path: Path) -> None:
    (tmp_path / "somewhere.sock").touch()
    bash.type(f"pidsupctl --socket {tmp_path}/some\t")
    bash.wait_for(lambda lines: "somewhere.sock" in "".join(lines), "a file")
    bash.type("\x15pidsupctl run web pidsupc\t")
    bash.wait_for(
        lambda lines: any(line.endswith("run web pidsupctl") for line in lines), "a command"
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make one file that is a configuration, and one that is none; both begin alike."""
    folder = tmp_path / "f"
    folder.mkdir()
    for name in ("shop.toml", "shop.txt"):
        (folder / name).touch()
    return folder


PIDSUP = [
    ("pidsup sch", "$ pidsup schema"),
    ("pidsup check {}/sh", "$ pidsup check {}/shop.toml"),
    ("pidsup run -c {}/sh", "$ pidsup run -c {}/shop.toml"),
    ("pidsup run --con", "$ pidsup run --config"),
    ("pidsup exec --orph", "$ pidsup exec --orphan-timeout"),
    ("pidsup exec pidsupc", "$ pidsup exec pidsupctl"),
]


@pytest.mark.parametrize(("typed", "line"), PIDSUP)
def test_bash_completes_pidsup_too(bash: Pty, files: Path, typed: str, line: str) -> None:
    bash.type(typed.format(files) + "\t")
    bash.wait_for(lambda lines: "".join(lines[1:3]).rstrip() == line.format(files), line)


@pytest.mark.parametrize(("typed", "line"), PIDSUP)
def test_zsh_completes_pidsup_too(zsh: Pty, files: Path, typed: str, line: str) -> None:
    zsh.type(typed.format(files) + "\t")
    zsh.wait_for(lambda lines: "".join(lines[1:3]).rstrip() == line.format(files), line)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("pidsupctl expl", "$ pidsupctl explain"),
        ("pidsupctl stop mai", "$ pidsupctl stop mailer"),
        ("pidsupctl stop mailer:", "$ pidsupctl stop mailer:0"),
        ("pidsupctl logs --stream=stdo", "$ pidsupctl logs --stream=stdout"),
    ],
)
def test_zsh_completes(zsh: Pty, typed: str, line: str) -> None:
    zsh.type(typed + "\t")
    zsh.wait_for(lambda lines: lines[1].rstrip() == line, line)


def test_zsh_lists_live_names_with_their_state(zsh: Pty) -> None:
    zsh.type("pidsupctl stop w\t")
    zsh.wait_for(
        lambda lines: {"web     -- ready 2/2", "worker  -- ready 1/1"} <= set(lines), "names"
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pidsupctl expl", ["explain"]),
        ("pidsupctl stop w", ["web", "worker"]),
        ("pidsupctl stop web:", ["web:0", "web:1"]),
        ("pidsupctl logs --stream ", ["stdout", "stderr"]),
        ("pidsupctl stop web --no-w", ["--no-wait"]),
    ],
)
def test_fish_completes(shop: Daemon, tmp_path: Path, typed: str, offered: list[str]) -> None:
    assert fish(tmp_path, typed, PIDSUP_NAME=shop.name) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pidsup ", ["run", "exec", "check", "schema", "install-units"]),
        ("pidsup check {}/", ["{}/shop.toml"]),
        ("pidsup run -c {}/sh", ["{}/shop.toml"]),
        ("pidsup exec --orph", ["--orphan-timeout"]),
        ("pidsup exec pidsupc", ["pidsupctl"]),
    ],
)
def test_fish_completes_pidsup_too(
    tmp_path: Path, files: Path, typed: str, offered: list[str]
) -> None:
    assert fish(tmp_path, typed.format(files)) == [word.format(files) for word in offered]


def fish(home: Path, typed: str, **more: str) -> list[str]:
    """Return what it offers."""
    script = f'pidsupctl completion fish | source; complete -C "{typed}"'
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(home),
        **more,
    }
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", script],
        capture_output=True, text=True, timeout=LIMIT_S, check=True, env=environment,
    )  # fmt: skip
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]
