"""Where simulated workers say how they are: the fake of `pidsup.kernel.NotifySocket`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pidsup.kernel import IN
from pidsup.systemd.notify_server import Received
from tests.simulation.poller import Description, PidDescription
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.kernel import FakeKernel

_MOST = 11  # unread datagrams; net.unix.max_dgram_qlen and one


class FakeNotifySocket(Description):
    """A queue of datagrams, with who sent them."""

    kind = "notify"
    capacity = _MOST

    def __init__(self, kernel: FakeKernel, address: str) -> None:
        self._kernel = kernel
        self._address = address
        self._queue: deque[tuple[Process, bytes, int]] = deque()
        self._fd = kernel.open(self)
        kernel.notify_sockets[address] = self

    def send(self, sender: Process, data: bytes, *, uid: int) -> bool:
        """Take a datagram, unless there are too many; the sender may be gone when it is read."""
        if len(self._queue) >= _MOST:
            return False
        self._queue.append((sender, data, uid))
        return True

    def ready(self) -> int:
        return IN if self._queue else 0

    def fileno(self) -> int:
        return self._fd

    def receive(self) -> Received | None:
        self._kernel.machine.tick()
        if not self._queue:
            return None
        sender, data, uid = self._queue.popleft()
        pidfd = self._kernel.open(PidDescription(sender))
        return Received(data, sender.pid, uid, pidfd, ())

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            del self._kernel.notify_sockets[self._address]
            self._kernel.close(fd)
