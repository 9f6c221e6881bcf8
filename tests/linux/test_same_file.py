"""Whether two descriptors are copies of one, asked of the kernel and below Linux 6.10."""

from __future__ import annotations

import errno
import fcntl
import os
import socket

import pytest

from pidsup.linux.same_file import is_copy
from tests.support import needs_linux


@needs_linux(6, 10)
def test_a_copy_is_told_from_another_opening_of_the_same_file() -> None:
    """The position is shared with the one, not with the other."""
    with open("/etc/passwd", "rb") as one, open("/etc/passwd", "rb") as other:
        copy = os.dup(one.fileno())
        assert is_copy(one.fileno(), copy)
        assert not is_copy(one.fileno(), other.fileno())
        os.close(copy)


def test_below_linux_6_10_sockets_are_known_by_their_inode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a file nothing is known: it may have been opened twice."""

    def refuse(fd: int, command: int, other: int) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    one, other = socket.socketpair()
    with one, other, one.dup() as copy, open(os.devnull, "rb") as file:
        again = os.dup(file.fileno())
        assert is_copy(one.fileno(), copy.fileno())
        assert not is_copy(one.fileno(), other.fileno())
        assert not is_copy(file.fileno(), again)
        os.close(again)
