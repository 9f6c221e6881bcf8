"""What tells systemd how we are, where there is somebody to tell: else nothing is loaded."""

from __future__ import annotations

import os
from contextlib import ExitStack

from pidsup.supervisor.outbox import Outbox
from pidsup.supervisor.supervisor import Supervisor
from pidsup.supervisor.upward import Upward
from pidsup.systemd.notifier import Notifier, is_set, watchdog_s


def make_upward(supervisor: Supervisor, parts: ExitStack) -> Upward | None:
    """Return it, for *parts* to close; None where nobody is there to be told."""
    if not is_set(os.environ):
        return None
    try:
        notifier = Notifier()
    except OSError as error:
        supervisor.log.warning("cannot notify systemd", why=error.strerror, next="nobody is told")
        return None
    outbox = Outbox(supervisor.loop, supervisor.log, notifier)
    upward = Upward(supervisor, outbox, watchdog_s=watchdog_s(os.environ, os.getpid()))
    parts.callback(upward.close)
    return upward
