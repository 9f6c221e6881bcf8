"""A watcher's configuration is what its workers see."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pidsup.config.model import Attributes, OutputSpec, WatcherSpec
from pidsup.linux.spawn import DEFAULT_PATH
from pidsup.policy.restart import GiveUpAction, RestartPolicy
from pidsup.watcher.plan import Surroundings, is_per_slot, make_plan, surroundings
from tests.support import Spawned, descriptors, needs_root, sh, status

VALUES = {"watcher": "web", "slot": "3", "generation": "7"}
OURS = {"PATH": DEFAULT_PATH, "HOME": "/proc", "INVOCATION_ID": "abc", "LISTEN_PID": "1"}
NOBODY = 65534
NET_BIND_SERVICE = 10


def spec(*command: str, **fields: object) -> WatcherSpec:
    defaults: dict[str, object] = {
        "name": "web",
        "command": command or ("cat",),
        "workers": 4,
        "autostart": True,
        "after": (),
        "warmup_delay_s": 0.0,
        "restart": RestartPolicy(),
        "on_give_up": GiveUpAction.STAY,
        "give_up_exit_code": 1,
        "stop_plan": (),
        "environment": {},
    }
    return WatcherSpec(**{**defaults, **fields})  # type: ignore[arg-type]  # a mixture


@pytest.fixture
def around() -> Iterator[Surroundings]:
    """Give surroundings with two sockets, which are memory files with their names."""
    fds = [os.open(os.devnull, os.O_RDWR), os.memfd_create("http"), os.memfd_create("admin")]
    yield Surroundings(OURS, fds[0], (123, 456), {"http": fds[1], "admin": fds[2]})
    for fd in fds:
        os.close(fd)


Start = Callable[..., Spawned]


@pytest.fixture
def start(around: Surroundings) -> Iterator[Start]:
    """Give a function that starts a worker of a spec, a cat unless it says something else."""
    born: list[Spawned] = []

    def starts(what: WatcherSpec, pipes: tuple[int, ...] = (0, 1)) -> Spawned:
        plan = make_plan(what, around, VALUES)
        into_child, into = os.pipe()
        out, out_of_child = os.pipe()
        ends = {0: into_child, 1: out_of_child}
        try:
            one = plan.spawn({place: ends[place] for place in pipes})
        finally:
            os.close(into_child)
            os.close(out_of_child)
        born.append(Spawned(one, into, out))
        return born[-1]

    yield starts
    for one in born:
        one.close()


def variables(one: Spawned) -> dict[str, str]:
    """Return the environment of a cat."""
    one.ready()
    found = Path(f"/proc/{one.pid}/environ").read_text().split("\0")[:-1]
    return dict(variable.split("=", 1) for variable in found)


# --- placeholders


def test_placeholders_are_filled(start: Start) -> None:
    """In the command, the environment and the directory; what is no name stays as it is."""
    what = spec(
        *sh('echo "$1 $2 $NUMBER $(pwd)"', "{watcher}:{slot}#{generation}", "{print}{{slot}}"),
        environment={"NUMBER": "{sockets.admin}"},
        attributes=Attributes(working_directory="{env.HOME}/sys"),
        sockets=("http", "admin"),
    )
    assert start(what).output() == b"web:3#7 {print}{slot} 4 /proc/sys\n"


def test_the_socket_that_is_stdin_has_the_number_0(start: Start) -> None:
    what = spec(*sh("echo $1", "{sockets.http}"), stdin_socket="http")
    assert start(what, pipes=(1,)).output() == b"0\n"


def test_a_variable_that_is_gone_is_named(start: Start) -> None:
    """It was there when the configuration was read, maybe elsewhere."""
    with pytest.raises(LookupError, match=r"^placeholder {env.NOPE}: .*no variable 'NOPE'$"):
        start(spec("echo", "{env.NOPE}"))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (spec("run", "--id={slot}"), True),
        (spec("run", environment={"ID": "{slot}"}), True),
        (spec("run", attributes=Attributes(working_directory="/srv/{slot}")), True),
        (spec("run", "{watcher}", "{{slot}}", "{generation}"), False),
        (spec("run", output=OutputSpec(stdout="/var/log/{slot}.log")), False),
    ],
)
def test_only_who_names_the_slot_needs_a_plan_per_slot(what: WatcherSpec, expected: bool) -> None:
    """A plan costs memory; where output goes is not part of it."""
    assert is_per_slot(what) == expected


# --- environment


def test_the_supervisors_environment_is_inherited_without_what_is_its_own(start: Start) -> None:
    """Those of systemd would be taken for the worker's."""
    one = start(spec(environment={"HOME": "/mine", "NEW": "1"}))
    assert variables(one) == {"PATH": DEFAULT_PATH, "HOME": "/mine", "NEW": "1"}


