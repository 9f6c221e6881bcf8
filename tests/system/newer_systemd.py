"""Programs of a systemd that is newer than this machine's: in the root of a newer Debian.

Made once by debootstrap, and kept in the user's cache; that takes 40 s and 240 MB.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import LIMIT_S
from tests.system.debian import debian_root

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
    return NewerSystemd(debian_root(SUITE, ["systemd"], _MAKING_S))
