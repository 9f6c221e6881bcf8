"""Descriptors that systemd passes to a service: sd_listen_fds_with_names(3).

First come the sockets of the service's socket units, by FileDescriptorName=, then what is
in its file descriptor store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from pidsup.errors import PidsupError

_FIRST = 3  # SD_LISTEN_FDS_START
_NO_NAMES = "unknown"  # what systemd calls descriptors that have no names
_MOST_DIGITS = 20  # of 64 bits
_CANNOT = "cannot take descriptors from systemd"
_VARIABLES = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID")


class BadVariables(PidsupError):
    """The variables contradict themselves, or what is open."""


class Descriptor(NamedTuple):
    """One that was passed; names may be shared."""

    fd: int
    name: str


class Passed(NamedTuple):
    """All that were passed, in systemd's order."""

    descriptors: tuple[Descriptor, ...] = ()
    missing: str = "systemd has passed none"  #: why there are none, if there are none


def take(environ: MutableMapping[str, str]) -> Passed:
    """Take the descriptors over, close-on-exec from now on, and remove the variables.

    None are there where the variables are meant for another process, which has started
    this one.  BadVariables where they cannot be true; the caller owns the descriptors.
    """
    told = {name: environ.pop(name) for name in _VARIABLES if name in environ}
    missing = _why_not_ours(told)
    if missing is not None:
        return Passed(missing=missing)
    count = _number(told, "LISTEN_FDS")
    for fd in range(_FIRST, _FIRST + count):
        _close_on_exec(fd, count)
    names = _names(told, count)
    return Passed(tuple(Descriptor(_FIRST + n, name) for n, name in enumerate(names)))


def _why_not_ours(told: Mapping[str, str]) -> str | None:
    """Return why these variables mean no descriptors of ours, None if they do."""
    if "LISTEN_FDS" not in told:
        return "LISTEN_FDS is not set, so systemd has passed none"
    if "LISTEN_PID" not in told:
        return "LISTEN_PID is not set, so those of LISTEN_FDS are of another process"
    pid = _number(told, "LISTEN_PID")
    if pid != os.getpid():
        return (
            f"LISTEN_PID says that they are of process {pid}, and this is {os.getpid()}: "
            "let ExecStart= begin with pidsup, or its shell with exec"
        )
    inode = _number(told, "LISTEN_PIDFDID") if "LISTEN_PIDFDID" in told else None
    if inode not in (None, own_pidfd_inode()):
        return "LISTEN_PIDFDID says that they are of an earlier process of this number"
    return None


def own_pidfd_inode() -> int:
    """Return what tells this process from all others of its number, before and after."""
    from pidsup.linux.pidfd import pidfd_open

    fd = pidfd_open(os.getpid())
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def _names(told: Mapping[str, str], count: int) -> list[str]:
    names = told.get("LISTEN_FDNAMES")
    found = [_NO_NAMES] * count if names is None else names.split(":")
    if not count or len(found) != count:
        raise BadVariables(
            f"{_CANNOT}: LISTEN_FDS is {count}, LISTEN_FDNAMES {names!r}: "
            "there must be a name for each, and one at least"
        )
    return found


def _number(told: Mapping[str, str], name: str) -> int:
    text = told[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise BadVariables(f"{_CANNOT}: {name} is {text!r}, not a number")
    return int(text)


def _close_on_exec(fd: int, count: int) -> None:
    try:
        os.set_inheritable(fd, False)
    except (OSError, OverflowError) as error:
        raise BadVariables(
            f"{_CANNOT}: LISTEN_FDS is {count}, but descriptor {fd} is not open"
        ) from error
