"""Placeholders that name nothing, and texts that were probably meant as placeholders.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pidsup.config.expand import NAMES, braces, is_doubled, is_placeholder
from pidsup.config.hints import nearest
from pidsup.config.kind import Path
from pidsup.config.option import AT_START
from pidsup.config.options import WATCHER
from pidsup.config.problem import Findings
from pidsup.config.sections import unknown_variable

_NEAR = 0.75  # of difflib: {slto}, {Slot}, {socket.http}, but not {print}
_WORD = re.compile(r"[\w.:-]+")
_OF_CIRCUS = re.compile(r"\$\(circus\.([\w.-]+)\)|\(\(circus\.([\w.-]+)\)\)")


def check_placeholders(
    expanded: Mapping[str, Any],
    findings: Findings,
    environment: Mapping[str, str],
) -> None:
    """Note what placeholders cannot be filled, and near misses."""
    for name, values in expanded["watchers"].items():
        own = [*values["sockets"], *filter(None, [values["stdin_socket"]])]
        if findings.is_wrong(("watchers", name, "sockets")):
            own = list(expanded["sockets"])  # whatever it was to be
        texts = _Texts(findings, environment, expanded["sockets"], own)
        for path, text in _strings_of(name, values, AT_START):
            texts.check(path, text)
        for path, text in _strings_of(name, values, ""):
            _check_other(path, text, findings)


def _strings_of(name: str, values: Mapping[str, Any], fills: str) -> Iterator[tuple[Path, str]]:
    """Yield the texts of all options that fill placeholders then, each with its place."""
    for key, option in WATCHER.items():
        if option.fills == fills:
            yield from _strings(("watchers", name, key), values[key])


def _strings(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strings((*path, i), item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings((*path, key), item)


class _Texts:
    """Checks the texts of one watcher in which placeholders are filled."""

    def __init__(
        self,
        findings: Findings,
        environment: Mapping[str, str],
        sockets: Iterable[str],
        own: Iterable[str],
    ) -> None:
        self._findings = findings
        self._environment = environment
        self._others = {f"sockets.{socket}" for socket in sockets} - set(own)
        self._known = [*NAMES, *(f"sockets.{socket}" for socket in own)]

    def check(self, path: Path, text: str) -> None:
        """Note what is wrong with one text."""
        for start, end in braces(text):
            name = text[start + 1 : end - 1]
            if not is_doubled(text, start, end) and _WORD.fullmatch(name):
                if self._is_known(name):
                    self._check_shell(path, text, start, end)
                else:
                    self._check_unknown(path, name)
        for match in _OF_CIRCUS.finditer(text):
            self._explain_circus(path, match)

    def _is_known(self, name: str) -> bool:
        return name in self._known or (
            name.startswith("env.") and name.removeprefix("env.") in self._environment
        )

    def _check_shell(self, path: Path, text: str, start: int, end: int) -> None:
        if text[start - 1 : start] == "$":
            inner = text[start:end]
            self._findings.warning(
                path,
                f"${inner} has a placeholder in it: write ${{{inner}}} if the shell's is meant",
            )

    def _check_unknown(self, path: Path, name: str) -> None:
        near = nearest(name.lower(), [*self._known, "env."], _NEAR)
        if name.startswith("env."):
            self._findings.error(path, unknown_variable(name))
        elif name in self._others:
            socket = name.removeprefix("sockets.")
            self._findings.error(
                path, f"{{{name}}} is no socket of this watcher: add {socket!r} to `sockets`"
            )
        elif is_placeholder(name):
            hint = f", did you mean {{{near}}}?" if near else f"; {{{{{name}}}}} is no placeholder"
            self._findings.error(path, f"{{{name}}} names a socket that does not exist{hint}")
        elif near:
            text = f"{{{name}}} names nothing and stays as it is, did you mean {{{near}}}?"
            self._findings.warning(path, text)

    def _explain_circus(self, path: Path, match: re.Match[str]) -> None:
        name = match[1] or match[2]
        ours = {"wid": "slot"}.get(name, name)
        hint = f": it is called {{{ours}}} here" if is_placeholder(ours) else ""
        self._findings.warning(path, f"{match[0]} is Circus' and stays as it is{hint}")


def _check_other(path: Path, text: str, findings: Findings) -> None:
    for start, end in braces(text):
        if is_placeholder(text[start + 1 : end - 1]):
            findings.error(path, f"{text[start:end]} is not filled in here: write what is meant")
