"""What `doctor` finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pidsup import __version__
from pidsup.cli.ctl import doctor, doctor_machine, doctor_supervisors
from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import NO_RIGHTS, Complaint
from pidsup.cli.ctl.finding import Finding, ok, problem, warning
from pidsup.client import CallFailed
from pidsup.output.journal import LOST
from tests.cli.canned import NARROW, PIPE, down, exit_, slot, status, watcher
from tests.support import needs_root


@pytest.mark.parametrize(
    ("release", "levels"),
    [
        ("5.10.0-8-amd64", ["problem"]),
        ("5.14.0-362.el9.x86_64", ["warning"] * 4),
        ("6.1.0-18-amd64", ["warning"] * 4),
        ("6.8.0", ["warning"] * 3),
        ("6.14.2+", ["warning"]),
        ("6.15-rc1", ["ok"]),
        ("7.0.0", ["ok"]),
    ],
)
def test_older_kernels_lose_what_newer_ones_have(release: str, levels: list[str]) -> None:
    found = list(doctor_machine._kernel(release))
    assert [finding.level for finding in found] == levels
    assert all(finding.do for finding in found if finding.level != "ok")


def test_this_machine_is_looked_at_without_a_supervisor() -> None:
    found = list(doctor_machine.findings())
    subjects = {finding.subject for finding in found}
    assert {"kernel", "clone3", "group signals", "cgroup", "open files", "/proc"} <= subjects
    assert "problem" not in {finding.level for finding in found}


NOT_WRITABLE = (
    "/proc cannot be written: supervisors listen at abstract addresses instead, "
    "@pidsup-65534-7/NAME"
)


@pytest.mark.parametrize(
    ("euid", "runtime", "directory", "said"),
    [
        (65534, "", "/proc/no", NOT_WRITABLE),
        (65534, "/run/user/65534", "/proc/no", NOT_WRITABLE),
        (65534, "", "/tmp/no", "XDG_RUNTIME_DIR is not set: /tmp/no is used instead"),
        (0, "", "/tmp/no", "/tmp/no"),
    ],
)
def test_the_runtime_directory_is_the_one_that_is_used(
    monkeypatch: pytest.MonkeyPatch, euid: int, runtime: str, directory: str, said: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: euid)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("os.access", lambda path, _: path != "/proc")  # root can anywhere
    monkeypatch.setattr(doctor_machine, "base", lambda: directory)
    monkeypatch.setattr("pidsup.control.paths._namespace", lambda: 7)
    assert doctor_machine._runtime_directory().what == said


def found_of(**facts: Any) -> dict[str, Finding]:
    facts.setdefault("version", __version__)
    facts.setdefault("files", [])
    found = facts.pop("found", None)
    answer = status(*facts.pop("watchers", ()), **facts, pid=0)
    return {f.subject: f for f in doctor_supervisors.of_one(answer, lambda: found)}


def test_a_healthy_supervisor_is_well() -> None:
    found = found_of(watchers=[watcher("web", slot())])
    assert {finding.level for finding in found.values()} == {"ok"}
    assert found["slots"].what == "1 slot, none has failed"


def test_another_version_runs_than_is_installed() -> None:
    assert found_of(version="0.0.9")["version"] == warning(
        "version", f"0.0.9 runs, {__version__} is installed", "restart it when it suits"
    )


@needs_root
@pytest.mark.parametrize(
    "error",
    [
        Complaint("you have no right", NO_RIGHTS),
        CallFailed("Denied", {"why": "needs the role read"}),
    ],
)
def test_whose_rights_it_takes_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def reach(_: object) -> Any:
        raise error

    monkeypatch.setattr(doctor_supervisors, "reach", reach)
    monkeypatch.setattr(doctor_supervisors, "whose", lambda _: "ann")
    given = Given(socket=str(tmp_path), name=None)
    for uid, users in ((0, "root"), (54321, "ann, or root")):
        os.chown(tmp_path, uid, -1)
        *_, found = doctor_supervisors.findings(given)
        expected = f"run it as {users}, or be named in the [control] of its configuration"
        assert (found.level, found.do) == ("problem", expected)


def differing(*problems: str, differences: int = 0) -> dict[str, Any]:
    """Return what Diff answers, as far as it is looked at."""
    return {"differences": [{}] * differences, "problems": list(problems)}


def test_a_configuration_that_was_changed_since_it_was_applied_is_told(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.touch()
    known = {"files": [str(file)], "read_s": 60.0}
    changed = found_of(**known, found=differing(differences=1))["configuration"]
    assert (changed.level, str(file) in changed.what) == ("warning", True)
    assert changed.do == "pidsupctl diff, and then pidsupctl apply"
    assert found_of(**known, found=differing())["configuration"].level == "ok"
    broken = found_of(**known, found=differing("shop.toml:1: bad", "more"))["configuration"]
    assert broken == problem(
        "configuration",
        "cannot be used: shop.toml:1: bad (and 1 more)",
        f"pidsup check {file}; what was read before stays in force",
    )
    assert (
        found_of(**known, role="read")["configuration"].do == "as its user, or root: pidsupctl diff"
    )
    assert found_of(files=[str(file)], read_s=-60.0)["configuration"].level == "ok"
    gone = found_of(files=["/nope"], found=differing("gone"))["configuration"]
    assert gone.level == "problem"


def test_drop_ins_that_were_added_since_are_told(tmp_path: Path) -> None:
    file, folder = tmp_path / "shop.toml", tmp_path / "shop.d"
    folder.mkdir()
    for path in (file, folder / "old.toml", folder / "new.toml", folder / "note.txt"):
        path.touch()
    read = [str(file), str(folder / "old.toml")]
    found = found_of(files=read, read_s=-60.0, found=differing(differences=1))["configuration"]
    assert found.what.endswith(f" ago: {folder}/new.toml (new)")
    read.append(f"{folder}/new.toml")
    assert found_of(files=read, read_s=-60.0)["configuration"].level == "ok"


def test_failed_slots_are_problems_and_say_how_to_go_on() -> None:
    gone = down("web:3", "failed", reason="exited with 1", last_exit=exit_())
    found = found_of(watchers=[watcher("web", gone)])
    assert found["slots"] == problem(
        "slots",
        "web:3 has failed: exited with 1",
        "pidsupctl logs web:3, and then pidsupctl start web:3",
    )


def test_what_was_never_executed_has_no_logs_to_look_at() -> None:
    failed = down("r:0", "failed", reason="exec '/nope': No such file or directory")
    assert found_of(watchers=[watcher("r", failed)])["slots"].do == (
        "pidsupctl explain r:0, and then pidsupctl start r:0"
    )
    trying = {**failed, "state": "backoff"}
    assert found_of(watchers=[watcher("r", trying)])["slots"].do == "pidsupctl explain r:0"


def test_dropped_output_is_told_with_whose() -> None:
    found = found_of(watchers=[watcher("web", slot("web:1", dropped_bytes=2048))])
    assert found["output"] == warning(
        "output",
        "2.0K had to be dropped, by web:1",
        "what could not be written is in the supervisor's log; against too much at a time: "
        'faster disks, less output, or log_policy = "block"',
    )


@pytest.mark.parametrize(
    ("why", "do"),
    [
        ("No space left on device", "make room there, or let stdout and stderr go elsewhere"),
        ("Permission denied", "give the supervisor's user the right to write there"),
        ("Input/output error", "mend that"),
    ],
)
def test_output_that_cannot_be_written_is_a_problem_with_its_own_cure(why: str, do: str) -> None:
    trouble = f"cannot write /x/full.log: {why}, for 40 s"
    full = slot("web:1", dropped_bytes=2048, output_trouble=trouble)
    answer = status(watcher("web", full), version=__version__, files=[], pid=0)
    assert [f for f in doctor_supervisors.of_one(answer, dict) if f.subject == "output"] == [
        problem("output", f"web:1: {trouble}", f"{do}; it goes on by itself then"),
        warning(
            "output",
            "2.0K had to be dropped, by web:1",
            "mend what cannot be written first; the supervisor's log tells of the rest",
        ),
    ]


def test_without_a_journal_it_does_not_go_on_by_itself() -> None:
    trouble = f"the journal cannot be reached: Connection refused, for 40 s; {LOST}"
    lost = slot("web:1", output_trouble=trouble)
    answer = status(watcher("web", lost), version=__version__, files=[], pid=0)
    do = "start systemd-journald.socket, then restart the watcher"
    assert problem("output", f"web:1: {trouble}", do) in list(
        doctor_supervisors.of_one(answer, dict)
    )


def test_findings_are_lines_with_what_to_do_below() -> None:
    found = [ok("kernel", "good"), warning("open files", "few " * 30, "raise it")]
    shown = doctor.lines(found, NARROW)
    assert shown[0] == "ok       kernel      good"
    assert shown[-1] == "                     to do: raise it"
    assert max(map(len, shown)) <= 80
    assert len(doctor.lines(found, PIPE)) == 3
