"""Watchers on demand: options that do not go together, and sockets that are theirs alone.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pidsup.config.document import Document
from pidsup.config.problem import Findings


def check_activation(
    watchers: Mapping[str, Any],
    sockets: Mapping[str, Any],
    document: Document,
    findings: Findings,
) -> None:
    """Note what is wrong with on_demand, idle_timeout and accept."""
    for name, values in watchers.items():
        path = ("watchers", name)
        for key, why in _wrong(values, sockets):
            if key in ("on_demand", "accept", "idle_timeout") or document.says(*path, key):
                findings.error((*path, key), why)
    _check_sharing(watchers, findings)


def used(values: Mapping[str, Any]) -> list[str]:
    """Return the names of a watcher's sockets."""
    return [*values["sockets"], *filter(None, [values["stdin_socket"]])]


def _wrong(values: Mapping[str, Any], sockets: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield options, and what is wrong with them."""
    if values["accept"]:
        yield from _wrong_with_accept(values, sockets)
    elif values["on_demand"]:
        if not used(values):
            yield "on_demand", "has nothing to listen on: name a socket in `sockets`"
    elif values["idle_timeout"]:
        yield "idle_timeout", "has no effect without on_demand = true: add that, or remove it"
    if values["on_demand"] and values["foreground"]:
        yield "on_demand", "cannot be beside foreground: the terminal waits for nobody; remove one"


def _wrong_with_accept(
    values: Mapping[str, Any], sockets: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    names = used(values)
    if len(names) != 1:
        yield "accept", f"needs one socket in `sockets` or stdin_socket, not {len(names)}"
    elif names[0] in sockets and sockets[names[0]]["type"] == "datagram":
        yield "accept", f"needs connections, and {names[0]!r} is for datagrams: remove it"
    if not values["on_demand"]:
        yield "on_demand", "cannot be false beside accept: remove one"
    if values["idle_timeout"]:
        yield "idle_timeout", "has no effect beside accept, where each process ends by itself"
    if values["restart"] != "no":
        yield "restart", 'must be "no" beside accept: a connection cannot be had again; remove it'
    if values["critical"]:
        yield "critical", "has no effect beside accept, where processes come and go: remove it"
    if values["file_descriptor_store_max"]:
        yield "file_descriptor_store_max", "has no effect beside accept: there is no next worker"
    if values["stdin_socket"] is not None:
        yield "stdout", "has no effect beside accept: the connection is standard output; remove it"


def _check_sharing(watchers: Mapping[str, Any], findings: Findings) -> None:
    """Note shared sockets: what others accept does not wake it, and looks like its own."""
    for name, values in watchers.items():
        for socket in used(values) if values["on_demand"] else ():
            others = [n for n, v in watchers.items() if n != name and socket in used(v)]
            if others:
                key = "sockets" if socket in values["sockets"] else "stdin_socket"
                findings.error(
                    ("watchers", name, key),
                    f"has {socket!r}, which {others[0]!r} uses too: "
                    "that of a watcher on demand is its alone",
                )
