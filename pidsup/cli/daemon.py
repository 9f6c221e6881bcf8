"""Put the supervisor's parts together and run them."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress

from pidsup.cli.again import let_apply
from pidsup.cli.codes import FAILURE
from pidsup.cli.failing import fail
from pidsup.config.expand import fill
from pidsup.config.model import Config, config
from pidsup.errors import AlreadyRunning, BadAddress
from pidsup.kernel import LINUX
from pidsup.linux.limits import raise_open_files
from pidsup.log import StderrLog
from pidsup.loop.loop import EpollLoop, Loop
from pidsup.output.journal import OurJournal, our_journal
from pidsup.output.outputs import Outputs
from pidsup.output.ring import STDERR
from pidsup.supervisor.myself import become_supervisor, may_have_strangers
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.table import identity
from pidsup.systemd.listen_fds import Passed
from pidsup.watcher.passed import SocketMismatch
from pidsup.watcher.plan import surroundings
from pidsup.watcher.sockets import Listeners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pidsup.log.journal import JournalLog


def serve(expanded: bytes, passed: Passed, *, one_command: bool = False) -> int:
    """Run the supervisor of an expanded configuration, JSON, and return its exit code.

    It owns what systemd has *passed*.  The code of `pidsup exec` says what is wrong as a
    shell would.
    """
    settings = config(json.loads(expanded))
    with ExitStack() as parts:
        loop = EpollLoop(LINUX)
        parts.callback(loop.close)
        journal = our_journal()
        log = _log(settings, loop, journal, one_command=one_command)
        parts.callback(log.close)
        loop.on_error = log.bug
        codes: list[int] = []

        def end(code: int) -> None:
            codes.append(code)
            loop.stop()

        try:
            begin = _put_together(
                settings, loop, log, end, parts, expanded=expanded, passed=passed, journal=journal
            )
        except (AlreadyRunning, BadAddress, SocketMismatch, LookupError, OSError) as error:
            return fail(f"cannot run {settings.name!r}: {error}", FAILURE, error)
        begin()
        gc.freeze()  # what is here now stays: the collector need not walk it again
        loop.run()
        log.info("supervisor ended", code=codes[0])
        return codes[0]


def _log(
    settings: Config, loop: Loop, journal: OurJournal, *, one_command: bool
) -> StderrLog | JournalLog:
    if one_command:
        from pidsup.cli.command_log import CommandLog

        return CommandLog(loop, LINUX, fill(settings.watchers[0].command[0], {}))
    if journal.takes[STDERR]:
        with suppress(OSError):  # its stream takes lines, too
            return _journal_log(settings, loop, journal)
    return StderrLog(loop, LINUX, level=settings.log_level)


def _journal_log(settings: Config, loop: Loop, journal: OurJournal) -> JournalLog:
    from pidsup.log.journal import JournalLog
    from pidsup.systemd.journal import Entries

    always = {"PIDSUP_NAME": settings.name, **journal.unit.fields}
    entries = Entries(journal.journal)
    return JournalLog(loop, LINUX, entries, always=always, level=settings.log_level)


def _put_together(
    settings: Config,
    loop: Loop,
    log: StderrLog | JournalLog,
    end: Callable[[int], None],
    parts: ExitStack,
    *,
    expanded: bytes,
    passed: Passed,
    journal: OurJournal,
) -> Callable[[], None]:
    """Make all that can fail before anything is started; return what starts."""
    directory = None
    if settings.control_socket:
        from pidsup.control.rundir import RuntimeDirectory

        directory = RuntimeDirectory(settings.name, public=any(settings.access))
        parts.callback(directory.close)
        notify = directory.notify(in_files=not may_have_strangers())
    else:
        from pidsup.control.paths import abstract_address

        notify = f"{abstract_address(settings.name)}/notify/{os.getpid()}"
    listeners = Listeners(settings.sockets, passed)
    parts.callback(listeners.close)
    become_supervisor()
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    parts.callback(os.close, null_fd)
    outputs = Outputs(loop, log, console_format=settings.console_format, journal=journal)
    parts.callback(outputs.close)
    supervisor = Supervisor(
        settings,
        loop=loop,
        kernel=LINUX,
        log=log,
        surroundings=surroundings(null_fd, raise_open_files(), listeners.fds, notify),
        listeners=listeners,
        outputs=outputs,
        identity=identity(),
        on_end=end,
    )
    parts.callback(supervisor.close)
    let_apply(supervisor, expanded, null_fd)
    server = None
    where = "none"
    if directory is not None:
        from pidsup.control.paths import shown
        from pidsup.control.server import Server
        from pidsup.control.service import Service

        server = Server(directory, Service(supervisor), loop, log, access=settings.access)
        parts.callback(server.close)
        where = shown(directory.address)
    upward = None
    if os.environ.get("NOTIFY_SOCKET"):
        from pidsup.cli.upward import make_upward

        upward = make_upward(supervisor, parts)
    log.info("supervisor started", name=settings.name, pid=os.getpid(), socket=where)

    def applied(new: Config) -> None:
        log.keep(new.log_level)
        if server is not None:
            server.grant(new.access)

    supervisor.applying.on_applied = applied

    def begin() -> None:
        supervisor.begin()
        if upward is not None:
            upward.begin()

    return begin
