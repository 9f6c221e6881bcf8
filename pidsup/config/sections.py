"""From what the files say to complete sections: every option with its value.

Pure.  What is wrong is noted, and has its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from pidsup.config.document import Document
from pidsup.config.environment_file import read_assignments
from pidsup.config.expand import fill, literal, names_in
from pidsup.config.hints import foreign, hint
from pidsup.config.kind import Path, Value, Wrong
from pidsup.config.kinds import NAME_RULE, is_name
from pidsup.config.option import AT_LOAD, REQUIRED, Option
from pidsup.config.options import CONTROL, IMPLIED, SOCKET, SUPERVISOR, WATCHER
from pidsup.config.problem import Findings, Problem

SECTIONS = ("supervisor", "control", "sockets", "watchers")


class World(NamedTuple):
    """What reading a configuration needs beside it."""

    environment: Mapping[str, str]  #: the supervisor's own
    directory: str  #: where relative paths begin: that of the main file
    read: Callable[[str], str]  #: OSError, UnicodeDecodeError


def read_sections(
    document: Document, findings: Findings, world: World, default_name: str
) -> dict[str, Value]:
    """Return the expanded configuration, config/model.py."""
    reader = _Reader(document, findings, world)
    for key in document.content:
        if key not in SECTIONS:
            findings.error((key,), f"unknown section{hint(key, SECTIONS)}")
    supervisor = reader.section(("supervisor",), document.content.get("supervisor", {}), SUPERVISOR)
    name = supervisor["name"] or default_name
    if not is_name(name):
        findings.error(("supervisor", "name"), f"cannot be {name!r}: {NAME_RULE}; set it here")
    control = reader.section(("control",), document.content.get("control", {}), CONTROL)
    sockets = reader.named("sockets", SOCKET)
    watchers = reader.named("watchers", WATCHER)
    if not document.content.get("watchers"):
        findings.error((), "has no watchers: add a section [watchers.NAME] with a command")
    for watcher, values in watchers.items():
        reader.complete(watcher, values)
    return {
        "name": name,
        "files": [*document.files],
        "supervisor": supervisor,
        "control": control,
        "sockets": dict(sockets),
        "watchers": dict(watchers),
    }


class _Reader:
    """Reads sections, and notes what is wrong with them."""

    def __init__(self, document: Document, findings: Findings, world: World) -> None:
        self._document = document
        self._findings = findings
        self._world = world

    def named(self, kind: str, options: Mapping[str, Option]) -> dict[str, dict[str, Any]]:
        """Read all sections of a kind, [watchers.NAME]."""
        sections = self._document.content.get(kind, {})
        if not isinstance(sections, dict):
            self._findings.error((kind,), f"must be a table of tables, [{kind}.NAME]")
            return {}
        for name in sections:
            if not is_name(name):
                self._findings.error((kind, name), f"cannot use the name {name!r}: {NAME_RULE}")
        return {
            name: self.section((kind, name), section, options) for name, section in sections.items()
        }

    def section(
        self, path: Path, section: object, options: Mapping[str, Option]
    ) -> dict[str, Value]:
        """Read one section, with defaults for what it does not say."""
        values = {key: option.default_value() for key, option in options.items()}
        if not isinstance(section, dict):
            self._findings.error(path, f"must be a table, [{'.'.join(map(str, path))}]")
            return values
        for key, value in section.items():
            if key not in options:
                self._findings.error((*path, key), f"unknown option{foreign(key, options)}")
                continue
            try:
                values[key] = self._value(options[key], value, (*path, key))
            except Wrong as error:
                for where, text in error.reasons:
                    self._findings.error((*path, key, *where), text)
        for key, option in options.items():
            if option.default is REQUIRED and key not in section:
                self._findings.error(path, f"has no {key}: add {key} = ...")
        return values

    def _value(self, option: Option, value: object, path: Path) -> Value:
        if option.fills == AT_LOAD:
            value = self._filled(value, path)
        return option.kind.parse(value)

    def _filled(self, value: object, path: Path) -> Any:
        """Fill the variables of the environment in; raises Wrong for one that is not set."""
        if isinstance(value, list):
            return [self._filled(item, (*path, i)) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        names = names_in([value])
        for name in names:
            if name.removeprefix("env.") not in self._world.environment:
                raise Wrong(((), unknown_variable(name)))
        return fill(value, self._values(names))

    def _values(self, names: set[str]) -> dict[str, str]:
        environment = self._world.environment
        return {n: environment[n[4:]] for n in names if n[4:] in environment}

    # --- watchers

    def complete(self, watcher: str, values: dict[str, Any]) -> None:
        """Take the defaults that others imply, make paths absolute, read the environment files."""
        self._imply(watcher, values)
        for key in ("stdout", "stderr"):
            if "/" in values[key]:
                values[key] = self._absolute(values[key])
        if values["working_directory"] is not None:
            values["working_directory"] = self._absolute(values["working_directory"])
        read: dict[str, str] = {}
        for i, file in enumerate(values["environment_file"]):
            path = ("watchers", watcher, "environment_file", i)
            dash = "-" * file.startswith("-")
            full = self._absolute(file.removeprefix("-"))
            values["environment_file"][i] = dash + full
            read.update(self._variables(full, path, may_be_missing=bool(dash)))
        values["environment"] = {**read, **values["environment"]}

    def _imply(self, watcher: str, values: dict[str, Any]) -> None:
        for option, defaults in IMPLIED.items():
            for key, default in defaults.items() if values[option] else ():
                if not self._document.says("watchers", watcher, key):
                    values[key] = WATCHER[key].kind.parse(default)

    def _absolute(self, path: str) -> str:
        if fill(path, self._values(names_in([path]))).startswith("/"):
            return path
        return str(PurePosixPath(literal(self._world.directory), path))

    def _variables(self, file: str, path: Path, *, may_be_missing: bool) -> dict[str, str]:
        try:
            text = self._world.read(file)
        except FileNotFoundError as error:
            if not may_be_missing:
                why = f"{error.strerror}: create it, or put a - before it if it may be missing"
                self._findings.error(path, f"cannot read {file!r}: {why}")
            return {}
        except OSError as error:
            self._findings.error(path, f"cannot read {file!r}: {error.strerror}")
            return {}
        except UnicodeDecodeError:
            self._findings.error(path, f"{file!r} is not UTF-8")
            return {}
        assignments, flaws = read_assignments(text)
        for flaw in flaws:
            self._findings.add(Problem("", flaw.text, flaw.line, file))
        for one in assignments:
            self._document.note((*path[:2], "environment", one.name), file, one.line)
        return {one.name: one.value for one in assignments}


def unknown_variable(name: str) -> str:
    """Word what is wrong with a placeholder of the environment, "env.HOME"."""
    return (
        f"{{{name}}} names a variable that pidsup's own environment does not have: set it there, "
        f"or write {{{{{name}}}}} if no placeholder is meant"
    )
