"""Put the supervisor's parts together and run them."""

from __future__ import annotations

import gc
import json
import os

from pidsup.cli.codes import FAILURE
from pidsup.config.model import config
from pidsup.control.paths import shown
from pidsup.control.rundir import RuntimeDirectory
from pidsup.control.server import Server
from pidsup.control.service import Service
from pidsup.errors import AlreadyRunning
from pidsup.kernel import LINUX
from pidsup.linux.limits import raise_open_files
from pidsup.log import StderrLog, die
from pidsup.loop.loop import EpollLoop
from pidsup.output.outputs import Outputs
from pidsup.supervisor.myself import become_supervisor
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.table import identity
from pidsup.watcher.plan import surroundings
from pidsup.watcher.sockets import Listeners


def serve(expanded: bytes) -> int:
    """Run the supervisor of an expanded configuration, JSON, and return its exit code."""
    settings = config(json.loads(expanded))
    loop = EpollLoop(LINUX)
    log = StderrLog(loop, LINUX)
    loop.on_error = log.bug
    try:
        directory = RuntimeDirectory(settings.name, public=any(settings.access))
    except (AlreadyRunning, OSError) as error:
        return die(f"cannot run {settings.name!r}: {error}", FAILURE)
    try:
        listeners = Listeners(settings.sockets)
    except (LookupError, OSError) as error:
        directory.close()
        return die(str(error), FAILURE)

    become_supervisor()
    outputs = Outputs(loop, log, console_format=settings.console_format)
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        loop.stop()

    supervisor = Supervisor(
        settings,
        loop=loop,
        kernel=LINUX,
        log=log,
        surroundings=surroundings(null_fd, raise_open_files(), listeners.fds),
        listeners=listeners,
        outputs=outputs,
        identity=identity(),
        on_end=end,
    )
    server = Server(directory, Service(supervisor), loop, log)
    log.info(
        "supervisor started", name=settings.name, pid=os.getpid(), socket=shown(directory.address)
    )
    supervisor.begin()
    gc.freeze()  # what is here now stays: the collector need not walk it again
    loop.run()
    log.info("supervisor ended", code=codes[0])
    server.close()
    directory.close()
    supervisor.close()
    outputs.close()
    listeners.close()
    log.close()
    loop.close()
    os.close(null_fd)
    return codes[0]
