"""What a selector means: "web", "web:3", "w*", "web:*"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pidsup.errors import NoSuchSelector
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

#: A watcher with the chosen slots, None for the watcher as a whole.
Selection = list[tuple[Watcher, list[Slot] | None]]


def select(watchers: Mapping[str, Watcher], selectors: Iterable[str]) -> Selection:
    """Return what the selectors match, each watcher once, in the order of the watchers.

    NoSuchSelector for the first that matches nothing; then nothing is selected.
    """
    wholes: set[str] = set()
    chosen: dict[str, dict[int, Slot]] = {}
    for selector in selectors:
        name, colon, slot = selector.partition(":")
        matched = False
        for watcher in watchers.values():
            if not fnmatchcase(watcher.spec.name, name):
                continue
            if not colon:
                wholes.add(watcher.spec.name)
                matched = True
                continue
            hits = {i: s for i, s in sorted(watcher.slots.items()) if fnmatchcase(str(i), slot)}
            chosen.setdefault(watcher.spec.name, {}).update(hits)
            matched = matched or bool(hits)
        if not matched:
            raise NoSuchSelector(selector, _nearest(selector, watchers))
    return [
        (watcher, None if name in wholes else list(chosen[name].values()))
        for name, watcher in watchers.items()
        if name in wholes or chosen.get(name)
    ]


def _nearest(selector: str, watchers: Mapping[str, Watcher]) -> str | None:
    import difflib  # only for a message

    known = [*watchers, *(s.name for w in watchers.values() for s in w.slots.values())]
    close = difflib.get_close_matches(selector, known[:1000], n=1)
    return close[0] if close else None
