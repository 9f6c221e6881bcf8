"""Who may do what: roles by the credentials that the kernel gives of a peer.

SO_PEERCRED of unix(7) has user and group, SO_PEERGROUPS the supplementary groups, all
of the instant when the peer connected.  Names are looked up once: a directory service
that hangs must not be asked while a client waits.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import NamedTuple

from pidsup.config.model import Access

_UCRED = struct.Struct("iII")  # pid, uid, gid
_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no name for it
_MOST_GROUPS_BYTES = 1024  # what getsockopt() of Python takes: 256 groups


class Role(IntEnum):
    """What somebody may do; each includes those before it."""

    NONE = 0
    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """Return its name in the interface and in the configuration."""
        return self.name.lower()


class Peer(NamedTuple):
    """Who is at the other end of a connection."""

    pid: int
    uid: int
    gids: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """Return who has connected.

    Of more than 256 supplementary groups none is known: such a peer has the rights of its
    user and of its first group.
    """
    pid, uid, gid = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS_BYTES)
    except OSError:  # ERANGE: they are more
        data = b""
    groups = struct.unpack(f"{len(data) // 4}I", data)
    return Peer(pid, uid, frozenset((gid, *groups)))


class Roles:
    """The roles of users and groups; root and the supervisor's own user are admin."""

    def __init__(self, users: Mapping[int, Role], groups: Mapping[int, Role]) -> None:
        """Keep what `resolve` has found."""
        self._users = {**users, 0: Role.ADMIN, os.geteuid(): Role.ADMIN}
        self._groups = groups

    def of(self, peer: Peer) -> Role:
        """Return the highest role that the user, or one of the groups, has."""
        roles = (self._groups[gid] for gid in self._groups.keys() & peer.gids)
        return max(self._users.get(peer.uid, Role.NONE), *roles, Role.NONE)


def resolve(access: Access) -> Roles:
    """Look the names up; who does not exist, of which `cli.checks` warns, has no role."""
    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    for role, account in _accounts(access):
        ids = groups if account.startswith("@") else users
        with suppress(KeyError):
            number = _number(account)
            ids[number] = max(role, ids.get(number, Role.NONE))
    return Roles(users, groups)


def _accounts(access: Access) -> Iterator[tuple[Role, str]]:
    given: Iterable[tuple[Role, Iterable[str]]] = zip(
        (Role.READ, Role.OPERATE, Role.ADMIN), access, strict=True
    )
    for role, accounts in given:
        for account in accounts:
            yield role, account


def _number(account: str) -> int:
    """Return the uid, or the gid of "@GROUP"; KeyError when there is none of that name."""
    name = account.removeprefix("@")
    if name.isdecimal():
        return int(name)
    return grp.getgrnam(name).gr_gid if account != name else pwd.getpwnam(name).pw_uid
