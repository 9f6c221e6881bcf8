"""The signals that the daemon takes by signalfd.

They are blocked before anything else is done: no thread may exist that would
take them away, and what comes early waits.
"""

from __future__ import annotations

import signal

QUIT = frozenset({signal.SIGTERM, signal.SIGINT})
#: Heard before all else.  SIGCHLD is not among them: it only means "look for orphans".
URGENT = QUIT | {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
TAKEN = URGENT | {signal.SIGCHLD}