def test_runtime_directories_are_inherited_but_for_a_supervisors(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, theirs in (
        ("/run/pidsup/shop", None),
        ("/run/pidsup/shop:/run/shop:/run/x", "/run/shop:/run/x"),
    ):
        monkeypatch.setitem(OURS, "RUNTIME_DIRECTORY", value)
        assert variables(start(spec())).get("RUNTIME_DIRECTORY") == theirs


def test_an_environment_of_its_own_begins_with_path_alone(start: Start) -> None:
    one = start(spec(environment={"NEW": "1"}, inherit_environment=False))
    assert variables(one) == {"PATH": DEFAULT_PATH, "NEW": "1"}


@needs_root
@pytest.mark.parametrize("inherit", [True, False])
def test_the_variables_of_the_user_are_set(start: Start, inherit: bool) -> None:
    """As systemd.exec(5) does for User=; the configuration counts for more."""
    what = spec(
        attributes=Attributes(user="nobody"),
        environment={"SHELL": "/bin/mine"},
        inherit_environment=inherit,
    )
    assert variables(start(what)) == {
        "PATH": DEFAULT_PATH,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "HOME": "/nonexistent",
        "SHELL": "/bin/mine",
    }


def test_surroundings_are_those_of_this_process() -> None:
    """All variables: a placeholder may name one that is not inherited."""
    *others, addresses = surroundings(7, (1, 2), {"a": 3}, "/run/x/notify")
    assert others == [dict(os.environ), 7, (1, 2), {"a": 3}]
    assert [next(addresses), next(addresses)] == ["/run/x/notify/1", "/run/x/notify/2"]


# --- sockets


def test_sockets_are_passed_in_the_order_of_the_watcher(start: Start) -> None:
    """As sd_listen_fds(3) has it, with names, and never a pidfd's id."""
    one = start(spec(sockets=("admin", "http")))
    seen = variables(one)
    assert {k: v for k, v in seen.items() if k.startswith("LISTEN")} == {
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "admin:http",
        "LISTEN_PID": str(one.pid),
    }
    held = descriptors(one.pid)
    assert (held[3], held[4]) == ("/memfd:admin (deleted)", "/memfd:http (deleted)")
    assert set(held) == set(range(5))


def test_who_names_no_socket_gets_none(start: Start) -> None:
    """Neither a descriptor nor a variable."""
    one = start(spec())
    assert not [name for name in variables(one) if name.startswith("LISTEN")]
    assert set(descriptors(one.pid)) == {0, 1, 2}


def test_who_takes_sockets_by_number_need_not_be_told_of_them(start: Start) -> None:
    """Or it takes them twice; they are there all the same."""
    one = start(spec(*sh("echo $1; env", "{sockets.http}"), sockets=("http",), listen_fds=False))
    told = one.output().decode().splitlines()
    assert told[0] == "3"
    assert not [line for line in told if line.startswith("LISTEN")]


def test_a_socket_as_stdin(start: Start) -> None:
    """As inetd passes it: no variables tell of it."""
    one = start(spec("sleep", "1000", stdin_socket="http"), pipes=(1,))
    assert descriptors(one.pid)[0] == "/memfd:http (deleted)"


def test_who_has_the_foreground_has_our_stdin(start: Start) -> None:
    """And leads a group in our session, which has the terminal."""
    one = start(spec("sleep", "1000", foreground=True), pipes=(1,))
    assert descriptors(one.pid)[0] == descriptors()[0]
    assert (os.getsid(one.pid), os.getpgid(one.pid)) == (os.getsid(0), one.pid)


# --- output


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        ("inherit", "inherit", (1, 2)),
        ("inherit", "stdout", (1, 1)),
        ("null", "inherit", (None, 2)),
        ("console", "capture", (None, None)),
        ("/var/log/web.log", "stdout", (None, None)),
    ],
)
def test_output_without_a_pipe_is_the_supervisors_or_nowhere(
    start: Start, stdout: str, stderr: str, expected: tuple[int | None, int | None]
) -> None:
    """Pipes are brought along by each start."""
    one = start(spec("sleep", "1000", output=OutputSpec(stdout=stdout, stderr=stderr)), pipes=(0,))
    ours, held = descriptors(), descriptors(one.pid)
    assert [held[1], held[2]] == [os.devnull if n is None else ours[n] for n in expected]


