"""Read a configuration: TOML, strict, every problem found in one go.

Runs in a process of its own before the daemon (see `cli.run`), so that
nothing imported here stays in memory.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pidsup.config.kinds import Value
from pidsup.config.options import CONTROL, REQUIRED, SOCKET, SUPERVISOR, WATCHER, Option
from pidsup.config.problem import ConfigError, Problem
from pidsup.config.where import line_of, lines_of_keys
from pidsup.errors import CycleError
from pidsup.policy.order import start_order

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_SECTIONS = ("supervisor", "control", "sockets", "watchers")
_AT_LINE = re.compile(r"(.*) \(at line (\d+), column \d+\)")


def load(path: Path) -> dict[str, Value]:
    """Return the expanded configuration in the file (config/model.py has its shape).

    ConfigError has all that is wrong with it.
    """
    try:
        document = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = Problem("", f"cannot read the configuration: {error.strerror}", file=str(path))
        raise ConfigError((problem,)) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError((Problem("", "is not UTF-8", line, str(path)),)) from error
    return parse(document, file=str(path), default_name=path.stem)


def parse(document: str, *, file: str, default_name: str) -> dict[str, Value]:
    """Return the expanded configuration in *document*; *file* is for messages."""
    try:
        raw = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        where = _AT_LINE.fullmatch(str(error))
        text = where[1] if where else str(error)
        line = int(where[2]) if where else None
        text = f"not valid TOML: {text[:1].lower()}{text[1:]}"
        raise ConfigError((Problem("", text, line, file),)) from error
    reader = _Reader(file, lines_of_keys(document))
    expanded = reader.read(raw, default_name)
    if reader.problems:
        raise ConfigError(reader.in_order(), expanded)
    return expanded


class _Reader:
    """Walks a document and collects problems."""

    def __init__(self, file: str, lines: dict[tuple[str, ...], int]) -> None:
        self._file = file
        self._lines = lines
        self.problems: list[Problem] = []

    def complain(self, path: Iterable[str], text: str) -> None:
        path = tuple(path)
        self.problems.append(Problem(".".join(path), text, line_of(self._lines, path), self._file))

    def in_order(self) -> tuple[Problem, ...]:
        return tuple(sorted(self.problems, key=lambda problem: problem.line or 0))

    def read(self, raw: Mapping[str, object], default_name: str) -> dict[str, Value]:
        for key in raw:
            if key not in _SECTIONS:
                self.complain((key,), f"unknown section{_hint(key, _SECTIONS)}")
        supervisor = self._section(("supervisor",), raw.get("supervisor", {}), SUPERVISOR)
        name = supervisor["name"] or default_name
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self.complain(
                ("supervisor", "name"), f"cannot use the name {name!r}: {_NAME_RULE}; set it here"
            )
        watchers = raw.get("watchers", {})
        if not isinstance(watchers, dict):
            self.complain(("watchers",), "must be a table of tables, [watchers.NAME]")
            watchers = {}
        elif not watchers:
            self.complain((), "has no watchers: add a section [watchers.NAME] with a command")
        expanded: dict[str, Value] = {
            watcher: self._watcher(watcher, section) for watcher, section in watchers.items()
        }
        self._check_after(expanded)
        sockets = raw.get("sockets", {})
        if not isinstance(sockets, dict):
            self.complain(("sockets",), "must be a table of tables, [sockets.NAME]")
            sockets = {}
        return {
            "name": name,
            "files": [self._file],
            "supervisor": supervisor,
            "control": self._section(("control",), raw.get("control", {}), CONTROL),
            "sockets": {
                socket: self._section(("sockets", socket), section, SOCKET)
                for socket, section in sockets.items()
            },
            "watchers": expanded,
        }

    def _watcher(self, name: str, section: object) -> dict[str, Value]:
        path = ("watchers", name)
        if not NAME.fullmatch(name):
            self.complain(path, f"cannot use the name {name!r}: {_NAME_RULE}")
        values = self._section(path, section, WATCHER)
        if isinstance(section, dict) and values["stop_plan"] is not None:
            for key in ("stop_signal", "stop_timeout"):
                if key in section:
                    self.complain((*path, key), "has no effect beside stop_plan: remove one")
        return values

    def _section(
        self, path: tuple[str, ...], section: object, options: Mapping[str, Option]
    ) -> dict[str, Value]:
        values = {key: option.default for key, option in options.items()}
        if not isinstance(section, dict):
            self.complain(path, f"must be a table, [{'.'.join(path)}]")
            return values
        for key, value in section.items():
            option = options.get(key)
            if option is None:
                self.complain((*path, key), f"unknown option{_foreign(key, options)}")
                continue
            try:
                values[key] = option.kind.parse(value)
            except ValueError as error:
                self.complain((*path, key), f"{error}, not {value!r}")
        for key, option in options.items():
            if option.default is REQUIRED and key not in section:
                self.complain(path, f"has no {key}: add {key} = ...")
        return values

    def _check_after(self, watchers: Mapping[str, Value]) -> None:
        after: dict[str, list[str]] = {}
        for name, values in watchers.items():
            assert isinstance(values, dict)  # noqa: S101  what _section returns
            wanted = values["after"]
            assert isinstance(wanted, list)  # noqa: S101  what its kind returns
            after[name] = [str(other) for other in wanted if other in watchers]
            for other in wanted:
                if other not in watchers:
                    self.complain(
                        ("watchers", name, "after"),
                        f"there is no watcher {other!r}{_hint(str(other), watchers)}",
                    )
        try:
            start_order(list(watchers), after)
        except CycleError as error:
            self.complain(
                ("watchers", error.cycle[0], "after"),
                f"waits for itself: {error}; remove one of these",
            )


_NAME_RULE = "1 to 63 letters, digits, '_', '-' and '.', the first a letter, digit or '_'"


def _foreign(key: str, options: Mapping[str, Option]) -> str:
    """Say what Circus' or systemd's name for an option is called here."""
    for name, option in options.items():
        systemd = option.systemd.rstrip("=")
        if key.lower() in (option.circus, systemd.lower(), _snake(systemd)) and key:
            return f": it is called {name!r} here"
    return _hint(key, options)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f", did you mean {close[0]!r}?"
    return "; known are " + ", ".join(known) if len(known) <= 5 else ""
