"""What is loaded by what: start-up time and memory are features."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a new interpreter has after *statement*."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_pidsup_loads_nothing_else() -> None:
    assert loaded_by("import pidsup") - {"__future__"} == {"pidsup"}


@pytest.mark.parametrize(
    "module", ["asyncio", "psutil", "dataclasses", "inspect", "logging", "tomllib", "argparse",
               "difflib", "traceback", "tempfile", "subprocess", "pidsup.config.load"]
)  # fmt: skip
def test_the_daemon_does_not_hold_what_only_its_start_needs(module: str) -> None:
    statement = "import pidsup.cli.daemon, pidsup.control.server, pidsup.control.rundir"
    assert module not in loaded_by(statement)


@pytest.mark.parametrize(
    "module", ["typing", "shutil", "pidsup.linux._native", "_cffi_backend", "prctl",
               "pidsup.supervisor.supervisor", "pidsup.kernel", "pidsup.config.options"]
)  # fmt: skip
def test_the_command_line_imports_what_its_command_needs(module: str) -> None:
    assert module not in loaded_by("import pidsup.cli.pidsupctl")


def test_the_process_layer_is_free_of_the_daemon() -> None:
    """It is a library, and python-prctl's licence is the daemon's affair alone."""
    statement = "import pidsup.process.child, pidsup.process.spawner, pidsup.process.orphans"
    loaded = loaded_by(statement)
    assert not {name for name in loaded if name.startswith(("pidsup.supervisor", "pidsup.watcher"))}
    assert not loaded & {"prctl", "_prctl"}
