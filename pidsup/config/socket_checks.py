"""Sockets: options that have no effect, addresses in conflict, and who uses which.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from pidsup.config.address import is_path, is_unix
from pidsup.config.document import Document
from pidsup.config.hints import hint
from pidsup.config.passed_checks import check_passed
from pidsup.config.problem import Findings

#: Options of sockets with an address and a port; those of TCP alone; those of paths.
_OF_PORTS = ("reuse_port", "ipv6_only", "free_bind", "bind_to_device")
_OF_TCP = ("nodelay", "keepalive")
_OF_PATHS = ("mode", "user", "group")


def check_sockets(
    sockets: Mapping[str, Any],
    watchers: Mapping[str, Any],
    document: Document,
    findings: Findings,
) -> None:
    """Note what is wrong with the sockets, and with what watchers say of them."""
    check_passed(sockets, document, findings)
    good = {name: values for name, values in sockets.items() if values["listen"] is not None}
    for name, values in good.items():
        _check_options(name, values, document, findings)
    for one, other in combinations(good, 2):
        if _collide(good[one], good[other]):
            findings.error(
                ("sockets", other, "listen"),
                f"is the address of socket {one!r} already: change one"
                + ("" if is_unix(good[one]["listen"]) else ", or set reuse_port in both"),
            )
    used = {user for name, values in watchers.items() for user in _used(values)}
    for name in sockets:
        if name not in used:
            findings.warning(
                ("sockets", name), "no watcher uses it: name it in `sockets` of one, or remove it"
            )
    for name, values in watchers.items():
        _check_use(name, values, sockets, findings)


def _used(values: Mapping[str, Any]) -> list[str]:
    return [*values["sockets"], *filter(None, [values["stdin_socket"]])]


def _check_options(
    name: str, values: Mapping[str, Any], document: Document, findings: Findings
) -> None:
    listen, kind = values["listen"], values["type"]
    if kind == "seqpacket" and not is_unix(listen):
        findings.error(
            ("sockets", name, "type"), "seqpacket needs a path or an abstract name in `listen`"
        )
    for key, why in _without_effect(listen, kind).items():
        if document.says("sockets", name, key):
            findings.error(("sockets", name, key), f"has no effect {why}: remove it")


def _without_effect(listen: str, kind: str) -> dict[str, str]:
    """Return the options that mean nothing for such a socket, and why."""
    found: dict[str, str] = {}
    if is_unix(listen):
        what = "a path" if is_path(listen) else "an abstract name"
        found |= dict.fromkeys((*_OF_PORTS, *_OF_TCP), f"for {what}, only for ports")
    if not is_path(listen):
        found |= dict.fromkeys(_OF_PATHS, "for what is no path")
    if kind == "datagram":
        found["backlog"] = "for datagrams, which have no connections"
        found |= {key: found.get(key, "for datagrams") for key in _OF_TCP}
    if _is_ipv4(listen.rpartition(":")[0]):
        found["ipv6_only"] = "for an IPv4 address"
    return found


def _is_ipv4(host: str) -> bool:
    return host.replace(".", "").isdecimal()


def _collide(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if is_unix(one["listen"]) or is_unix(other["listen"]):
        return bool(one["listen"] == other["listen"])
    if (one["type"] == "datagram") != (other["type"] == "datagram"):
        return False
    if one["reuse_port"] and other["reuse_port"]:
        return False
    devices = {one["bind_to_device"], other["bind_to_device"]} - {None}
    (host, port), (other_host, other_port) = map(_host_and_port, (one, other))
    return len(devices) < 2 and port == other_port != 0 and _overlap(host, other_host)


def _host_and_port(values: Mapping[str, Any]) -> tuple[str, int]:
    host, _, port = values["listen"].rpartition(":")
    if host == "[::]" and not values["ipv6_only"]:
        host = ""
    elif host == "" and values["ipv6_only"]:
        host = "[::]"
    return host, int(port)


def _overlap(one: str, other: str) -> bool:
    """Tell whether two hosts have an address in common; "" is all of both families."""
    if one == other or "" in (one, other):
        return True
    same_family = one.startswith("[") == other.startswith("[")
    return same_family and bool({"0.0.0.0", "[::]"} & {one, other})  # noqa: S104  compares


def _check_use(
    name: str, values: Mapping[str, Any], sockets: Mapping[str, Any], findings: Findings
) -> None:
    stdin = values["stdin_socket"]
    for i, socket in enumerate(values["sockets"]):
        if socket not in sockets:
            _unknown(("watchers", name, "sockets", i), socket, sockets, findings)
    for socket, times in Counter(values["sockets"]).items():
        if times > 1:
            findings.error(
                ("watchers", name, "sockets"), f"has {socket!r} {times} times: once is enough"
            )
    if stdin is not None and stdin not in sockets:
        _unknown(("watchers", name, "stdin_socket"), stdin, sockets, findings)
    if stdin in values["sockets"]:
        findings.error(
            ("watchers", name, "stdin_socket"), f"{stdin!r} is in `sockets` too: remove one"
        )


def _unknown(
    path: tuple[str | int, ...], socket: str, sockets: Mapping[str, Any], findings: Findings
) -> None:
    near = hint(socket, sockets) or f": add a section [sockets.{socket}] with `listen`"
    findings.error(path, f"there is no socket {socket!r}{near}")
