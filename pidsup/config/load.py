"""Read a configuration: TOML, strict, every problem found in one go.

Runs in a process of its own before the daemon (see `cli.run`), so that
nothing imported here stays in memory.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pidsup.config.checks import check
from pidsup.config.document import Document, NotToml
from pidsup.config.kind import Value
from pidsup.config.problem import ConfigError, Findings, Problem
from pidsup.config.sections import World, read_sections

_STDIN = "standard input"
_MOST_BYTES = 1 << 24  # of a file: 100,000 watchers; not all of /dev/zero


class Reading(NamedTuple):
    """What became of reading a configuration."""

    expanded: dict[str, Value] | None  #: config/model.py has its shape; None if it is not TOML
    findings: Findings  #: what is wrong with it; where that is an error, expanded has a default


def load(path: str | Path) -> dict[str, Value]:
    """Return the expanded configuration; ConfigError has all that is wrong with it."""
    return _good(read(path))


def parse(document: str, *, file: str, default_name: str) -> dict[str, Value]:
    """Return the expanded configuration in *document*; *file* is for messages."""
    whole = Document()
    findings = Findings(whole)
    _add(whole, lambda _: document, file, findings)
    return _good(_reading(whole, findings, default_name, Path.cwd()))


def read(path: str | Path) -> Reading:
    """Read the file and its drop-ins: of shop.toml, shop.d/*.toml in lexical order.

    As text, because a Path forgets the slash at its end, which only a directory may have.

    "-" is standard input, which has none; its supervisor is called pidsup.
    """
    document = Document()
    findings = Findings(document)
    path = str(path)
    if path == "-":
        _add(document, lambda _: sys.stdin.read(), _STDIN, findings)
        return _reading(document, findings, "pidsup", Path.cwd())
    for file in (path, *_drop_ins(path, findings)):
        _add(document, _read, file, findings)
    return _reading(document, findings, Path(path).stem, Path(path).absolute().parent)


def _good(reading: Reading) -> dict[str, Value]:
    if reading.expanded is None or reading.findings.has_errors:
        raise ConfigError(reading.findings.in_order())
    return reading.expanded


def _add(document: Document, read: Callable[[str], str], file: str, findings: Findings) -> None:
    try:
        document.add(read(file), file)
    except OSError as error:
        text = f"cannot read the configuration: {error.strerror}"
        findings.add(Problem("", text, file=file or "''"))
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        findings.add(Problem("", "is not UTF-8", line, file))
    except NotToml as error:
        findings.add(Problem("", str(error), error.line, file))


def _reading(document: Document, findings: Findings, default_name: str, directory: Path) -> Reading:
    if findings.has_errors:  # what a file would have said is missing: all else is a guess
        return Reading(None, findings)
    world = World(os.environ, str(directory), _read)
    expanded = read_sections(document, findings, world, default_name)
    files = [str(Path(file).absolute()) for file in document.files if file != _STDIN]
    expanded["files"] = list[Value](files)
    check(expanded, document, findings, world.environment)
    return Reading(expanded, findings)


def _drop_ins(path: str, findings: Findings) -> list[str]:
    folder = os.path.splitext(path)[0] + ".d"
    try:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    except OSError as error:
        text = f"cannot read the directory of drop-ins: {error.strerror}"
        findings.add(Problem("", text, file=folder))
        return []
    return [
        os.path.join(folder, name) for name in names if name.endswith(".toml") and name[0] != "."
    ]


def _read(file: str) -> str:
    with open(file, "rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8-sig")  # Windows editors begin with a BOM
