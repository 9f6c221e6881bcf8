"""Roots of other Debians, made by debootstrap and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest


def debian_root(suite: str, packages: Sequence[str], limit_s: float, name: str = "") -> Path:
    """Return the root of a Debian, made if it is not there yet; skip where that is not possible.

    One that has other packages has another *name*.
    """
    if os.geteuid() != 0:
        pytest.skip(f"*** needs root, to make the root of Debian {suite} ***")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidsup-tests"
    root = cache / (name or suite)
    if not root.exists():
        if shutil.which("debootstrap") is None:
            why = f"*** no Debian {suite}: there is no debootstrap ***"
            assert not os.environ.get("CI"), why
            pytest.skip(why)
        why = _make(root, suite, packages, limit_s)
        if why:  # the archive cannot be reached, or is slow
            pytest.skip(f"*** no Debian {suite}: {why} ***")
    return root


def _make(root: Path, suite: str, packages: Sequence[str], limit_s: float) -> str:
    """Make the root; return why that is not possible."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / "root"
        limited = ["timeout", "--kill-after=5", f"{limit_s:g}"]
        wanted = f"--include={','.join(packages)}"
        command = ["debootstrap", "--variant=minbase", wanted, suite, str(made)]
        done = subprocess.run([*limited, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}"
        made.rename(root)  # whole, or not at all
    return ""
