"""How a supervisor has its configuration read again: by the program that it is itself."""

from __future__ import annotations

import os
import sys

from pidsup import __version__
from pidsup.supervisor.rereading import FileReader
from pidsup.supervisor.supervisor import Supervisor

#: As this process finds its modules, and not in the current directory.
PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:]; from pidsup.cli.reread import main; "
    "sys.exit(main(*sys.argv[1:3]))"
)


def let_apply(supervisor: Supervisor, in_force: bytes, null_fd: int) -> None:
    """Give it what reads its files, if there are any; *null_fd* is borrowed."""
    if supervisor.files:
        supervisor.applying.reader = FileReader(
            [sys.executable, "-c", PROGRAM, supervisor.files[0], __version__, *sys.path],
            in_force,
            environment=dict(os.environ),
            null_fd=null_fd,
            kernel=supervisor.kernel,
            loop=supervisor.loop,
            spawner=supervisor.spawner,
        )
