"""The watchers in the order in which they start, and who comes after whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pidsup.policy.order import start_order
from pidsup.watcher.watcher import Watcher


class Order(NamedTuple):
    """What `after` makes of watchers.  Borrows them."""

    watchers: dict[str, Watcher]  #: by name, in start order
    after: Mapping[str, list[Watcher]]  #: what each comes after
    before: Mapping[str, list[Watcher]]  #: what comes after each


def ordered(watchers: Iterable[Watcher]) -> Order:
    """Order them; what one is after and is not among them counts for nothing."""
    known = {watcher.spec.name: watcher for watcher in watchers}
    names = {name: [n for n in w.spec.after if n in known] for name, w in known.items()}
    before: dict[str, list[Watcher]] = {name: [] for name in known}
    for name, others in names.items():
        for other in others:
            before[other].append(known[name])
    return Order(
        {name: known[name] for name in start_order(list(known), names)},
        {name: [known[n] for n in others] for name, others in names.items()},
        before,
    )
