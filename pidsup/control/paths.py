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


def of_systemd(name: str) -> str | None:
    """Return the directory that systemd has made for us, None if it has not.

    That is RuntimeDirectory=pidsup/NAME, systemd.exec(5): others find it, whatever /tmp we see.
    """
    for path in os.environ.get("RUNTIME_DIRECTORY", "").split(":"):
        try:
            if path.endswith(f"/pidsup/{name}") and os.lstat(path).st_uid == os.geteuid():
                return path
        except OSError:
            continue
    return None


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


def abstract_address(name: str, uid: int | None = None) -> str:
    """Return the abstract address, unix(7), of a supervisor that has no writable directory.

    It is of user *uid*, or of ours.

    Containers that share a network (a pod does) see one another's: each has its own by
    the number of its pid namespace.
    """
    return f"\0pidsup-{os.geteuid() if uid is None else uid}-{_namespace()}/{name}"


def shown(socket_address: str) -> str:
    """Return an address for people: an abstract one begins with @."""
    return socket_address.replace("\0", "@", 1)


def meant(text: str) -> str:
    """Return the address that a person has written: what `shown` returns, or a path."""
    return text.replace("@", "\0", 1) if text.startswith("@") else text


def abstract() -> list[tuple[int, str]]:
    """Return user and name of each abstract address of this pid namespace.

    As it has them: anybody can bind any, so whose it is has to be looked at.
    """
    end = f"-{_namespace()}"
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            found = {line.rpartition(" @pidsup-")[2] for line in file if " @pidsup-" in line}
    except OSError:
        return []
    parts = [text.rstrip("\n").partition("/") for text in found]
    return sorted(
        (int(uid), name)
        for whose, _, name in parts
        if whose.endswith(end) and (uid := whose.removesuffix(end)).isdecimal()
        if "/" not in name  # the others are locks
    )


def _abstract_names() -> list[str]:
    return [name for uid, name in abstract() if uid == os.geteuid()]


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no /proc
        return 0
