"""`pidsupctl stdio`: standard input and output are the supervisor's socket, for ssh."""

from __future__ import annotations

import os
import select
import socket
from threading import Thread

from pidsup.cli.ctl.arguments import Given
from pidsup.cli.ctl.endings import OK
from pidsup.cli.ctl.reach import reach

_PIECE = 1 << 16


def run(given: Given) -> int:
    """Copy both ways until the supervisor hangs up."""
    given.host = None  # it is us who are the far end
    with reach(given) as client, socket.socket(fileno=os.dup(client.fileno())) as connection:
        Thread(target=_send, args=(connection,), daemon=True).start()
        while _is_wanted(connection) and (data := _received(connection)):
            _write(data)
    return OK


def _send(connection: socket.socket) -> None:
    try:
        while data := os.read(0, _PIECE):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:  # the other direction sees it, too
        return


def _is_wanted(connection: socket.socket) -> bool:
    """Wait for an answer; False when nobody is there any more to take it."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(1, 0)  # errors are told in any case: sshd has closed it
    return 1 not in [fd for fd, _ in poll.poll()]


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_PIECE)
    except ConnectionResetError:
        return b""


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
