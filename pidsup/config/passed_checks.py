"""Sockets that systemd passes: options that are its unit's, names that clash.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from pidsup.config.address import name_and_index
from pidsup.config.document import Document
from pidsup.config.options import SOCKET
from pidsup.config.problem import Findings

#: What means something for a socket that is open already.
_HERE = ("systemd", "type", "blocking")


def check_passed(sockets: Mapping[str, Any], document: Document, findings: Findings) -> None:
    """Note what is wrong with sockets that are systemd's."""
    for name in sockets:
        if document.says("sockets", name, "listen"):
            continue
        if document.says("sockets", name, "systemd"):
            _check_options(name, document, findings)
        else:
            findings.error(("sockets", name), "has neither listen nor systemd: say where to listen")
    taken = {name: values["systemd"] for name, values in sockets.items() if values["systemd"]}
    for one, other in combinations(taken, 2):
        _check_names(one, other, taken, findings)


def _check_options(name: str, document: Document, findings: Findings) -> None:
    for key, option in SOCKET.items():
        if key not in _HERE and document.says("sockets", name, key):
            findings.error(
                ("sockets", name, key),
                f"is for the socket unit to say, {option.systemd}: remove it here, or add `listen` "
                "for where systemd passes none",
            )


def _check_names(one: str, other: str, taken: Mapping[str, str], findings: Findings) -> None:
    (name, index), (other_name, other_index) = (name_and_index(taken[n]) for n in (one, other))
    if name != other_name:
        return
    path = ("sockets", other, "systemd")
    if index == other_index:
        findings.error(path, f"is what socket {one!r} takes already: change one")
    elif None in (index, other_index):
        how = f'number both, "{name}:0" and "{name}:1"'
        findings.error(path, f"shares its name with socket {one!r}: {how}")
