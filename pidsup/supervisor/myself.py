"""What the daemon makes of its own process."""

from __future__ import annotations

from pidsup.linux import prctl


def become_supervisor() -> None:
    """Adopt the orphans of the workers, and be called pidsup in ps(1)."""
    prctl.become_subreaper()
    prctl.set_name("pidsup")
