"""Where a supervisor is found: its runtime directory, or an abstract name without one."""

from __future__ import annotations

import os

SOCKET = "control.sock"


def base() -> str:
    """Return the directory that holds one directory per supervisor of this user."""
    if os.geteuid() == 0:
        return "/run/pidsup"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        return f"{runtime}/pidsup"
    # Not tempfile.gettempdir(): that module alone takes 4 ms to import.
    return f"{os.environ.get('TMPDIR') or '/tmp'}/pidsup-{os.geteuid()}"  # noqa: S108  rundir checks whose it is


def names() -> list[str]:
    """Return the names of the supervisors of this user that have a socket, dead ones too."""
    try:
        found = os.listdir(base())
    except OSError:
        found = []
    in_files = [name for name in found if os.path.exists(socket_path(name))]
    return sorted(in_files or _abstract_names())


def address(name: str) -> str:
    """Return where to connect to the supervisor of that name: a path, or NUL and a name."""
    path = socket_path(name)
    return path if os.path.exists(path) else abstract_address(name)


def socket_path(name: str) -> str:
    """Return the path of the socket of the supervisor of that name."""
    return f"{base()}/{name}/{SOCKET}"


def abstract_address(name: str) -> str:
    """Return the abstract address, unix(7), of a supervisor that has no writable directory.

    Containers that share a network (a pod does) see one another's: each has its own by
    the number of its pid namespace.
    """
    return f"{_abstract_start()}{name}"


def shown(socket_address: str) -> str:
    """Return an address for people: an abstract one begins with @."""
    return socket_address.replace("\0", "@", 1)


def _abstract_start() -> str:
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no /proc
        namespace = 0
    return f"\0pidsup-{os.geteuid()}-{namespace}/"


def _abstract_names() -> list[str]:
    start = " @" + _abstract_start()[1:]
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            found = {line.rpartition(start)[2].rstrip("\n") for line in file if start in line}
    except OSError:
        return []
    return [name for name in found if "/" not in name]  # the others are locks
