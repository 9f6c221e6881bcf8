"""getrlimit(2): the limits that pidsup changes for itself."""

from __future__ import annotations

import resource


def raise_open_files() -> tuple[int, int]:
    """Raise our soft limit of open files to the hard one; return what it was before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


OPEN_FILES = resource.RLIMIT_NOFILE
