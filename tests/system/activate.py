"""Open sockets, and become a command that gets them as systemd passes them.

python activate.py NAME=ADDRESS... -- COMMAND...; ADDRESS is a path, udp, or tcp: 127.0.0.1
and a free port.  The variables are as sd_listen_fds(3) has them, but where they are set already.
"""

from __future__ import annotations

import os
import socket
import sys

FIRST = 3


def opened(address: str) -> socket.socket:
    """Return a socket that listens, if its kind does."""
    if address == "udp":
        one = socket.socket(type=socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        return one
    if address == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    one = socket.socket(socket.AF_UNIX)
    one.bind(address)
    one.listen()
    return one


def main(arguments: list[str]) -> None:
    """Do it."""
    end = arguments.index("--")
    wanted = [one.partition("=") for one in arguments[:end]]
    sockets = [opened(address) for _, _, address in wanted]
    spare = [os.dup2(one.fileno(), 100 + n) for n, one in enumerate(sockets)]
    for n, fd in enumerate(spare):
        os.dup2(fd, FIRST + n)
        os.set_inheritable(fd, False)
    os.environ.setdefault("LISTEN_FDS", str(len(sockets)))
    os.environ.setdefault("LISTEN_FDNAMES", ":".join(name for name, _, _ in wanted))
    os.environ.setdefault("LISTEN_PID", str(os.getpid()))
    os.execvp(arguments[end + 1], arguments[end + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
