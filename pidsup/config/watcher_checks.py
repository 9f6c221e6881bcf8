"""Options of watchers that do not go together.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pidsup.config.document import Document
from pidsup.config.hints import hint
from pidsup.config.problem import Findings
from pidsup.config.process_kinds import CAPABILITIES
from pidsup.errors import CycleError
from pidsup.policy.order import start_order

_IDLE = 3  # IOPRIO_CLASS_IDLE has no priorities, ioprio_set(2)


def check_watchers(watchers: Mapping[str, Any], document: Document, findings: Findings) -> None:
    """Note what is wrong with each watcher for itself, and with their order."""
    for name, values in watchers.items():
        _check_stopping(name, document, findings)
        _check_restarting(name, values, document, findings)
        _check_numbers(name, values, findings)
        _check_io(name, values, document, findings)
        _check_capabilities(name, values, findings)
    _check_foreground(watchers, findings)
    _check_after(watchers, findings)


def _check_stopping(name: str, document: Document, findings: Findings) -> None:
    for key in ("stop_signal", "stop_timeout"):
        if document.says("watchers", name, "stop_plan") and document.says("watchers", name, key):
            findings.error(("watchers", name, key), "has no effect beside stop_plan: remove one")


def _check_restarting(
    name: str, values: Mapping[str, Any], document: Document, findings: Findings
) -> None:
    path = ("watchers", name)
    if values["restart_delay"] > values["restart_max_delay"]:
        findings.error(
            (*path, "restart_delay"),
            f"is longer than restart_max_delay, {values['restart_max_delay']:g} s: raise that too",
        )
    if document.says(*path, "give_up_exit_code") and values["on_give_up"] != "exit":
        findings.error(
            (*path, "give_up_exit_code"),
            'has no effect without on_give_up = "exit": add that, or remove it',
        )


def _check_numbers(name: str, values: Mapping[str, Any], findings: Findings) -> None:
    for key in ("singleton", "foreground"):
        if values[key] and values["workers"] > 1:
            findings.error(
                ("watchers", name, "workers"),
                f"is {values['workers']} beside {key}, which means one at most: correct one",
            )


def _check_io(name: str, values: Mapping[str, Any], document: Document, findings: Findings) -> None:
    path = ("watchers", name, "io_scheduling_priority")
    if document.says(*path) and values["io_scheduling_class"] in (None, _IDLE):
        findings.error(
            path,
            'has no effect without io_scheduling_class = "best-effort" or "realtime": add one',
        )


def _check_capabilities(name: str, values: Mapping[str, Any], findings: Findings) -> None:
    bounding, ambient = values["capability_bounding_set"], values["ambient_capabilities"]
    if bounding is not None and ambient & ~bounding:
        outside = [c for i, c in enumerate(CAPABILITIES) if (ambient & ~bounding) >> i & 1]
        findings.error(
            ("watchers", name, "ambient_capabilities"),
            f"has {', '.join(outside)}, which capability_bounding_set takes away: correct one",
        )


def _check_foreground(watchers: Mapping[str, Any], findings: Findings) -> None:
    """There is one terminal, and one standard input."""
    holders = [name for name, values in watchers.items() if values["foreground"]]
    for name in holders[1:]:
        findings.error(
            ("watchers", name, "foreground"),
            f"is that of {holders[0]!r} already: there is one terminal",
        )
    for name in holders:
        if watchers[name]["stdin_socket"] is not None:
            findings.error(
                ("watchers", name, "stdin_socket"),
                "cannot be standard input beside foreground: remove one",
            )


def _check_after(watchers: Mapping[str, Any], findings: Findings) -> None:
    for name, values in watchers.items():
        for i, other in enumerate(values["after"]):
            if other not in watchers:
                findings.error(
                    ("watchers", name, "after", i),
                    f"there is no watcher {other!r}{hint(other, watchers)}",
                )
    after = {
        name: [other for other in values["after"] if other in watchers]
        for name, values in watchers.items()
    }
    for circle in _circles(list(watchers), after):
        findings.error(
            ("watchers", circle[0], "after"),
            f"waits for itself: {' -> '.join(circle)}; remove one of these",
        )


def _circles(names: list[str], after: dict[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Yield the circles one by one; each is opened to find the next."""
    while True:
        try:
            start_order(names, after)
        except CycleError as error:
            yield error.cycle
            for name, other in pairwise(error.cycle):
                after[name].remove(other)
        else:
            return
