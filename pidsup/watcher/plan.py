"""From a watcher's configuration to the plan that its workers are started from."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

from pidsup.config.expand import fill, names_in
from pidsup.config.model import Attributes, WatcherSpec
from pidsup.kernel import Plan
from pidsup.linux.accounts import gid_of, no_such
from pidsup.linux.limits import OPEN_FILES
from pidsup.linux.spawn import DEFAULT_PATH, EVERY_CAPABILITY

#: What belongs to the supervisor's own place under systemd; a worker would take
#: it for its own: sd_notify(3), sd_listen_fds(3), systemd.exec(5).
PROTOCOL_VARIABLES = frozenset(
    "NOTIFY_SOCKET LISTEN_FDS LISTEN_FDNAMES LISTEN_PID LISTEN_PIDFDID WATCHDOG_USEC WATCHDOG_PID "
    "MAINPIDFDID MANAGERPIDFDID SYSTEMD_EXEC_PID INVOCATION_ID JOURNAL_STREAM FDSTORE "
    "CREDENTIALS_DIRECTORY MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE".split()
)
_FIRST_SOCKET = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
_IN, _OUT, _ERR = 0, 1, 2


class Surroundings(NamedTuple):
    """What the supervisor itself has, and its workers inherit or get back."""

    environment: Mapping[str, str]  #: its own, all of it
    null_fd: int  #: /dev/null, open for reading and writing; borrowed
    open_files: tuple[int, int]  #: soft and hard limit before the supervisor raised its own
    listeners: Mapping[str, int] = {}  #: the descriptor of each socket; borrowed
    #: Where workers can talk to us, sd_notify(3): paths, or NUL and a name.
    notify_addresses: Iterator[str] = iter(())


def surroundings(
    null_fd: int, open_files: tuple[int, int], listeners: Mapping[str, int], notify: str
) -> Surroundings:
    """Take them from this process; *notify* is a directory, or NUL and a name."""
    addresses = (f"{notify}/{number}" for number in count(1))
    return Surroundings(dict(os.environ), null_fd, open_files, listeners, addresses)


def is_per_slot(spec: WatcherSpec) -> bool:
    """Tell whether each slot needs a plan of its own: {slot} stands in what a plan holds."""
    return "slot" in names_in(_texts(spec))


def make_plan(spec: WatcherSpec, around: Surroundings, values: Mapping[str, str]) -> Plan:
    """Prepare the start of this watcher's workers.

    *values* fill the placeholders watcher, generation and slot.  Output that needs a pipe
    goes nowhere: each start brings its own.  LookupError when there is no such user, group
    or variable (now).
    """
    return Plan(**ingredients(spec, around, values))


def ingredients(
    spec: WatcherSpec, around: Surroundings, values: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a plan is made from, as of make_plan: what Plan takes, by name."""
    attributes = spec.attributes
    numbers = socket_numbers(spec.sockets, spec.stdin_socket)
    values = {**values, **numbers, **_variables(spec, around)}
    environment = _inherited(spec, around)
    uid, gid, groups = credentials(attributes, environment)
    environment.update({name: fill(text, values) for name, text in spec.environment.items()})
    listen_fds = spec.listen_fds and bool(spec.sockets)
    if listen_fds:
        environment["LISTEN_FDS"] = str(len(spec.sockets))
        environment["LISTEN_FDNAMES"] = ":".join(spec.sockets)
    if spec.watchdog_s:
        # Without WATCHDOG_PID: whichever process of the worker likes can say that it lives.
        environment["WATCHDOG_USEC"] = str(round(spec.watchdog_s * 1e6))
    directory = attributes.working_directory
    return {
        "command": [fill(word, values) for word in spec.command],
        "environment": environment,
        "fds": _descriptors(spec, around),
        # A start adds those that are kept.
        "listen_pid": listen_fds or spec.fd_store_max > 0,
        "foreground": spec.foreground,
        "cwd": None if directory is None else fill(directory, values),
        "umask": attributes.umask,
        "nice": attributes.nice,
        "ioprio": _io_priority(attributes),
        "oom_score_adj": attributes.oom_score_adjust,
        "cpus": attributes.cpus,
        "rlimits": _limits(attributes, around),
        "uid": uid,
        "gid": gid,
        "groups": groups,
        "bounding": EVERY_CAPABILITY if attributes.bounding is None else attributes.bounding,
        "ambient": attributes.ambient,
        "no_new_privs": attributes.no_new_privs,
    }


