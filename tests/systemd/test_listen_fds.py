"""What systemd passes is taken over whole, or not at all, and what is wrong is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from pidsup.systemd.listen_fds import BadVariables, Passed, take
from tests.support import needs_linux, python

#: Takes what it is given: `0` in a variable stands for this process.
TAKE = """
import json, os, sys
from pidsup.systemd import listen_fds
environ = dict(os.environ)
for name in ("LISTEN_PID", "LISTEN_PIDFDID"):
    if environ.get(name) == "own":
        own = {"LISTEN_PID": os.getpid, "LISTEN_PIDFDID": listen_fds.own_pidfd_inode}
        environ[name] = str(own[name]())
try:
    passed = listen_fds.take(environ)
except listen_fds.BadVariables as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({
        "fds": passed.descriptors,
        "missing": passed.missing,
        "inheritable": [fd for fd, _ in passed.descriptors if os.get_inheritable(fd)],
        "left": [name for name in environ if name.startswith("LISTEN")],
    }))
"""


def take_in_a_process(variables: Mapping[str, str], count: int = 2) -> Any:
    """Pass *count* descriptors, from 3, to a process that takes them."""
    opened = "".join(f" {3 + n}</dev/null" for n in range(count))
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@"{opened}', "sh", *python(TAKE)],
        env={**os.environ, **variables},
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_they_are_taken_with_their_names() -> None:
    """None of them gets into a child by accident, and no child takes them for its own."""
    found = take_in_a_process({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:web", "LISTEN_PID": "own"})
    assert found["fds"] == [[3, "web"], [4, "web"]]
    assert (found["inheritable"], found["left"]) == ([], [])


def test_without_names_they_are_unknown() -> None:
    found = take_in_a_process({"LISTEN_FDS": "2", "LISTEN_PID": "own"})
    assert found["fds"] == [[3, "unknown"], [4, "unknown"]]


@needs_linux(6, 9)
def test_the_inode_of_the_own_pidfd_may_confirm_it() -> None:
    found = take_in_a_process({"LISTEN_FDS": "1", "LISTEN_PID": "own", "LISTEN_PIDFDID": "own"})
    assert found["fds"] == [[3, "unknown"]]


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "LISTEN_FDS is not set, so systemd has passed none"),
        (
            {"LISTEN_FDS": "2"},
            "LISTEN_PID is not set, so those of LISTEN_FDS are of another process",
        ),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, "LISTEN_PID says that they are of process 1,"),
        (
            {"LISTEN_FDS": "2", "LISTEN_PID": "own", "LISTEN_PIDFDID": "7"},
            "LISTEN_PIDFDID says that they are of an earlier process of this number",
        ),
    ],
)
def test_those_of_another_process_are_left_alone(variables: dict[str, str], missing: str) -> None:
    """And the variables mean nothing to our children either."""
    found = take_in_a_process(variables)
    assert found["missing"].startswith(missing)
    assert (found["fds"], found["left"]) == ([], [])


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"LISTEN_FDS": "two"}, "LISTEN_FDS is 'two', not a number"),
        ({"LISTEN_FDS": ""}, "LISTEN_FDS is '', not a number"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS is '-1', not a number"),
        ({"LISTEN_FDS": "1_0"}, "LISTEN_FDS is '1_0', not a number"),
        ({"LISTEN_FDS": "٣"}, "LISTEN_FDS is '٣', not a number"),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me"}, "LISTEN_PID is 'me', not a number"),
        ({"LISTEN_FDS": "2", "LISTEN_PIDFDID": "x"}, "LISTEN_PIDFDID is 'x', not a number"),
        ({"LISTEN_FDS": "3"}, "LISTEN_FDS is 3, but descriptor 5 is not open"),
        ({"LISTEN_FDS": "9" * 20}, f"LISTEN_FDS is {'9' * 20}, but descriptor 5 is not open"),
        (
            {"LISTEN_FDS": "0"},
            "LISTEN_FDS is 0, LISTEN_FDNAMES None: there must be a name for each, and one at least",
        ),
        (
            {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"},
            (
                "LISTEN_FDS is 2, LISTEN_FDNAMES 'web': "
                "there must be a name for each, and one at least"
            ),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_an_error(variables: dict[str, str], why: str) -> None:
    found = take_in_a_process({"LISTEN_PID": "own", **variables})
    assert found == {"error": f"cannot take descriptors from systemd: {why}"}


def test_of_its_own_process_it_touches_nothing_else() -> None:
    """Most supervisors are started without any of it."""
    environ = {"PATH": "/bin"}
    assert take(environ) == Passed(missing="LISTEN_FDS is not set, so systemd has passed none")
    assert environ == {"PATH": "/bin"}


def test_variables_are_gone_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "x")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(BadVariables):
        take(os.environ)
    assert "LISTEN_FDS" not in os.environ


def test_it_is_light() -> None:
    """Every supervisor loads it: no extension, unless systemd asks to compare inodes."""
    code = "import sys, pidsup.systemd.listen_fds; print('pidsup.linux.pidfd' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"
