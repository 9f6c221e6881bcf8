"""Who may do what."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys

import pytest

from pidsup.config.model import Access
from pidsup.control.roles import Peer, Role, Roles, peer_of, resolve
from tests.support import LIMIT_S, needs_root

NOBODY = 54321


def role(roles: Roles, uid: int = NOBODY, *gids: int) -> Role:
    return roles.of(Peer(1, uid, frozenset(gids)))


def test_nobody_has_a_role_but_root_and_the_owner() -> None:
    roles = resolve(Access())
    assert role(roles, 0) is Role.ADMIN
    assert role(roles, os.geteuid()) is Role.ADMIN
    assert role(roles, NOBODY, 0, os.getegid()) is Role.NONE


def test_users_and_groups_are_named_or_numbered() -> None:
    roles = resolve(Access(read=("@1234", "nobody"), operate=("54321",)))
    assert role(roles, 65534) is Role.READ
    assert role(roles, 1) is Role.NONE
    assert role(roles, 1, 5, 1234) is Role.READ
    assert role(roles, NOBODY) is Role.OPERATE


def test_the_highest_role_counts() -> None:
    """Of a user in several lists, and of the groups that he is in."""
    roles = resolve(Access(read=("54321", "@10"), operate=("@11",), admin=("@12", "54322")))
    assert role(roles, 54321, 10) is Role.READ
    assert role(roles, 54321, 10, 11) is Role.OPERATE
    assert role(roles, 54321, 12, 11) is Role.ADMIN
    assert role(resolve(Access(admin=("54321",), read=("54321",)))) is Role.ADMIN


def test_a_name_that_does_not_exist_gives_nothing() -> None:
    """The supervisor runs all the same; who has the role by another name keeps it."""
    roles = resolve(Access(read=("no-such-user", "54321"), admin=("@no-such-group",)))
    assert role(roles) is Role.READ


def test_each_role_includes_those_before_it() -> None:
    assert Role.NONE < Role.READ < Role.OPERATE < Role.ADMIN
    assert [one.word for one in Role] == ["none", "read", "operate", "admin"]


# --- what the kernel says


CONNECT = """
import os, socket, sys
uid, gid, groups, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
os.setgroups([int(group) for group in groups.split(",") if group])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
peer = socket.socket(socket.AF_UNIX)
peer.connect(chr(0) + path)
peer.recv(1)
"""


def peer_with(uid: int, gid: int, *groups: int) -> Peer:
    """Have a process of that user connect; return what is known of it."""
    path = f"\0pidsup-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        listening.settimeout(LIMIT_S)
        wanted = ",".join(map(str, groups))
        command = [sys.executable, "-c", CONNECT, str(uid)]
        with subprocess.Popen([*command, str(gid), wanted, path[1:]]) as process:
            connection = listening.accept()[0]
            with connection:
                peer = peer_of(connection)
        assert process.returncode == 0
        assert peer.pid == process.pid
    return peer


@needs_root
@pytest.mark.parametrize("groups", [(), (700,), (700, 701, 4_000_000_000), tuple(range(700, 955))])
def test_the_kernel_tells_user_group_and_supplementary_groups(groups: tuple[int, ...]) -> None:
    peer = peer_with(54321, 54322, *groups)
    assert peer.uid == 54321
    assert peer.gids == {54322, *groups}


@needs_root
def test_numbers_may_be_large() -> None:
    """As those of directories and user namespaces are."""
    peer = peer_with(4_000_000_001, 4_000_000_002)
    assert peer.uid == 4_000_000_001
    assert peer.gids == {4_000_000_002}


@needs_root
def test_of_too_many_groups_only_the_first_is_known() -> None:
    """Never more rights than are due."""
    assert peer_with(54321, 54322, *range(700, 1000)).gids == {54322}


def test_the_number_of_peergroups_is_that_of_this_kernel() -> None:
    """Python has no name for it; a pair has our own."""
    one, other = socket.socketpair()
    with one, other:
        data = one.getsockopt(socket.SOL_SOCKET, 59, 1024)
    assert sorted(struct.unpack(f"{len(data) // 4}I", data)) == sorted(os.getgroups())