# --- placeholders


def _texts(spec: WatcherSpec) -> Iterator[str]:
    """Yield what a plan holds and placeholders may stand in."""
    yield from spec.command
    yield from spec.environment.values()
    yield spec.attributes.working_directory or ""


def socket_numbers(sockets: Iterable[str], stdin_socket: str | None) -> dict[str, str]:
    """Return the descriptors of a watcher's sockets as placeholders have them."""
    numbers = {f"sockets.{name}": str(_FIRST_SOCKET + n) for n, name in enumerate(sockets)}
    if stdin_socket is not None:
        numbers.setdefault(f"sockets.{stdin_socket}", "0")
    return numbers


def _variables(spec: WatcherSpec, around: Surroundings) -> dict[str, str]:
    """Return the values of the supervisor's variables that are named, "env.HOME"."""
    wanted = [name for name in names_in(_texts(spec)) if name.startswith("env.")]
    try:
        return {name: around.environment[name.removeprefix("env.")] for name in wanted}
    except KeyError as error:
        name = error.args[0]
        raise LookupError(
            f"placeholder {{env.{name}}}: the supervisor has no variable {name!r}"
        ) from None


def _inherited(spec: WatcherSpec, around: Surroundings) -> dict[str, str]:
    if not spec.inherit_environment:
        return {"PATH": DEFAULT_PATH}
    found = {k: v for k, v in around.environment.items() if k not in PROTOCOL_VARIABLES}
    paths = found.pop("RUNTIME_DIRECTORY", "").split(":")
    if theirs := [path for path in paths if path and not _is_of_supervisor(path)]:
        found["RUNTIME_DIRECTORY"] = ":".join(theirs)
    return found


def _is_of_supervisor(path: str) -> bool:
    """Tell whether a runtime directory is that of a supervisor: its workers own nothing there."""
    return os.path.basename(os.path.dirname(path)) == "pidsup"


# --- descriptors


def _descriptors(spec: WatcherSpec, around: Surroundings) -> list[int]:
    if spec.foreground:
        stdin = _IN
    elif spec.stdin_socket is not None:
        stdin = around.listeners[spec.stdin_socket]
    else:
        stdin = around.null_fd
    stdout = _OUT if spec.output.stdout == "inherit" else around.null_fd
    stderr = _ERR if spec.output.stderr == "inherit" else around.null_fd
    if spec.output.stderr == "stdout":
        stderr = stdout
    return [stdin, stdout, stderr, *(around.listeners[name] for name in spec.sockets)]


# --- who it is


def credentials(
    attributes: Attributes, environment: dict[str, str]
) -> tuple[int | None, int | None, list[int] | None]:
    """Return uid, gid and groups, None to leave them; set the variables of the user.

    LookupError when there is no such user or group.
    """
    uid = gid = groups = None
    if attributes.user is not None:
        uid, gid, groups = _user(attributes.user, environment)
    if attributes.group is not None:
        gid = gid_of(attributes.group)
        groups = [] if groups is None else groups
    if os.geteuid() != 0 and uid in (None, os.geteuid()):  # it may not set them, but has them
        groups = None
    if attributes.supplementary_groups:
        groups = os.getgroups() if groups is None else groups
        groups = [*groups, *map(gid_of, attributes.supplementary_groups)]
    return uid, gid, groups


def _user(user: str, environment: dict[str, str]) -> tuple[int, int, list[int]]:
    """Return uid, gid and groups; set the variables that systemd.exec(5) sets for User=."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():  # the kernel needs no entry
            return int(user), int(user), []
        raise no_such("user", user) from None
    environment.update(
        USER=entry.pw_name, LOGNAME=entry.pw_name, HOME=entry.pw_dir, SHELL=entry.pw_shell
    )
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


# --- what it may use


def _limits(attributes: Attributes, around: Surroundings) -> list[tuple[int, int, int]]:
    limits = {OPEN_FILES: around.open_files}
    limits.update((which, (soft, hard)) for which, soft, hard in attributes.rlimits)
    return [(which, *both) for which, both in limits.items()]


def _io_priority(attributes: Attributes) -> tuple[int, int] | None:
    if attributes.io_class is None:
        return None
    return attributes.io_class, attributes.io_priority
