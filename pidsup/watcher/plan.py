"""From a watcher's configuration to the plan that its workers are started from."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple

from pidsup.config.model import WatcherSpec
from pidsup.kernel import Plan
from pidsup.linux.limits import OPEN_FILES

#: What belongs to the supervisor's own place under systemd; a worker would take
#: it for its own: sd_notify(3), sd_listen_fds(3), systemd.exec(5).
PROTOCOL_VARIABLES = frozenset(
    "NOTIFY_SOCKET LISTEN_FDS LISTEN_FDNAMES LISTEN_PID LISTEN_PIDFDID WATCHDOG_USEC WATCHDOG_PID "
    "MAINPIDFDID MANAGERPIDFDID SYSTEMD_EXEC_PID INVOCATION_ID JOURNAL_STREAM FDSTORE "
    "CREDENTIALS_DIRECTORY MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE".split()
)


class Surroundings(NamedTuple):
    """What the supervisor itself has, and its workers inherit or get back."""

    environment: Mapping[str, str]
    null_fd: int  #: /dev/null, open for reading and writing; borrowed
    open_files: tuple[int, int]  #: soft and hard limit before the supervisor raised its own


def surroundings(null_fd: int, open_files: tuple[int, int]) -> Surroundings:
    """Take them from this process."""
    environment = {k: v for k, v in os.environ.items() if k not in PROTOCOL_VARIABLES}
    return Surroundings(environment, null_fd, open_files)


def make_plan(spec: WatcherSpec, around: Surroundings) -> Plan:
    """Prepare the start of this watcher's workers.

    LookupError when the user or group does not exist (now).
    """
    environment = dict(around.environment)
    uid = gid = groups = None
    if spec.attributes.user is not None:
        uid, gid, groups = _user(spec.attributes.user, environment)
    if spec.attributes.group is not None:
        gid = _gid(spec.attributes.group)
        groups = [] if groups is None else groups
    environment.update(spec.environment)
    return Plan(
        spec.command,
        environment=environment,
        fds=(
            around.null_fd,
            around.null_fd if spec.output.stdout == "null" else 1,
            around.null_fd if spec.output.stderr == "null" else 2,
        ),
        cwd=spec.attributes.working_directory,
        rlimits=[(OPEN_FILES, *around.open_files)],
        uid=uid,
        gid=gid,
        groups=groups if os.geteuid() == 0 else None,
    )


def _user(user: str, environment: dict[str, str]) -> tuple[int, int, list[int]]:
    """Return uid, gid and groups; set the variables that systemd.exec(5) sets for User=."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():  # the kernel needs no entry
            return int(user), int(user), []
        raise LookupError(f"user {user!r}: there is no such user") from None
    environment.update(
        USER=entry.pw_name, LOGNAME=entry.pw_name, HOME=entry.pw_dir, SHELL=entry.pw_shell
    )
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def _gid(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"group {group!r}: there is no such group") from None
