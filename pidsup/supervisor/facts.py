"""Facts: what the interface file declares, from what the supervisor knows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pidsup.linux.spawn import EVERY_CAPABILITY
from pidsup.output.outputs import Outputs
from pidsup.policy.lifecycle import State
from pidsup.process.exit import ExitReport
from pidsup.supervisor.changes import Change, Summary
from pidsup.watcher.slot import Slot
from pidsup.watcher.sockets import Listeners
from pidsup.watcher.watcher import Watcher

Facts = dict[str, Any]

_MOST_PROBLEMS = 100  # of a change that is told to whom it is about
_OF_A_WORKER = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC")


def watcher_facts(watcher: Watcher, slots: list[Slot] | None, now: float) -> Facts:
    """Return type Watcher."""
    if slots is None:
        slots = [watcher.slots[index] for index in sorted(watcher.slots)]
    return {
        "name": watcher.spec.name,
        "command": list(watcher.spec.command),
        "running": watcher.running,
        "workers": watcher.workers,
        "ready": watcher.counts[State.READY],
        "state": watcher_state(watcher),
        "slots": [slot_facts(watcher, slot, now) for slot in slots],
        "sockets": socket_names(watcher),
        "generation": watcher.generation,
        "kept": dict(zip(("stdout", "stderr"), watcher.output_kept(), strict=True)),
    }


def journal_facts(outputs: Outputs, watchers: Iterable[Watcher]) -> Facts | None:
    """Return type Journal; None where nothing goes there."""
    ours = outputs.journal
    if not any(ours.takes) and not any("journal" in one.output_kept() for one in watchers):
        return None
    unit, namespace = ours.unit, ours.journal.namespace
    return {"unit": unit.name or None, "user": unit.user, "namespace": namespace}


def spec_facts(watcher: Watcher, index: int) -> Facts:
    """Return what Spec answers; what the worker would inherit of the supervisor is filled in."""
    made = watcher.recipe(index)
    bounding = made["bounding"]
    return {
        "slot": f"{watcher.spec.name}:{index}",
        "command": made["command"],
        "environment": {k: v for k, v in made["environment"].items() if k not in _OF_A_WORKER},
        "working_directory": made["cwd"] or os.getcwd(),
        "uid": os.geteuid() if made["uid"] is None else made["uid"],
        "gid": os.getegid() if made["gid"] is None else made["gid"],
        "groups": os.getgroups() if made["groups"] is None else list(made["groups"]),
        "umask": made["umask"],
        "nice": made["nice"],
        "rlimits": [
            {"resource": which, "soft": soft, "hard": hard} for which, soft, hard in made["rlimits"]
        ],
        "no_new_privs": made["no_new_privs"],
        "bounding": None if bounding == EVERY_CAPABILITY else bounding,
        "ambient": made["ambient"],
    }


def watcher_state(watcher: Watcher) -> str:
    """Say in one word how the slots of a watcher stand: what they share, else what counts most.

    Slots that are not wanted count only where none is.
    """
    slots = watcher.slots.values()
    if watcher.is_listening() and not watcher.counts[State.FAILED]:
        return "listening"
    present = {slot.state for slot in slots if watcher.wants(slot)} or {s.state for s in slots}
    if len(present) == 1:
        return str(present.pop().value)
    if not present:
        return "ready" if watcher.running else "stopped"
    if not watcher.running and State.FAILED in present:
        return "failed"  # on_give_up = "stop"
    if not present & {State.BACKOFF, State.FAILED}:
        for state in (State.KILLING, State.STOPPING, State.CLEANING, State.STARTING, State.WAITING):
            if state in present:
                return str(state.value)
    return "degraded"


def socket_names(watcher: Watcher) -> list[str]:
    """Return the names of the sockets that a watcher's workers get."""
    spec = watcher.spec
    if spec.stdin_socket is None or spec.stdin_socket in spec.sockets:
        return list(spec.sockets)
    return [*spec.sockets, spec.stdin_socket]


def slot_facts(watcher: Watcher, slot: Slot, now: float) -> Facts:
    """Return type Slot."""
    child, last = slot.child, slot.last_exit
    return {
        "name": slot.name,
        "state": slot.state.value,
        "wanted": watcher.wants(slot),
        "pid": None if child is None else child.main_pid,
        "serial": slot.serial,
        "for_s": round(now - slot.since, 3),
        "due_s": None if not slot.shows_due else round(max(0.0, (slot.due_at or now) - now), 3),
        "up_s": None if child is None or child.exit else round(now - child.started_at, 3),
        "restarts": slot.restarts,
        "reason": watcher.waits_for() if slot.state is State.WAITING else slot.reason,
        "last_exit": None if last is None else exit_facts(last),
        "generation": slot.generation,
        "dropped_bytes": 0 if slot.output is None else slot.output.dropped_bytes,
        "output_trouble": None if slot.output is None else slot.output.trouble or None,
        "status": slot.status_text or None,
        "reloading": slot.reloading,
        "stored": 0 if slot.inbox is None else len(slot.inbox.store),
        "strangers": 0 if slot.inbox is None else slot.inbox.strangers,
    }


def exit_facts(last: ExitReport) -> Facts:
    """Return type Exit."""
    facts = last._asdict()
    del facts["signo"]
    return {**facts, "signal": last.signal, "last_lines": list(last.last_lines)}


def socket_facts(listeners: Listeners, watchers: Mapping[str, Watcher]) -> list[Facts]:
    """Return type Socket of each."""
    users: dict[str, list[str]] = {}
    for watcher in watchers.values():
        for name in socket_names(watcher):
            users.setdefault(name, []).append(watcher.spec.name)
    return [
        {**facts._asdict(), "watchers": users.get(facts.name, [])} for facts in listeners.facts()
    ]


def change_facts(change: Change) -> Facts:
    """Return type Change, with all its tasks."""
    tasks = [_task_facts(t.slot.name, t.state.value, t.reason) for t in change.tasks]
    problems = change.problems[:_MOST_PROBLEMS]
    return {**summary_facts(change.summary()), "tasks": tasks, "problems": problems}


def summary_facts(change: Summary) -> Facts:
    """Return type Change, with a few of its tasks."""
    return {
        "id": change.id,
        "kind": change.kind,
        "actor": change.actor._asdict(),
        "what": change.what,
        "asked_at": change.asked_at,
        "ended_at": change.ended_at,
        "state": change.state.value,
        "total": change.total,
        "over": change.over,
        "tasks": [_task_facts(slot, state.value, why) for slot, state, why in change.tasks],
        "problems": list(change.problems),
    }


def _task_facts(slot: str, state: str, reason: str) -> Facts:
    return {"slot": slot, "state": state, "reason": reason}
