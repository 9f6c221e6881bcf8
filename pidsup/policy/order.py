"""The order in which watchers start; they stop in reverse.

Pure.  `after` only orders, as After= does, systemd.unit(5): it wants nothing
started, and names that are not there are for `config` to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pidsup.errors import CycleError


def start_order(names: Sequence[str], after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return *names* so that each comes after those it names, ties as they came.

    CycleError names a circle, "a -> b -> a" for a that is after b that is after a.
    """
    left = dict.fromkeys(names)
    ordered: dict[str, None] = {}
    while left:
        free = next((name for name in left if all(n in ordered for n in after.get(name, ()))), None)
        if free is None:
            raise CycleError(_circle(left, after))
        del left[free]
        ordered[free] = None
    return tuple(ordered)


def _circle(left: Mapping[str, None], after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Walk from any that cannot start to one it waits for, until one comes twice."""
    walked: list[str] = []
    name = next(iter(left))
    while name not in walked:
        walked.append(name)
        name = next(other for other in after.get(name, ()) if other in left)
    return (*walked[walked.index(name) :], name)
