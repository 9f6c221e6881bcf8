"""fcntl(2), F_DUPFD_QUERY: whether two descriptors are copies of one."""

from __future__ import annotations

import fcntl
import os
import stat

_F_DUPFD_QUERY = 1027  # Linux 6.10


def is_copy(fd: int, other: int) -> bool:
    """Tell whether both mean the same open file.

    Below Linux 6.10 that is known of sockets only, which have an inode each.
    """
    try:
        return bool(fcntl.fcntl(fd, _F_DUPFD_QUERY, other))
    except OSError:
        return stat.S_ISSOCK(os.fstat(fd).st_mode) and os.path.sameopenfile(fd, other)
