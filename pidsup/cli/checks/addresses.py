"""Whether this machine can listen on the configured addresses, now: for `check`.

An address in use is a warning: the supervisor of this very configuration may hold it.
Nothing is said where systemd is to pass it: then that ought to hold it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping
from typing import Any

from pidsup.config.address import is_path, is_unix
from pidsup.config.kind import Path
from pidsup.config.model import SocketSpec, socket_spec
from pidsup.config.problem import Findings
from pidsup.linux.holders import Holder
from pidsup.watcher.sockets import holder_of, try_port


def check_addresses(expanded: Mapping[str, Any], findings: Findings) -> None:
    """Note which sockets cannot be bound."""
    for name, values in expanded["sockets"].items():
        path = ("sockets", name)
        device = values["bind_to_device"]
        if device is not None and device not in {known for _, known in socket.if_nameindex()}:
            findings.error(
                (*path, "bind_to_device"),
                f"there is no network interface {device!r}: correct the name",
            )
        elif values["listen"] is not None and not findings.is_wrong(path):
            look = _look_at_name if is_unix(values["listen"]) else _look_at_port
            look((*path, "listen"), socket_spec(name, values), findings)


def _look_at_name(path: Path, spec: SocketSpec, findings: Findings) -> None:
    holder = holder_of(spec)
    if holder is not None:
        _note_use(path, spec, holder, findings)
    elif is_path(spec.listen) and _is_other_than_socket(spec.listen):
        findings.error(path, f"{spec.listen!r} exists and is no socket: remove it")


def _is_other_than_socket(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _look_at_port(path: Path, spec: SocketSpec, findings: Findings) -> None:
    host, _, port = spec.listen.rpartition(":")
    try:
        try_port(spec)
    except socket.gaierror as error:
        findings.error(path, f"cannot resolve {host!r}: {error.strerror}: correct the name")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _note_use(path, spec, holder_of(spec), findings)
        elif error.errno == errno.EADDRNOTAVAIL:
            what = f"this machine does not have the address of {spec.listen!r}"
            findings.error(path, f"{what}: correct it, or set free_bind")
        elif error.errno == errno.EACCES:
            what = f"port {port} needs root, or the capability net_bind_service"
            findings.error(path, f"{what}: take a port from 1024")
        else:
            findings.error(path, f"cannot listen on {spec.listen!r}: {error.strerror}")


def _note_use(path: Path, spec: SocketSpec, holder: Holder | None, findings: Findings) -> None:
    if spec.systemd is None:
        findings.warning(path, _in_use(spec, holder))


def _in_use(spec: SocketSpec, holder: Holder | None) -> str:
    if holder is None:
        return f"{spec.listen!r} is in use: fine if this supervisor is running"
    whose = f"by pid {holder.pid} ({holder.name})"
    return f"{spec.listen!r} is in use {whose}: fine if that is this supervisor, running"
