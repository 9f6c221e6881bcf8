"""The two programs as a user meets them: usage, exit codes, what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import varlink

from tests.support import LIMIT_S
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]
BIN = Path(sys.executable).parent


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of our programs to its end."""
    return subprocess.run(
        [BIN / program, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["pidsup"], 2),
        (["pidsup", "nope"], 2),
        (["pidsup", "run"], 2),
        (["pidsup", "run", "-c", "/nope.toml"], 2),
        (["pidsup", "check", "/nope.toml"], 2),
        (["pidsup", "--help"], 0),
        (["pidsup", "run", "--help"], 0),
        (["pidsup", "--version"], 0),
        (["pidsupctl"], 2),
        (["pidsupctl", "nope"], 2),
        (["pidsupctl", "stop"], 2),
        (["pidsupctl", "scale", "web"], 2),
        (["pidsupctl", "scale", "web", "many"], 2),
        (["pidsupctl", "stop", "web", "--timeout", "soon"], 2),
        (["pidsupctl", "--help"], 0),
        (["pidsupctl", "scale", "--help"], 0),
        (["pidsupctl", "--version"], 0),
        (["pidsupctl", "-n", "no-such-supervisor", "status"], 7),
    ],
)
def test_exit_codes_without_a_supervisor(command: list[str], code: int) -> None:
    done = run(*command)
    assert done.returncode == code
    assert done.stdout if code == 0 else done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_all_that_is_wrong_here(tmp_path: Path) -> None:
    """Users, programs and directories of this machine too, in the order of the file."""
    file = tmp_path / "shop.toml"
    file.write_text(
        "[watchers.a]\ncommand = '/nope'\nuser = 'nobody-of-that-name'\n"
        "[watchers.b]\ncommand = 'sleep 1'\nworking_directory = '/nope'\nworkers = -1\n"
        "[watchers.c]\ncommand = 'true'\n[watchers.d]\n"
    )
    done = run("pidsup", "check", str(file))
    assert done.returncode == 2
    assert done.stderr == (
        f"{file}:2: watchers.a.command: '/nope' does not exist: install it or correct the path\n"
        f"{file}:3: watchers.a.user: there is no user 'nobody-of-that-name': "
        "create it or correct the name\n"
        f"{file}:6: watchers.b.working_directory: '/nope' does not exist: "
        "create it or correct the path\n"
        f"{file}:7: watchers.b.workers: must be a whole number from 0 to 100000, not -1\n"
        f"{file}:10: watchers.d: has no command: add command = ...\n"
    )


def test_a_good_configuration_is_good(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("watchers.a.command = 'true'\n")
    done = run("pidsup", "check", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}: good, 1 watcher\n")


@pytest.mark.parametrize("example", sorted(Path("examples").glob("*.toml")), ids=lambda p: p.name)
def test_every_example_is_good(example: Path) -> None:
    assert run("pidsup", "check", str(example)).returncode == 0


def test_json_is_the_object_of_the_interface(daemon: Start) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    shown = json.loads(it.ctl("status", "-o", "json").stdout)
    assert shown["schema"] == 1
    assert shown["watchers"][0]["slots"][0]["pid"] == it.pids()["web:0"]
    changed = json.loads(it.ctl("restart", "web", "-o", "json").stdout)
    assert changed["change"]["state"] == "done"
    assert changed["change"]["tasks"] == [{"slot": "web:0", "state": "done", "reason": ""}]
    assert changed["change"]["actor"]["comm"] == "pidsupctl"
    failed = it.ctl("stop", "nope", "-o", "json")
    assert json.loads(failed.stdout)["error"] == "NoSuchSelector"


def test_no_wait_answers_with_the_change_under_way(daemon: Start) -> None:
    it = daemon(
        """
        [watchers.slow]
        command = ["sh", "-c", "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.02; done"]
        """
    )
    done = it.ctl("stop", "slow", "--no-wait")
    assert done.stdout.startswith("stop: under way as change 1, 1 slot")
    it.await_slots(lambda slots: slots["slow:0"]["state"] == "stopped")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_what_is_closed_is_not_written_to_instead(closed: str) -> None:
    """A complaint is no output; the exit code says it all the same."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -n no-such-supervisor status {closed}', BIN / "pidsupctl"],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, b"")
    assert bool(done.stderr) is ("2>&-" not in closed)


def test_a_program_that_is_none_cannot_replace_ssh() -> None:
    done = run("pidsupctl", "-H", "host", "status", PIDSUP_SSH="ssh -i 'key")
    assert done.returncode == 2
    assert done.stderr.startswith('pidsupctl: PIDSUP_SSH, "ssh -i \'key", is no command')


def test_the_name_may_come_from_the_environment(daemon: Start) -> None:
    it = daemon("watchers.web.command = 'sleep 1000'")
    it.await_slots(lambda slots: slots["web:0"]["state"] == "ready")
    assert run("pidsupctl", "status", PIDSUP_NAME=it.name).returncode == 0


def test_the_varlink_package_is_a_client_like_ours(daemon: Start) -> None:
    """Introspection and a call, by an implementation that is not ours."""
    it = daemon("watchers.web = { command = 'sleep 1000', workers = 2 }")
    it.await_slots(lambda slots: len(it.pids()) == 2)
    with (
        varlink.Client(f"unix:{it.socket}") as client,
        client.open("org.pidsup.Supervisor") as supervisor,
    ):
        assert "org.pidsup.Supervisor" in client.get_interfaces()
        answer = supervisor.Status(["web:1"])
        assert [s["name"] for s in answer["watchers"][0]["slots"]] == ["web:1"]
        changed = supervisor.Scale(["web"], 3, None, True, None)
        assert changed["change"]["state"] == "done"
    assert len(it.pids()) == 3
