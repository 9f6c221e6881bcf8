"""The daemon's own log: event first, then facts.

A log that nobody reads stalls nothing: lines are written only while the other end takes
them, and what does not fit a bounded queue is counted and said.  `logging` would cost 1 MB
and blocks.
"""

from __future__ import annotations

from pidsup.log.log import Log
from pidsup.log.stderr import StderrLog, die
from pidsup.log.words import Timestamps, span

__all__ = ["Log", "StderrLog", "Timestamps", "die", "span"]
