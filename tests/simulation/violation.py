"""What a simulation ends with when something is not as it has to be."""

from __future__ import annotations


class Violation(AssertionError):
    """An invariant does not hold."""


def demand(holds: object, otherwise: str) -> None:
    """Raise a Violation unless it *holds*."""
    if not holds:
        raise Violation(otherwise)
