"""Programs of a systemd that is newer than this machine's: in the root of a newer Debian.

Made once by debootstrap, and kept in the user's cache; that takes 40 s and 240 MB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support import LIMIT_S

SUITE = "trixie"  # systemd 257
_MAKING_S = 100  # less than pytest's limit of a test

# In mounts of its own, which end with it.
_RUN = """
mount --make-rprivate / &&
mount --bind "$2" "$1/mnt" &&
mount -t proc proc "$1/proc" &&
exec chroot "$@"
"""


class NewerSystemd:
    """A root with a newer systemd in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, directory: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of it, with *directory* at /mnt."""
        script = _RUN.replace('"$@"', '"$1" "${@:3}"')
        inside = ["unshare", "--mount", "bash", "-c", script, "bash", str(self.root), directory]
        return subprocess.run(
            [*inside, *command],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )


def newer_systemd() -> NewerSystemd:
    """Return it, made if it is not there yet; skip where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("*** needs root, to make the root of a newer systemd ***")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidsup-tests"
    root = cache / SUITE
    if not root.exists():
        if shutil.which("debootstrap") is None:
            why = "*** no newer systemd: there is no debootstrap ***"
            assert not os.environ.get("CI"), why
            pytest.skip(why)
        why = _make(root)
        if why:  # the archive cannot be reached, or is slow
            pytest.skip(f"*** no newer systemd: {why} ***")
    return NewerSystemd(root)


def _make(root: Path) -> str:
    """Make the root; return why that is not possible."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / "root"
        limited = ["timeout", "--kill-after=5", str(_MAKING_S)]
        command = ["debootstrap", "--variant=minbase", "--include=systemd", SUITE, str(made)]
        done = subprocess.run([*limited, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}"
        made.rename(root)  # whole, or not at all
    return ""
