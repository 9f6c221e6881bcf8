"""The signals that the daemon takes by signalfd.

They are blocked before anything else is done: no thread may exist that would
take them away, and what comes early waits.
"""

from __future__ import annotations

import signal

#: RTMIN+3 is how a container manager asks pid 1 to halt, systemd(1).
QUIT = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGRTMIN + 3})
#: Nobody means anything by these, unless a watcher does.
QUIET = frozenset({signal.SIGWINCH, signal.SIGCONT, signal.SIGURG})
#: Heard before all else: to quit, or to be passed on, config.signals.  SIGCHLD is not
#: among them: it only means "look for orphans".
URGENT = (
    QUIT
    | QUIET
    | {
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGSTKFLT,
        signal.SIGVTALRM,
        signal.SIGPROF,
        signal.SIGIO,
        signal.SIGPWR,
        *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
    }
)
TAKEN = URGENT | {signal.SIGCHLD}
#: SIGTTOU: a worker in the foreground has the terminal, and we write to it all the same.
BLOCKED = TAKEN | {signal.SIGTTOU}
