"""The container that other tests boot a systemd in: what they rely on."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import my_children, wait_until
from tests.system.box import Box


def test_it_is_up_and_nothing_has_failed(box: Box) -> None:
    assert box.systemctl("is-system-running").stdout == "running\n"


def test_pidsup_runs_inside_as_any_user(box: Box) -> None:
    user = box.user()
    for who in (None, user):
        assert box.run(box.pidsup, "--version", user=who).stdout.startswith("pidsup ")
        assert box.run(box.pidsupctl, "--version", user=who, unit=True).returncode == 0
    assert box.systemctl("is-active", "default.target", user=user).stdout == "active\n"


def test_a_command_succeeds_unless_a_test_says_that_it_may_fail(box: Box) -> None:
    done = box.run("sh", "-c", "cat; echo said >&2; exit 3", input="heard", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "heard", "said\n")


def test_units_that_a_test_makes_end_with_it(box: Box) -> None:
    box.put("/etc/systemd/system/idler.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    box.put("/etc/systemd/system/failing.service", "[Service]\nExecStart=/bin/false\n")
    box.systemctl("daemon-reload")
    box.systemctl("start", "idler", "failing")
    box.wait_for("idler")
    box.wait_for("failing", "failed")
    assert "Main process exited, code=exited, status=1/FAILURE" in box.status("failing.service")
    pid = int(box.show("idler", "MainPID")["MainPID"])
    assert box.path(f"/proc/{pid}").exists()
    box.clean()
    assert box.show("idler", "LoadState", "ActiveState") == {
        "LoadState": "not-found",
        "ActiveState": "inactive",
    }
    assert box.systemctl("list-units", "--failed", "--plain", "--no-legend").stdout == ""
    assert not box.path(f"/proc/{pid}").exists()


def test_nothing_of_it_is_on_this_machine(fresh_box: Box) -> None:
    fresh_box.put("/etc/mark", "inside")
    assert not os.path.exists("/etc/mark")
    name = os.path.basename(fresh_box._scratch)
    assert name not in Path("/proc/mounts").read_text()
    fresh_box.poweroff()
    fresh_box.close()
    assert not os.path.exists(fresh_box._scratch)
    assert not any(map(os.path.exists, fresh_box._groups))


def test_it_is_nobodys_child_and_ends_with_the_pipe_to_it(fresh_box: Box) -> None:
    """As when the test run is killed."""
    assert my_children() == []
    assert fresh_box._keeper.stdin is not None
    fresh_box._keeper.stdin.close()
    wait_until(lambda: not os.path.exists(fresh_box._scratch), "removed")
    assert not any(map(os.path.exists, fresh_box._groups))
