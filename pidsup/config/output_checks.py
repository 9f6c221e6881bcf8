"""Where output goes: options that have no effect, and files that two would rotate.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pidsup.config.document import Document
from pidsup.config.expand import fill
from pidsup.config.problem import Findings

_OF_FILES = ("log_format", "log_max_size", "log_max_age", "log_keep", "log_compress")
_OF_PIPES = ("log_policy", "log_queue", "log_memory")


def check_outputs(watchers: Mapping[str, Any], document: Document, findings: Findings) -> None:
    """Note what is wrong with the output of watchers."""
    for name, values in watchers.items():
        _check_effect(name, values, document, findings)
    _check_shared(watchers, findings)


def _check_effect(
    name: str, values: Mapping[str, Any], document: Document, findings: Findings
) -> None:
    outputs = {values["stdout"], values["stderr"]}
    useless: dict[str, str] = {}
    if not any("/" in output for output in outputs):
        useless |= dict.fromkeys(_OF_FILES, "neither stdout nor stderr goes to a file")
    if outputs <= {"journal", "inherit", "null", "stdout"}:
        useless |= dict.fromkeys(_OF_PIPES, "pidsup does not see this output")
    for key, why in useless.items():
        path = ("watchers", name, key)
        if document.says(*path) and not findings.is_wrong(path):
            findings.warning(path, f"has no effect: {why}")


def _check_shared(watchers: Mapping[str, Any], findings: Findings) -> None:
    """Two watchers may write one file, but it is rotated in one way."""
    first: dict[str, tuple[str, tuple[object, ...]]] = {}
    for name, values in watchers.items():
        settings = tuple(values[key] for key in _OF_FILES)
        for key, file in _files(name, values):
            other, others = first.setdefault(file, (name, settings))
            if others != settings:
                differing = [
                    k for k, a, b in zip(_OF_FILES, settings, others, strict=True) if a != b
                ]
                findings.error(
                    ("watchers", name, key),
                    f"is a file of watcher {other!r} too, with another {' and '.join(differing)}: "
                    "make them equal, or use two files",
                )


def _files(name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("stdout", "stderr"):
        if "/" in values[key]:
            yield key, str(PurePosixPath(fill(values[key], {"watcher": name})))
