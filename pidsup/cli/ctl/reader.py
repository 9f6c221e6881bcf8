"""End when nobody reads our output any more, also while there is nothing to write."""

from __future__ import annotations

import select
import signal
from threading import Thread, main_thread


def end_with_reader() -> None:
    """Raise BrokenPipeError in the main thread once whoever reads our output has gone.

    As tail(1) does: `logs -f | head` would otherwise wait for the next line, for ever
    perhaps.
    """
    signal.signal(signal.SIGUSR1, _gone)
    Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    poll = select.poll()
    poll.register(1, 0)  # errors are told in any case; a file has none
    poll.poll()
    main = main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGUSR1)  # it sleeps in a call that a signal ends


def _gone(*_: object) -> None:
    raise BrokenPipeError
