"""Tell the service manager above us how we are: sd_notify(3), to $NOTIFY_SOCKET.

sdnotify sends what is plain ASCII, which is nearly everything.  It knows Latin-1 at most,
so that a line in another language goes over its socket by our own hand.
"""

from __future__ import annotations

import select
from collections.abc import Mapping
from socket import socket

from sdnotify import SystemdNotifier

from pidsup.errors import BadAddress
from pidsup.systemd.notify import encode

VARIABLE = "NOTIFY_SOCKET"


class Notifier:
    """A way up that never blocks.  Owns its socket."""

    def __init__(self) -> None:
        """Connect to $NOTIFY_SOCKET; OSError when nobody is there."""
        # debug: it raises what it would hide otherwise.
        self._notifier = SystemdNotifier(debug=True)
        self._socket: socket = self._notifier.socket
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the socket, writable when a message would be taken."""
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        """Send what `notify.encode` has worded; BlockingIOError when the queue is full."""
        if message.isascii():
            self._notifier.notify(message.decode("ascii"))
        else:
            self._socket.send(message)

    def wait(self, patience_s: float) -> bool:
        """Wait until a message would be taken, at most this long; True if one would be."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(patience_s * 1000))

    def close(self) -> None:
        """Give up the socket; twice is once."""
        self._socket.close()


def is_set(environ: Mapping[str, str]) -> bool:
    """Tell whether there is a service manager to tell; BadAddress if it cannot be told."""
    address = environ.get(VARIABLE)
    if not address:
        return False
    if address[0] not in "/@":
        raise BadAddress(
            f"{VARIABLE} is {address!r}: only paths and abstract names (@) are supported, "
            "AF_VSOCK is not; unset it to run without telling anybody"
        )
    return True


def watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Return how often systemd wants to hear that process *pid* lives, None if it does not."""
    text = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid) or not text.isdecimal():
        return None
    return int(text) / 1e6 or None


def tell_once(patience_s: float = 0.5, **assignments: object) -> None:
    """Send one message and be done; OSError where nobody takes it in time."""
    notifier = Notifier()
    try:
        notifier.wait(patience_s)
        notifier.send(encode(**assignments))
    finally:
        notifier.close()
