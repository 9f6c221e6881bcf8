"""passwd(5), group(5): numbers of users and groups; LookupError says who does not exist."""

from __future__ import annotations

import grp
import pwd


def uid_of(user: str) -> int:
    """Return the uid of a user; a number need not have an entry."""
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise no_such("user", user) from None


def gid_of(group: str) -> int:
    """Return the gid of a group; a number need not have an entry."""
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise no_such("group", group) from None


def no_such(kind: str, name: str) -> LookupError:
    """Word it."""
    return LookupError(f"{kind} {name!r}: there is no such {kind}")
