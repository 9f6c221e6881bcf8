"""What stands in unit files: those that come with pidsup, and those of a configuration's sockets.

Pure.  The files in units/ are as the newest systemd and a package of a distribution have
them; here they are made to fit an older one, and where pidsup is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pidsup.config.address import is_path, is_unix, name_and_index
from pidsup.config.options import SOCKET
from pidsup.errors import PidsupError

OLDEST = 252  #: systemd that pidsup works with
DROP_IN = "sockets.conf"  #: of a service, which names its sockets

#: Lines that older versions do not know, and what stands there instead.
_SINCE = {
    "Type=notify-reload": (253, "Type=notify\n"),
    "RestartSteps=": (254, ""),
    "RestartMaxDelaySec=": (254, ""),
}
_LISTEN = {
    "stream": "ListenStream",
    "datagram": "ListenDatagram",
    "seqpacket": "ListenSequentialPacket",
}
_NOT_OF_A_UNIT = ("listen", "systemd", "type", "blocking")  # the last is the supervisor's to set
_SEAL = re.compile(r"# Written by pidsup install-units, sha256 ([0-9a-f]{16});.*\n")


class CannotInstall(PidsupError):
    """There is no unit for this."""


class Place(NamedTuple):
    """Where the units will be, and what they call."""

    pidsup: str  #: as in ExecStart=
    pidsupctl: str
    version: int  #: of systemd
    has_pages: bool  #: whether man finds ours


def fitted(text: str, place: Place) -> str:
    """Return a unit as this systemd understands it, with the paths of this pidsup."""
    lines = []
    for line in text.splitlines(keepends=True):
        fits = _fitted(line, place)
        fits = fits.replace("/usr/bin/pidsup ", f"{place.pidsup} ")
        lines.append(fits.replace("/usr/bin/pidsupctl ", f"{place.pidsupctl} "))
    return "".join(lines)


def _fitted(line: str, place: Place) -> str:
    for beginning, (since, instead) in _SINCE.items():
        if line.startswith(beginning) and place.version < since:
            return instead
    if line.startswith("Documentation=man:") and not place.has_pages:
        return ""  # or `systemd-analyze verify` complains
    return line


def quoted(path: str) -> str:
    """Return a program as ExecStart= has to begin with it; a $ is not special there.

    systemd.service(5), "Command lines".
    """
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if re.fullmatch(r"[\w./@%+:-]+", path) else f'"{escaped}"'


# --- files that are still as they were written


def sealed(text: str) -> str:
    """Return a file's text behind a line that tells whether somebody has changed it since."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    how = "add to it by a drop-in"
    return f"# Written by pidsup install-units, sha256 {digest}; {how}.\n{text}"


def is_as_written(text: str) -> bool:
    """Tell whether a file is as `sealed` has made it, by this version or another."""
    seal = _SEAL.match(text)
    return seal is not None and sealed(text[seal.end() :]).startswith(seal[0][: seal.end(1)])


# --- sockets


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
