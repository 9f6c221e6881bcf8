"""The program that reads a supervisor's configuration again, on its behalf.

`python -m pidsup.cli.reread FILE VERSION`.  Standard input has what is in force, as
{"expanded": ...}, config/model.py; descriptor 3 gets what supervisor.rereading.Reading is made
of, which can be standard input the next time.  It runs as the supervisor does: same user,
same environment, same directory.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pidsup import __version__
from pidsup.cli.checks import machine
from pidsup.config.diff import differences
from pidsup.config.load import read
from pidsup.supervisor.rereading import FOUND_FD


def main(path: str, version: str) -> int:
    """Read, check as `pidsup check` does, compare, and tell."""
    in_force = json.load(sys.stdin)["expanded"]
    with open(FOUND_FD, "w", encoding="ascii") as found:
        json.dump(told(path, version, in_force), found)
    return 0


def told(path: str, version: str, in_force: dict[str, Any]) -> dict[str, Any]:
    """Return what there is to tell of the file."""
    if version != __version__:  # it may have options that the supervisor has not heard of
        why = f"pidsup {__version__} is installed, and {version} runs: restart the supervisor"
        return _answer([f"cannot read the configuration: {why}"], [])
    expanded, findings = read(path)
    if expanded is not None:
        machine.check(expanded, findings)
    problems = findings.in_order()
    errors = [str(problem) for problem in problems if not problem.is_warning]
    warnings = [str(problem) for problem in problems if problem.is_warning]
    if errors or expanded is None:
        return _answer(errors, warnings)
    return {
        **_answer([], warnings),
        "expanded": expanded,
        "differences": differences(in_force, expanded),
    }


def _answer(errors: list[str], warnings: list[str]) -> dict[str, Any]:
    return {"errors": errors, "warnings": warnings, "expanded": None, "differences": []}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
