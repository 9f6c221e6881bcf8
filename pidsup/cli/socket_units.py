"""What stands in the unit files of a configuration's sockets, systemd.socket(5).

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pidsup.cli.unit_files import CannotInstall
from pidsup.config.address import is_path, is_unix, name_and_index
from pidsup.config.options import SOCKET

DROP_IN = "sockets.conf"  #: of a service, which names its sockets
_LISTEN = {
    "stream": "ListenStream",
    "datagram": "ListenDatagram",
    "seqpacket": "ListenSequentialPacket",
}
_NOT_OF_A_UNIT = ("listen", "systemd", "type", "blocking")  # the last is the supervisor's to set


def instance(stem: str) -> str:
    """Return the service of the configuration STEM.toml.

    A name that a supervisor can have needs no escape, systemd.unit(5).
    """
    return "pidsup.service" if stem == "pidsup" else f"pidsup@{stem}.service"


def of_sockets(stem: str, sockets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return units for sockets that are systemd's and say where they listen, and their drop-in.

    By path below the directory of units; sockets are as a configuration has them, expanded.
    Those that share a name are of one unit, which passes them in its order.
    """
    service = instance(stem)
    groups: dict[str, list[tuple[int, str]]] = {}
    for key, values in sockets.items():
        if values["systemd"] and values["listen"]:
            name, index = name_and_index(values["systemd"])
            groups.setdefault(name, []).append((index or 0, key))
    files = {}
    for name, members in groups.items():
        keys = [key for _, key in sorted(members)]
        unit = f"pidsup-{stem}-{keys[0]}.socket"
        files[unit] = _socket_unit(stem, service, name, {key: sockets[key] for key in keys})
    if files:
        files[f"{service}.d/{DROP_IN}"] = f"[Service]\nSockets={' '.join(files)}\n"
    return files


def _socket_unit(
    stem: str, service: str, name: str, sockets: Mapping[str, Mapping[str, Any]]
) -> str:
    addresses = [_listen(key, values) for key, values in sockets.items()]
    first, *others = map(_settings, sockets.values())
    if any(other != first for other in others):
        raise CannotInstall(
            f"cannot install a socket unit for {', '.join(sockets)}: systemd passes them by one "
            f"name, {name!r}, so they are of one unit, which has one set of options: let them "
            "have the same, or different names"
        )
    lines = [
        "[Unit]",
        f"Description=Socket {_literal(name)} of pidsup supervisor {stem}",
        "",
        "[Socket]",
        *addresses,
        f"FileDescriptorName={_literal(name)}",
        f"Service={service}",
        *first,
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]
    return "\n".join(lines) + "\n"


def _listen(key: str, values: Mapping[str, Any]) -> str:
    listen = values["listen"]
    if not is_unix(listen):
        host, colon, port = listen.rpartition(":")
        if host and not host.startswith("[") and not _is_ipv4(host):
            raise CannotInstall(
                f"cannot install a socket unit for {key}: systemd takes no names of hosts, "
                f"{listen!r}: write its address"
            )
        if int(port) == 0:
            raise CannotInstall(
                f"cannot install a socket unit for {key}: systemd chooses no port, {listen!r}: "
                "write a port"
            )
        listen = f"{host}{colon}{int(port)}"  # with a zero in front it would be octal
    return f"{_LISTEN[values['type']]}={_literal(listen)}"


def _literal(text: str) -> str:
    """Return a value that means just this text, systemd.syntax(7)."""
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise CannotInstall(
            f"cannot install a socket unit with {text!r}: in a unit no value has control "
            "characters, spaces around it or a backslash at its end: change it"
        )
    return text.replace("%", "%%")


def _is_ipv4(host: str) -> bool:
    return host.replace(".", "").isdecimal()


def _settings(values: Mapping[str, Any]) -> Sequence[str]:
    """Return what differs from the defaults, which are systemd's too, in systemd's words."""
    lines = [
        f"{option.systemd}{_worded(key, values[key])}"
        for key, option in SOCKET.items()
        if key not in _NOT_OF_A_UNIT and values[key] != option.default_value()
    ]
    return [*lines, "RemoveOnStop=yes"] if is_path(values["listen"]) else lines


def _worded(key: str, value: Any) -> str:
    if key == "ipv6_only":
        return "ipv6-only"
    if key == "mode":
        return f"{value:04o}"
    return "yes" if value is True else _literal(str(value))
