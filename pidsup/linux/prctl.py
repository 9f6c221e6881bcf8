"""prctl(2): what a process says about itself.

The only module that imports python-prctl, which is GPL: what ships both is
bound by the GPL, so nothing but the daemon may come here (import-linter).
"""

from __future__ import annotations

import prctl


def become_subreaper() -> None:
    """Adopt the orphans of our descendants, PR_SET_CHILD_SUBREAPER."""
    prctl.set_child_subreaper(1)


def may_change_user() -> bool:
    """Tell whether we may start processes as other users, CAP_SETUID of capabilities(7)."""
    return bool(prctl.cap_effective.setuid)


def set_name(name: str) -> None:
    """Name this process as ps(1) and top(1) show it, PR_SET_NAME; 15 bytes count."""
    prctl.set_name(name)
