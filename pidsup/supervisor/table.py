"""The table: what a successor has to know of every slot, in a memory file.

Fixed-size records within pages, each written with one pwrite(2): a SIGKILL of
the supervisor tears none.  Nothing but tests reads it yet, and its format may
change freely until something does.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import NamedTuple

from pidsup.kernel import Kernel
from pidsup.policy.lifecycle import State
from pidsup.watcher.slot import Slot

MAGIC = b"pidsup\0\0"
FORMAT = 1
PAGE = 4096
#: magic, format, record size, boot id, pid namespace, instance id, starts since healthy
HEADER = struct.Struct("<8sII40sQ40sI")
#: used, state, watcher, slot, generation, serial, pid, restarts, inode, started at, since
RECORD = struct.Struct("<II64sIIQiIQdd8x")
assert PAGE % RECORD.size == 0  # noqa: S101  no record may cross a page

_NUMBERS = {state: number for number, state in enumerate(State)}
_STATES = tuple(State)


class Identity(NamedTuple):
    """Where numbers in the table mean something."""

    boot_id: str
    pid_namespace: int
    instance: str  #: of this supervisor


class Record(NamedTuple):
    """One slot as written."""

    watcher: str
    slot: int
    state: State
    generation: int
    serial: int
    pid: int  #: 0 without a worker
    inode: int  #: of its pidfd
    restarts: int
    started_at: float
    since: float


class Table:
    """Writes records.  Owns the memory file."""

    def __init__(self, kernel: Kernel, identity: Identity) -> None:
        """Make the file with its header."""
        self._kernel = kernel
        self.fd = kernel.store()
        self._free: list[int] = []
        self._end = 0
        header = HEADER.pack(
            MAGIC,
            FORMAT,
            RECORD.size,
            identity.boot_id.encode(),
            identity.pid_namespace,
            identity.instance.encode(),
            1,
        )
        kernel.pwrite(self.fd, header.ljust(PAGE, b"\0"), 0)

    def write(self, watcher: str, slot: Slot) -> None:
        """Write how the slot stands, giving it a record with the first."""
        if slot.record < 0:
            if self._free:
                slot.record = self._free.pop()
            else:
                slot.record = self._end
                self._end += 1
        slot.written = slot.state
        child = slot.child
        pid, inode, started_at = (0, 0, 0.0)
        if child is not None:
            pid, inode, started_at = child.pid, child.inode, child.started_at
        data = RECORD.pack(
            1,
            _NUMBERS[slot.state],
            watcher.encode(),
            slot.index,
            slot.generation,
            slot.serial,
            pid,
            slot.restarts,
            inode,
            started_at,
            slot.since,
        )
        self._kernel.pwrite(self.fd, data, PAGE + slot.record * RECORD.size)

    def drop(self, slot: Slot) -> None:
        """Free the slot's record."""
        if slot.record >= 0:
            record, slot.record, slot.written = slot.record, -1, None
            self._free.append(record)  # first: also when it cannot be wiped, the next overwrites it
            self._kernel.pwrite(self.fd, bytes(RECORD.size), PAGE + record * RECORD.size)

    def close(self) -> None:
        """Give up the file; twice is once."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self._kernel.close(fd)


def read(data: bytes) -> list[Record]:
    """Return the records in a table's content; ValueError when it is not one of ours."""
    magic, form, size = HEADER.unpack_from(data)[:3]
    if (magic, form, size) != (MAGIC, FORMAT, RECORD.size):
        raise ValueError("not a table of this format")
    found = []
    for (
        used,
        state,
        watcher,
        slot,
        generation,
        serial,
        pid,
        restarts,
        inode,
        at,
        since,
    ) in RECORD.iter_unpack(data[PAGE : PAGE + (len(data) - PAGE) // RECORD.size * RECORD.size]):
        if used:
            name = watcher.rstrip(b"\0").decode()
            found.append(
                Record(
                    name, slot, _STATES[state], generation, serial, pid, inode, restarts, at, since
                )
            )
    return found


def identity() -> Identity:
    """Find out who and where this process is; what only /proc tells is empty without it."""
    boot_id, pid_namespace = "", 0
    with suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot_id = file.read().strip()
        pid_namespace = os.stat("/proc/self/ns/pid").st_ino
    return Identity(boot_id, pid_namespace, os.urandom(16).hex())
