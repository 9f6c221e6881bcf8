"""What the daemon makes of its own process."""

from __future__ import annotations

import os

from pidsup.linux import prctl


def become_supervisor() -> None:
    """Adopt the orphans of the workers, and be called pidsup in ps(1)."""
    prctl.become_subreaper()
    prctl.set_name("pidsup")


def may_have_strangers() -> bool:
    """Tell whether workers may be of users that cannot pass our own directories: root's they can.

    A runtime directory is in one that systemd or we have made for our user alone.
    """
    return os.geteuid() != 0 and prctl.may_change_user()
