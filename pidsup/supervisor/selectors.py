"""What a selector means: "web", "web:3", "w*", "web:*"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate

from pidsup.errors import Invalid, NoSuchSelector
from pidsup.watcher.slot import Slot
from pidsup.watcher.watcher import Watcher

#: A watcher with the chosen slots, None for the watcher as a whole.
Selection = list[tuple[Watcher, list[Slot] | None]]

# What a request can make the supervisor compare: a client is not to be a reason to stall.
_MOST = 1000
_MOST_PATTERNS = 50
_LONGEST = 200
_MOST_REMEMBERED = 4096


def select(watchers: Mapping[str, Watcher], selectors: Sequence[str]) -> Selection:
    """Return what the selectors match, each watcher once, in the order of the watchers.

    NoSuchSelector for the first that matches nothing; then nothing is selected.
    """
    _bound(selectors)
    wholes: set[str] = set()
    chosen: dict[str, dict[int, Slot]] = {}
    for selector in selectors:
        name, colon, slot = selector.partition(":")
        matched = False
        for watcher in _watchers(watchers, name):
            if not colon:
                wholes.add(watcher.spec.name)
                matched = True
                continue
            hits = dict(_slots(watcher, slot))
            chosen.setdefault(watcher.spec.name, {}).update(hits)
            matched = matched or bool(hits)
        if not matched:
            raise NoSuchSelector(selector, _nearest(selector, watchers))
    return [
        (watcher, None if name in wholes else list(chosen[name].values()))
        for name, watcher in watchers.items()
        if name in wholes or chosen.get(name)
    ]


def slots_of(selection: Selection) -> list[tuple[Watcher, Slot]]:
    """Return the slots of a selection, those of whole watchers in their order."""
    return [
        (watcher, slot)
        for watcher, slots in selection
        for slot in ([s for _, s in sorted(watcher.slots.items())] if slots is None else slots)
    ]


def _bound(selectors: Sequence[str]) -> None:
    if len(selectors) > _MOST or sum(map(_is_pattern, selectors)) > _MOST_PATTERNS:
        raise Invalid(
            "selectors", f"no more than {_MOST}, and {_MOST_PATTERNS} with wildcards: ask for '*'"
        )
    if any(len(selector) > _LONGEST for selector in selectors):
        raise Invalid("selectors", f"one is longer than {_LONGEST} characters")


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _watchers(watchers: Mapping[str, Watcher], name: str) -> list[Watcher]:
    if name in watchers:
        return [watchers[name]]
    if not _is_pattern(name):
        return []
    matches = _matcher(name)
    return [watcher for name, watcher in watchers.items() if matches(name)]


def _slots(watcher: Watcher, index: str) -> Iterable[tuple[int, Slot]]:
    if not _is_pattern(index):
        slot = watcher.slots.get(int(index)) if index.isdecimal() else None
        return [(slot.index, slot)] if slot is not None and str(slot.index) == index else []
    matches = _matcher(index)
    return [(i, slot) for i, slot in sorted(watcher.slots.items()) if matches(str(i))]


def _matcher(pattern: str) -> Callable[[str], object]:
    """Return what matches a pattern as fnmatchcase does, whose cache keeps 32,768 of them."""
    return re.compile(translate(pattern)).match


class Filter:
    """Tells what selectors are about, also of slots that are yet to come."""

    def __init__(self, selectors: Sequence[str]) -> None:
        """Take selectors that `select` has found right."""
        parts = (selector.partition(":") for selector in selectors)
        self._patterns = [(_matcher(name), colon, _matcher(slot)) for name, colon, slot in parts]
        self._known: dict[str, bool] = {}

    def takes(self, name: str) -> bool:
        """Tell whether a slot is selected, or something of a watcher."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[name] = self._look(*name.partition(":"))
        return known

    def _look(self, name: str, is_slot: str, index: str) -> bool:
        return any(
            matches(name) and (not colon or not is_slot or matches_slot(index))
            for matches, colon, matches_slot in self._patterns
        )


def _nearest(selector: str, watchers: Mapping[str, Watcher]) -> str | None:
    import difflib  # only for a message

    known = [*watchers, *(s.name for w in watchers.values() for s in w.slots.values())]
    close = difflib.get_close_matches(selector, known[:1000], n=1)
    return close[0] if close else None
