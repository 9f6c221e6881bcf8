"""What `doctor` finds."""

from __future__ import annotations

from typing import NamedTuple

WARNING, PROBLEM = "warning", "problem"


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str  #: ok, warning, problem
    subject: str
    what: str  #: how it is, and what that means
    do: str = ""


def ok(subject: str, what: str) -> Finding:
    """Find that it is as it should be."""
    return Finding("ok", subject, what)


def warning(subject: str, what: str, do: str) -> Finding:
    """Find that something is lost, or may go wrong."""
    return Finding(WARNING, subject, what, do)


def problem(subject: str, what: str, do: str) -> Finding:
    """Find that something does not work."""
    return Finding(PROBLEM, subject, what, do)
