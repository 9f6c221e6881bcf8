"""What `top` shows, from what the supervisor tells: shares of the processor, sums, order."""

from __future__ import annotations

from typing import NamedTuple

from pidsup.control.protocol import Message

SORTS = ("cpu", "mem", "restarts", "name")


class Row(NamedTuple):
    """A watcher, or a slot of it."""

    name: str
    is_watcher: bool
    state: str
    pid: int | None
    up_s: float | None
    cpu: float  #: per cent of one processor
    mem: int  #: bytes
    threads: int
    processes: int
    restarts: int
    more: str  #: how many are ready, or why it is not


class Look(NamedTuple):
    """The answers of Status and Stats, taken together."""

    status: Message
    stats: Message


def shares(before: Message | None, now: Message) -> dict[str, float]:
    """Return the per cent of a processor that each slot has used since *before*.

    Of a process that was not there before, all it has used; without *before*, the average of
    its life.
    """
    old = {
        (process["pid"], process["started_at"]): process["cpu_s"]
        for slot in (before["slots"] if before else ())
        for process in slot["processes"]
    }
    used = {}
    for slot in now["slots"]:
        seconds = sum(
            process["cpu_s"] - old.get((process["pid"], process["started_at"]), 0.0)
            for process in slot["processes"]
        )
        over_s = now["at"] - before["at"] if before else slot["up_s"]
        used[slot["name"]] = 100 * max(0.0, seconds) / over_s if over_s else 0.0
    return used


def rows(look: Look, used: dict[str, float]) -> list[list[Row]]:
    """Return a list per watcher: its own row first, then those of its slots."""
    stats = {slot["name"]: slot for slot in look.stats["slots"]}
    found = []
    for watcher in look.status["watchers"]:
        slots = [_slot(slot, stats.get(slot["name"]), used) for slot in watcher["slots"]]
        found.append([_watcher(watcher, slots), *slots])
    return found


def _slot(slot: Message, stats: Message | None, used: dict[str, float]) -> Row:
    processes = stats["processes"] if stats else []
    return Row(
        slot["name"],
        is_watcher=False,
        state=slot["state"],
        pid=slot["pid"],
        up_s=slot["up_s"],
        cpu=used.get(slot["name"], 0.0),
        mem=sum(process["rss_bytes"] for process in processes),
        threads=sum(process["threads"] for process in processes),
        processes=len(processes),
        restarts=slot["restarts"],
        more="" if slot["state"] == "ready" else slot["reason"],
    )


def _watcher(watcher: Message, slots: list[Row]) -> Row:
    ups = [row.up_s for row in slots if row.up_s is not None]
    return Row(
        watcher["name"],
        is_watcher=True,
        state=watcher["state"],
        pid=None,
        up_s=min(ups, default=None),
        cpu=sum(row.cpu for row in slots),
        mem=sum(row.mem for row in slots),
        threads=sum(row.threads for row in slots),
        processes=sum(row.processes for row in slots),
        restarts=sum(row.restarts for row in slots),
        more=f"{watcher['ready']}/{watcher['workers']} ready",
    )


def ordered(groups: list[list[Row]], sort: str, *, folded: bool, only: str) -> list[Row]:
    """Return the rows to show: those that have *only* in their name or state, in order."""
    shown: list[Row] = []
    for watcher, *every in _sorted(groups, sort):
        slots = [row for row in every if only in row.name or only in row.state]
        if only and not slots and only not in watcher.name:
            continue
        shown.append(watcher)
        if not folded:
            shown += slots
    return shown


def _sorted(groups: list[list[Row]], sort: str) -> list[list[Row]]:
    if sort == "name":
        return sorted(groups, key=lambda group: group[0].name)

    def key(row: Row) -> float:
        value: float = getattr(row, sort)
        return -round(value, 1)  # what looks equal keeps its place

    each = [[group[0], *sorted(group[1:], key=key)] for group in groups]
    return sorted(each, key=lambda group: key(group[0]))
