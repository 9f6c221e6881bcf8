"""Every attribute of a process is seen in a real worker of a real supervisor."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, run
from typing import NamedTuple

from pidsup.linux.spawn import DEFAULT_PATH
from pidsup.watcher.plan import PROTOCOL_VARIABLES
from tests.support import LIMIT_S, needs_root, status
from tests.system.daemon import Daemon

Start = Callable[..., Daemon]
NET_BIND_SERVICE = 1 << 10

EVERYTHING = """
    [watchers.web]
    command = ["sleep", "1000"]
    user = "nobody"
    group = "daemon"
    supplementary_groups = ["mail", "1234"]
    working_directory = "/usr/{env.PIDSUP_TEST_PLACE}"
    umask = "0027"
    nice = 5
    io_scheduling_class = "best-effort"
    io_scheduling_priority = 6
    cpu_affinity = "0"
    oom_score_adjust = 300
    rlimits = { nofile = "64:128", core = 0 }
    no_new_privs = true
    capability_bounding_set = ["CAP_NET_BIND_SERVICE"]
    ambient_capabilities = ["net_bind_service"]
    inherit_environment = false
    environment = { PLACE = "{watcher}:{slot}", TOKEN = "{env.PIDSUP_TEST_TOKEN}" }
    """


class Seen(NamedTuple):
    """What /proc and other processes see of a worker."""

    ids: tuple[str, ...]
    groups: set[str]
    directory: str
    umask: str
    nice: int
    io: str
    processors: set[int]
    oom_score_adj: str
    open_files: tuple[str, str]
    core: tuple[str, str]
    no_new_privs: str
    capabilities: dict[str, int]
    environment: dict[str, str]


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """Read them where they may be read: prlimit(2) wants a right that root may lack."""
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {row[:26].strip(): (row[26:47].strip(), row[47:68].strip()) for row in rows}


def look(pid: int) -> Seen:
    facts, limits = status(pid), limits_of(pid)
    ionice = run(["ionice", "-p", str(pid)], stdout=PIPE, check=True, timeout=LIMIT_S)
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")[:-1]
    return Seen(
        ids=(*facts["Uid"].split(), *facts["Gid"].split()),
        groups=set(facts["Groups"].split()),
        directory=str(Path(f"/proc/{pid}/cwd").readlink()),
        umask=facts["Umask"],
        nice=os.getpriority(os.PRIO_PROCESS, pid),
        io=ionice.stdout.decode().strip(),
        processors=os.sched_getaffinity(pid),
        oom_score_adj=Path(f"/proc/{pid}/oom_score_adj").read_text().strip(),
        open_files=limits["Max open files"],
        core=limits["Max core file size"],
        no_new_privs=facts["NoNewPrivs"],
        capabilities={n: int(facts[f"Cap{n}"], 16) for n in ("Bnd", "Prm", "Eff", "Amb")},
        environment=dict(variable.split("=", 1) for variable in environ),
    )


@needs_root
def test_every_attribute_reaches_the_worker_and_its_successor(daemon: Start) -> None:
    """A plan serves for all starts."""
    it = daemon(
        EVERYTHING,
        environment={"PIDSUP_TEST_PLACE": "bin", "PIDSUP_TEST_TOKEN": "secret"},
    )
    expected = Seen(
        ids=("65534",) * 4 + ("1",) * 4,
        groups={"65534", "8", "1234"},
        directory=os.path.realpath("/usr/bin"),
        umask="0027",
        nice=5,
        io="best-effort: prio 6",
        processors={0},
        oom_score_adj="300",
        open_files=("64", "128"),
        core=("0", "0"),
        no_new_privs="1",
        capabilities=dict.fromkeys(("Bnd", "Prm", "Eff", "Amb"), NET_BIND_SERVICE),
        environment={
            "PATH": DEFAULT_PATH,
            "USER": "nobody",
            "LOGNAME": "nobody",
            "HOME": "/nonexistent",
            "SHELL": "/usr/sbin/nologin",
            "PLACE": "web:0",
            "TOKEN": "secret",
        },
    )
    it.await_slots(lambda slots: it.pids())
    first = it.pids()["web:0"]
    assert look(first) == expected

    os.kill(first, signal.SIGKILL)
    it.await_slots(lambda slots: slots["web:0"]["pid"] not in (None, first))
    assert look(it.pids()["web:0"]) == expected


def test_a_worker_without_attributes_is_as_the_supervisor(daemon: Start) -> None:
    """But for the limit of open files, which the supervisor has raised for itself."""
    it = daemon(
        """
        [watchers.web]
        command = ["sleep", "1000"]
        """
    )
    it.await_slots(lambda slots: it.pids())
    worker, supervisor = look(it.pids()["web:0"]), look(it.pid)
    soft, hard = map(str, resource.getrlimit(resource.RLIMIT_NOFILE))
    assert supervisor.open_files == (hard, hard)
    assert worker.open_files == (soft, hard)
    same = {"open_files": (0, 0), "environment": {}}
    assert worker._replace(**same) == supervisor._replace(**same)  # type: ignore[arg-type]  # a mixture
    inherited = {k: v for k, v in os.environ.items() if k not in PROTOCOL_VARIABLES}
    assert worker.environment == inherited


def test_placeholders_differ_from_slot_to_slot(daemon: Start, tmp_path: Path) -> None:
    """In the command, the environment and the directory."""
    for slot in range(2):
        (tmp_path / str(slot)).mkdir()
    it = daemon(f"""
        [watchers.web]
        command = ["sleep", "100{{slot}}"]
        workers = 2
        working_directory = "{tmp_path}/{{slot}}"
        environment = {{ SLOT = "{{slot}}", AWK = "{{print}}" }}
        """)
    it.await_slots(lambda slots: len(it.pids()) == 2)
    for name, pid in it.pids().items():
        number = name.removeprefix("web:")
        seen = look(pid)
        assert (
            Path(f"/proc/{pid}/cmdline").read_bytes()
            == b"sleep\0" + f"100{number}".encode() + b"\0"
        )
        assert seen.directory == f"{tmp_path}/{number}"
        assert (seen.environment["SLOT"], seen.environment["AWK"]) == (number, "{print}")


@needs_root
def test_what_the_supervisor_has_no_right_to_give_is_said_and_tried_again(daemon: Start) -> None:
    """The step and the value are named where its user looks."""
    it = daemon(
        """
        [watchers.web]
        command = ["sleep", "1000"]
        nice = -5
        """,
        # Inheritable ones, which root of a container has, outlive the bounding set.
        prefix=("setpriv", "--inh-caps", "-sys_nice", "--bounding-set", "-sys_nice"),
    )
    it.await_slots(lambda slots: slots["web:0"]["state"] == "backoff")
    reason = it.slots()["web:0"]["reason"]
    assert reason.startswith("nice '-5': Permission denied")
    assert it.pids() == {}
