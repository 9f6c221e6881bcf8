"""A simulated process; who changes it is `machine`."""

from __future__ import annotations

from enum import Enum

from pidsup.kernel import Exit
from tests.simulation.natures import Nature


class Status(Enum):
    """How far a process has come."""

    ALIVE = "alive"
    ZOMBIE = "zombie"
    GONE = "gone"


class Process:
    """A process, as a group and a session what they are called by too."""

    __slots__ = (
        "born_at",
        "children",
        "doomed",
        "ended",
        "generation",
        "group",
        "held",
        "inode",
        "kin",
        "members",
        "nature",
        "parent",
        "pid",
        "session",
        "status",
        "stops",
        "suspended",
        "tree",
    )

    def __init__(self, pid: int, inode: int, nature: Nature, born_at: float) -> None:
        """Only Machine makes these."""
        self.pid = pid
        self.inode = inode
        self.nature = nature
        self.born_at = born_at
        self.status = Status.ALIVE
        self.ended: Exit | None = None
        self.doomed = False  # the end is already on its way
        self.suspended = False  # by SIGSTOP
        self.stops = False  # SIGSTOP is on its way
        self.held: list[int] = []  # signals that wait for SIGCONT
        self.generation = 0
        self.parent: Process = self
        self.group: Process = self
        self.session: Process = self
        self.tree: Process | None = None  # the worker that it descends from, or is
        self.children: dict[Process, None] = {}  # in the kernel's order
        self.members: dict[Process, None] = {}  # of the group that it leads or led
        self.kin: dict[Process, None] = {}  # of a worker: what is not gone of its tree

    def __repr__(self) -> str:
        """Tell two of the same number apart."""
        return f"{self.pid}.{self.inode}"