# --- attributes


def test_attributes_arrive(start: Start) -> None:
    """Each is tried for itself in tests/linux; here they go the whole way."""
    cpu = max(os.sched_getaffinity(0))
    one = start(
        spec(
            attributes=Attributes(
                umask=0o027,
                nice=3,
                io_class=2,
                io_priority=6,
                cpus=(cpu,),
                oom_score_adjust=77,
                no_new_privs=True,
            )
        )
    )
    one.ready()
    look = status(one.pid)
    assert look["Umask"] == "0027"
    assert os.getpriority(os.PRIO_PROCESS, one.pid) == 3
    assert os.sched_getaffinity(one.pid) == {cpu}
    assert Path(f"/proc/{one.pid}/oom_score_adj").read_text() == "77\n"
    assert look["NoNewPrivs"] == "1"


def test_what_is_not_asked_for_is_as_with_us(start: Start) -> None:
    one = start(spec())
    one.ready()
    look, ours = status(one.pid), status(os.getpid())
    same = ("Umask", "NoNewPrivs", "Cpus_allowed_list", "CapBnd", "CapAmb", "Uid", "Gid", "Groups")
    assert {name: look[name] for name in same} == {name: ours[name] for name in same}
    assert os.getpriority(os.PRIO_PROCESS, one.pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_the_limit_of_open_files_is_what_it_was_before_we_raised_it(start: Start) -> None:
    """A program that uses select(2) breaks above 1024."""
    assert resource.prlimit(start(spec()).pid, resource.RLIMIT_NOFILE) == (123, 456)


def test_limits(start: Start) -> None:
    """-1 is infinity; the configuration counts for more than what is inherited."""
    files, core = resource.RLIMIT_NOFILE, resource.RLIMIT_CORE
    hard = resource.getrlimit(core)[1]
    one = start(spec(attributes=Attributes(rlimits=((files, 20, 30), (core, 0, hard)))))
    assert resource.prlimit(one.pid, files) == (20, 30)
    assert resource.prlimit(one.pid, core) == (0, hard)


@needs_root
def test_user_and_groups(start: Start) -> None:
    """The user's group and groups, unless others are named; more are added."""
    attributes = Attributes(user="nobody", group="daemon", supplementary_groups=("mail", "77"))
    one = start(spec(attributes=attributes))
    one.ready()
    look = status(one.pid)
    assert look["Uid"].split() == [str(NOBODY)] * 4
    assert look["Gid"].split() == ["1"] * 4
    assert set(look["Groups"].split()) == {str(NOBODY), "8", "77"}


@needs_root
def test_groups_without_a_user_are_added_to_ours(start: Start) -> None:
    one = start(spec(attributes=Attributes(supplementary_groups=("mail",))))
    one.ready()
    assert status(one.pid)["Groups"].split() == [*map(str, sorted({*os.getgroups(), 8}))]


@needs_root
def test_a_user_without_an_entry_is_a_number(start: Start) -> None:
    """The kernel needs none; there are no variables to set."""
    one = start(spec(attributes=Attributes(user="4242")))
    assert "USER" not in variables(one)
    look = status(one.pid)
    assert (look["Uid"].split()[0], look["Gid"].split()[0], look["Groups"]) == ("4242", "4242", "")


@needs_root
def test_capabilities(start: Start) -> None:
    """The bounding set is what can be had, the ambient one what is had without being root."""
    attributes = Attributes(
        user="nobody", bounding=1 << NET_BIND_SERVICE, ambient=1 << NET_BIND_SERVICE
    )
    one = start(spec(attributes=attributes))
    one.ready()
    look = status(one.pid)
    held = {int(look[name], 16) for name in ("CapBnd", "CapPrm", "CapEff", "CapAmb")}
    assert held == {1 << NET_BIND_SERVICE}


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (Attributes(user="nobody2"), "user 'nobody2': there is no such user"),
        (Attributes(group="nobody2"), "group 'nobody2': there is no such group"),
        (Attributes(supplementary_groups=("x-y",)), "group 'x-y': there is no such group"),
    ],
)
def test_who_does_not_exist_is_named(start: Start, attributes: Attributes, text: str) -> None:
    """The slot tells it, and tries again later: an account may be made meanwhile."""
    with pytest.raises(LookupError, match=f"^{text}$"):
        start(spec(attributes=attributes))
