"""Where a supervisor is found: its runtime directory."""

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
    except FileNotFoundError:
        return []
    return sorted(name for name in found if os.path.exists(socket_path(name)))


def socket_path(name: str) -> str:
    """Return where the supervisor of that name listens."""
    return f"{base()}/{name}/{SOCKET}"
