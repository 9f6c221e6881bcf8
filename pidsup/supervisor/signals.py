"""The signals that the daemon takes by signalfd.

They are blocked before anything else is done: no thread may exist that would
take them away, and what comes early waits.
"""

from __future__ import annotations

import signal

#: RTMIN+3 is how a container manager asks pid 1 to halt, systemd(1).
QUIT = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGRTMIN + 3})
#: Heard before all else.  SIGCHLD is not among them: it only means "look for orphans".
URGENT = QUIT | {
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGPWR,
    signal.SIGALRM,
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
}
TAKEN = URGENT | {signal.SIGCHLD}
